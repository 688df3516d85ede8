"""Where runs go: one folder for each kind of server or cloud, and what they share."""
