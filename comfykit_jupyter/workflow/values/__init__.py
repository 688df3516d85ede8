"""Values of parameters: the fields of a form, the checks of values, and how values get into a prompt."""
