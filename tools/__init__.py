"""Programs for maintainers: they make pictures and build the documentation, and are not in the package."""
