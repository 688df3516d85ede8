"""One run, from its values to its result."""
