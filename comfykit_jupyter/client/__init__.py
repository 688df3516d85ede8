"""The ComfyKit API: workflows run on a ComfyUI server, from a script or a notebook. Knows nothing of notebooks."""
