"""Measure runs, uploads, a cancel and imports, each next to a minimal script that does the same, and print a table.

All are measured in turns, so that a busy machine slows all of them down equally. The embedded server runs in its own
process; the workflow takes about 5 ms. Other clients are included if `make bench` has installed them, each in its own
environment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The repository's folder."""

WORKER = Path(__file__).with_name("worker.py")
"""The script that each worker process runs."""


@dataclass
class Row:
    """One line of the table: the measured times in seconds, and the row to compare them with."""

    title: str
    baseline: Row | None = None
    target: str = ""
    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    def __str__(self) -> str:
        quarter = statistics.quantiles(self.times, n=4) if len(self.times) > 1 else [self.median] * 3
        ratio = f"{self.median / self.baseline.median:6.2f}" if self.baseline is not None else " " * 6
        spread = f"{quarter[0] * 1000:8.1f} … {quarter[2] * 1000:<8.1f}"
        return f"{self.title:42} {self.median * 1000:9.1f} {spread} {ratio}   {self.target}"


class Worker:
    """A process that runs a workflow in one way, as often as requested."""

    def __init__(self, python: str, url: str, way: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [python, str(WORKER), url, way],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
            stderr=subprocess.DEVNULL if way in PEERS else None,  # some clients log every step
        )  # fmt: skip
        self._read()

    def measure(self, number: int) -> list[float]:
        """Make a number of runs and return the seconds that each took."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.communicate()

    def _read(self) -> list[float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker process ended unexpectedly: {self._process.args!r}")
        return [float(seconds) for seconds in json.loads(line)]


@contextmanager
def run_server() -> Iterator[str]:
    """Run the embedded server in its own process; yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "comfykit_jupyter.sandbox", "--port", "0"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("the embedded server did not start")
        yield found[0]
    finally:
        process.terminate()
        process.communicate()


PEERS = {
    "comfykit-websocket": ("comfykit", "comfykit 0.1.12, websocket"),
    "comfykit-http": ("comfykit", "comfykit 0.1.12, http"),
    "comfy-toolkit": ("comfy-toolkit", "comfy-toolkit 0.1.0"),
}
"""Other clients: the environment and the title of each."""

ONCE = {"bare-many", "submit", "comfykit-http"}
"""Slow ways, run once per round instead of ten times."""

SELDOM = {"bare-upload", "upload", "upload-again", "cancel"}
"""Very slow ways, run once in every fourth round."""


def find_python(name: str) -> Path:
    """Return the path of the Python that has another client installed; it may not exist."""
    return ROOT / ".venv" / name / "bin/python"


def measure_runs(url: str, rounds: int) -> Iterator[Row]:
    """Measure runs one after another and many at once, large uploads and a cancel."""
    bare = Row("bare script (httpx, one websocket)")
    many = Row("200 at once: bare script")
    sent = Row("30 MB sent with httpx")
    rows = {
        "bare": bare,
        "websocket": Row("execute, websocket", bare, "at most 1.1"),
        "http": Row("execute, http", bare, "at most 20 ms"),
        "run": Row("run", bare, "at most 1.25"),
        **{way: Row(title, bare) for way, (name, title) in PEERS.items() if find_python(name).exists()},
        "bare-many": many,
        "submit": Row("200 at once: submit", many),
        "bare-upload": sent,
        "upload": Row("30 MB as a value, in a run that fails", sent),
        "upload-again": Row("the same 30 MB again, next to the first", sent, "at most 0.5"),
        "cancel": Row("cancel of a running job", None, "at most 1 s"),
    }
    rows["upload-again"].baseline = rows["upload"]
    with ExitStack() as stack:
        workers = {}
        for way in rows:
            python = str(find_python(PEERS[way][0])) if way in PEERS else sys.executable
            workers[way] = Worker(python, url, way)
            stack.callback(workers[way].close)
        for number in range(rounds):
            for way, worker in workers.items():
                if way not in SELDOM or number % 4 == 0:
                    rows[way].times += worker.measure(1 if way in ONCE | SELDOM else 10)
    yield from rows.values()


def measure_imports(rounds: int) -> Iterator[Row]:
    """Measure the first import in fresh interpreters, with the bytecode already compiled."""
    httpx = Row("import httpx")
    ours = Row("from comfykit_jupyter import ComfyKit", httpx, "at most 1.5")
    statements = {"import httpx": httpx, "from comfykit_jupyter import ComfyKit": ours}
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(rounds + 1):
            for statement, row in statements.items():
                code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
                done = subprocess.run(
                    [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
                )
                if number:  # the first import compiles the bytecode
                    row.times.append(float(done.stdout))
    yield from (httpx, ours)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="number of rounds (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(f"{'':42} {'median ms':>9} {'quartiles':^19} {'ratio':>6}   target")
    with run_server() as url:
        for row in measure_runs(url, options.rounds):
            print(row, flush=True)
    for row in measure_imports(options.rounds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
