"""What a run produced, and how it is shown and kept."""
