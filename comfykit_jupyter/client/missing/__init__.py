"""What a workflow needs and a server lacks: found before a run, and models downloaded on request."""
