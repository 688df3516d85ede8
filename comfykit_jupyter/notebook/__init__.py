"""The notebook side: the widget, the `%comfykit` magic, and static outputs. Only this package imports Jupyter."""
