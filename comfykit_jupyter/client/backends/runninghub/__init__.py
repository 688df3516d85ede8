"""RunningHub, a cloud that runs workflows by their IDs."""
