"""Find the parameters of a workflow: in the titles of its nodes, in App mode, or among the inputs of its nodes."""
