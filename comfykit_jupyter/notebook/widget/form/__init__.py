"""A form before anything is edited in it: its parameters and values, its seeds and masks, missing models."""
