"""What a notebook sees: the widget, the `%comfykit` magic, and the outputs that stay. This room alone knows Jupyter."""
