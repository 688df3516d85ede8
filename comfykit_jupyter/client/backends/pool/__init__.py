"""Several servers as one backend."""
