"""Sweeps and maps: what runs the points, and what is known of them meanwhile."""
