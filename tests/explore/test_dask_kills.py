"""Kill each part of a Dask cluster in the middle of a sweep: no point that has ended runs again, and none is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.servers.pool import DEPTH
from comfykit_jupyter.explore.ledger.ledger import Ledger
from tests.ports import find_free_port

from .dask_clusters import (
    POINTS,
    ROOT,
    Counts,
    Processes,
    build_plugin,
    counting,
    kill,
    local_cluster,
    private_folder,
    wait_until,
)

pytestmark = pytest.mark.slow
SECONDS = 0.1
_firsts = count(0, POINTS)


class Bench:
    """A cluster, and the sweep that runs on it.

    Args:
        address: The scheduler's address.
        counts: What the nodes note.
        folder: Where the runs are kept.
        processes: The processes of the cluster, if they are ours to start again.
    """

    def __init__(self, address: str, counts: Counts, folder: Path, processes: Processes | None = None) -> None:
        self.address, self.counts, self.processes = address, counts, processes
        self.first = next(_firsts)
        self.noted: set[int] = set()
        """The points whose files are here when a server is killed."""
        self.numbers = range(self.first, self.first + POINTS)
        self.runs = folder / str(self.first)
        self._kernels: list[subprocess.Popen[bytes]] = []

    @property
    def ended(self) -> int:
        """How many points have ended."""
        return len(self.counts.read("end").keys() & set(self.numbers))

    def start_kernel(self) -> subprocess.Popen[bytes]:
        """Start a kernel that runs the sweep, and return when eight points have ended."""
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(Path(__file__).with_name("dask_sweep.py"))]
        kernel = subprocess.Popen(
            [*command, self.address, str(self.runs), str(self.first), str(SECONDS)],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )
        self._kernels.append(kernel)
        wait_until(lambda: self.ended >= 8)
        return kernel

    def read_kept(self) -> set[int]:
        """Return the points whose files are here."""
        return {run.params["number"] for run in Ledger(self.runs).read().runs.values() if run.kept}

    def close(self) -> None:
        """End the kernels, also after a failure."""
        for kernel in self._kernels:
            kernel.kill()
            kernel.wait()

    def finish(self, kernel: subprocess.Popen[bytes], may_repeat: int = 0) -> None:
        """Wait for the kernel's end, and check what has run how often.

        Args:
            kernel: The kernel.
            may_repeat: How many points may begin twice: of a server that is killed, those whose files were not
                here yet.
        """
        kernel.wait(90)
        with Client(self.address) as client:
            sweep = ComfyKit(client, runs=self.runs).sweep(counting(SECONDS), over={"number": self.numbers}).wait(60)
        assert sweep.plan.count("have") == POINTS
        begun = self.counts.read("begin")
        again = {number: begun[number] for number in self.numbers if begun[number] != 1}
        assert set(again.values()) <= {2}
        assert len(again) <= may_repeat
        assert not again.keys() & self.noted


@pytest.fixture(scope="module")
def with_nannies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Counts, Any]]:
    with local_cluster(tmp_path_factory.mktemp("nannies")) as (client, counts):
        yield client.scheduler.address, counts, None


@pytest.fixture(scope="module")
def with_commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Counts, Any]]:
    """A scheduler and two workers that are started as commands, as by a supervisor, which starts them again."""
    folder = tmp_path_factory.mktemp("commands")
    counts = Counts(folder / "counts")
    with private_folder(folder) as env:
        processes = Processes(folder, env, find_free_port())
        ending = threading.Event()

        def supervise() -> None:
            while not ending.wait(0.2):
                processes.supervise()

        thread = threading.Thread(target=supervise)
        try:
            with Client(processes.address, timeout=60) as client:
                client.wait_for_workers(2)
                client.register_plugin(build_plugin(counts))
            thread.start()
            yield processes.address, counts, processes
        finally:
            ending.set()
            with contextlib.suppress(RuntimeError):
                thread.join()
            processes.close()


@pytest.fixture(params=["with_nannies", "with_commands"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    address, counts, processes = request.getfixturevalue(request.param)
    bench = Bench(address, counts, tmp_path, processes)
    yield bench
    bench.close()


def test_a_worker_is_killed(bench: Bench) -> None:
    kernel = bench.start_kernel()
    with Client(bench.address) as client:
        kill(next(iter(client.run(os.getpid).values())))
    bench.finish(kernel)


def test_a_nanny_restarts_a_worker(bench: Bench) -> None:
    if bench.processes is not None:
        pytest.skip("these workers have no nannies")
    kernel = bench.start_kernel()
    with Client(bench.address) as client:
        client.restart_workers(list(client.nthreads())[:1], timeout=60)
    bench.finish(kernel)


def test_the_scheduler_is_restarted(bench: Bench) -> None:
    if bench.processes is None:
        pytest.skip("the scheduler of a LocalCluster lives in this process")
    kernel = bench.start_kernel()
    kill(bench.processes.scheduler.pid)
    bench.finish(kernel)


def test_the_kernel_is_killed_and_the_sweep_resumed(bench: Bench) -> None:
    kernel = bench.start_kernel()
    kernel.kill()
    kernel.wait()
    bench.finish(bench.start_kernel())


def test_a_server_is_killed_beside_a_live_worker(bench: Bench) -> None:
    kernel = bench.start_kernel()
    wait_until(lambda: bool(bench.read_kept()))
    bench.noted = bench.read_kept()
    kill(bench.counts.servers[0])
    bench.finish(kernel, may_repeat=2 * DEPTH)
