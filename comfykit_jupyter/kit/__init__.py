"""`ComfyKit`, and the one that the magics and forms of a process share."""
