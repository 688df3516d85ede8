"""The painter: procedural pictures for prompts, from words to pixels. There is no neural network in it."""
