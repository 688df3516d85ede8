"""`Workflow`: the whole of a workflow as its users have it, made of the rooms below."""
