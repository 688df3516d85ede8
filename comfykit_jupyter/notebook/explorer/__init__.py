"""The explorer: many runs side by side, live, in the page."""
