"""What a run costs: see `python -m benchmarks --help`."""
