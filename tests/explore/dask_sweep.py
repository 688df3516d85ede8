"""A kernel that runs a sweep on a cluster until it is killed: `python dask_sweep.py SCHEDULER RUNS FIRST SECONDS`."""

from __future__ import annotations

import sys

from distributed import Client

from comfykit_jupyter import ComfyKit
from tests.explore.dask_clusters import POINTS, counting

if __name__ == "__main__":
    address, folder, first, seconds = sys.argv[1:]
    with Client(address) as client:
        numbers = range(int(first), int(first) + POINTS)
        ComfyKit(client, runs=folder).sweep(counting(float(seconds)), over={"number": numbers}).wait()
