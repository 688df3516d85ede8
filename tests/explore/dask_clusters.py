"""Dask clusters for tests, with servers that count in a file which points have begun and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client, LocalCluster

from comfykit_jupyter.client.servers.engine_dask import ServerPlugin

ROOT = Path(__file__).parents[2]
SERVER = Path(__file__).with_name("counting_server.py")
PATIENCE = 60.0
POINTS = 40


def counting(seconds: float = 0.25) -> dict[str, Any]:
    """A picture whose node counts. Parameters: number, seconds."""
    return {
        "1": {
            "class_type": "TestCount",
            "inputs": {"number": 0, "seconds": seconds},
            "_meta": {"title": "Count, $number, $seconds"},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "count"},
            "_meta": {"title": "$output.cover"},
        },
    }


class Counts:
    """What the nodes have noted."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self, word: str) -> Counter[int]:
        """Return how often each point has begun, or ended."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return Counter(int(line.split()[1]) for line in lines if line.startswith(word))

    @property
    def servers(self) -> list[int]:
        """The processes of the servers, in the order in which they noted something last."""
        lines = self.file.read_text().splitlines()
        return list(dict.fromkeys(int(line.split()[2]) for line in reversed(lines)))

    def wait_for(self, ended: int) -> None:
        """Wait until so many points have ended."""
        wait_until(lambda: len(self.read("end")) >= ended)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, "it never was so"
        time.sleep(0.02)


@contextlib.contextmanager
def private_folder(folder: Path) -> Iterator[dict[str, str]]:
    """Give the environment of workers that keep their servers in a folder of the test, and end these at the end."""
    (folder / "tmp").mkdir(exist_ok=True)
    try:
        yield {
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if str(folder) in " ".join(process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.Error):
                    process.kill()


def build_plugin(counts: Counts, linger: float = 20.0) -> ServerPlugin:
    """Return the plugin that starts counting servers."""
    return ServerPlugin([sys.executable, str(SERVER), "{port}", str(counts.file)], linger=linger)


@contextlib.contextmanager
def local_cluster(folder: Path, **options: Any) -> Iterator[tuple[Client, Counts]]:
    """Run a cluster of two processes with nannies."""
    counts = Counts(folder / "counts")
    with (
        private_folder(folder) as env,
        # 15 s after a worker was lost Dask would close its nanny, if another test restarts it at that moment.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", env=env, **options) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(build_plugin(counts))
        yield client, counts


class Processes:
    """A scheduler and two workers, each started as a command, and started again if they end."""

    def __init__(self, folder: Path, env: dict[str, str], port: int) -> None:
        self.address = f"tcp://127.0.0.1:{port}"
        self._env = {**os.environ, **env}
        self._folder = folder
        self._port = port
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        self.workers = [self._start_worker() for _ in range(2)]

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{arguments[0]}.log").open("a") as log:
            code = f"from distributed.cli.dask_{arguments[0]} import main; main()"
            return subprocess.Popen(
                [sys.executable, "-c", code, *arguments[1:]], env=self._env, stdout=log, stderr=log, cwd=self._folder
            )

    def _start_worker(self) -> subprocess.Popen[bytes]:
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def supervise(self) -> None:
        """Start what has ended again."""
        if self.scheduler.poll() is not None:
            self.scheduler = self._start(
                "scheduler", "--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard"
            )
        self.workers = [each if each.poll() is None else self._start_worker() for each in self.workers]

    def close(self) -> None:
        """End all."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def kill(pid: int) -> None:
    """End a process as `kill -9` does."""
    os.kill(pid, signal.SIGKILL)
