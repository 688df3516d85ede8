"""What clouds send and accept, translated from and to ComfyUI's JSON."""
