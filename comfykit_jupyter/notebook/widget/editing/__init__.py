"""What helps to edit a form: presets, undo, earlier prompts, painted masks, LoRAs."""
