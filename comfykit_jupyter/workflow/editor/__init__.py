"""Convert the editor's format to API format."""
