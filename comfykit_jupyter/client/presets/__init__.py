"""The folder of presets."""
