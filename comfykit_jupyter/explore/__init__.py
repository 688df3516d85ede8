"""Exploration: runs that are kept, sweeps and maps. It needs no notebook."""
