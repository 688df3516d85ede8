"""The runs that were kept, as their users see them: rows, tables, marks."""
