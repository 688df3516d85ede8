"""Fields of a form that have several values, and the sweep that runs them."""
