"""Read what users name: workflows and media values."""
