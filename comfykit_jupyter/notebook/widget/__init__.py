"""The form and the live view of a run: anywidget models and what feeds them."""
