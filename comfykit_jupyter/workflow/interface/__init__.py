"""What a form offers of a workflow: which inputs, in which order, and what they are called."""
