"""Benchmarks: `python -m benchmarks` measures runs, `python -m benchmarks.page` the page."""
