"""Presets: values of a workflow under a name."""
