"""The interface of nodes, and what they share with the server: values, hashes, images."""
