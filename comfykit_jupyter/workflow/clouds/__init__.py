"""The words of the clouds' APIs, as data."""
