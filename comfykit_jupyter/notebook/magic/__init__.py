"""The `%comfykit` magics."""
