"""Sweeps and maps: axes, plan, and what runs the points."""
