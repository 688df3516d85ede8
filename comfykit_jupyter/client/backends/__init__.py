"""What a run asks of the place where it runs: one folder a kind of server or cloud, and what they share."""
