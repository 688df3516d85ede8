"""The painter: procedural images for prompt texts, without a neural network."""
