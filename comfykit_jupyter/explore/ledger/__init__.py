"""The folder of the runs: its journal, its originals, and what writes to it."""
