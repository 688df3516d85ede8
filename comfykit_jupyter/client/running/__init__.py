"""One submission, from its values to its result."""
