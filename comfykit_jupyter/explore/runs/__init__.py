"""The runs that were kept: all of them, some of them, and those of a bundle."""
