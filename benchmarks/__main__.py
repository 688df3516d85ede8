"""Measures what a run, many runs, a file and an import cost, each beside the least that it could; prints a table.

All are measured in one sitting and in turns, so that a busy machine is busy for all of them. The server is the embedded
one, in a process of its own; the workflow takes about 5 ms. Other clients are measured where `make bench` has
installed them, each in an environment of its own.
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
WORKER = Path(__file__).with_name("worker.py")


@dataclass
class Row:
    """One line of the table: what was measured (seconds), and beside what."""

    title: str
    beside: Row | None = None
    target: str = ""
    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    def __str__(self) -> str:
        quarter = statistics.quantiles(self.times, n=4) if len(self.times) > 1 else [self.median] * 3
        ratio = f"{self.median / self.beside.median:6.2f}" if self.beside is not None else " " * 6
        spread = f"{quarter[0] * 1000:8.1f} … {quarter[2] * 1000:<8.1f}"
        return f"{self.title:42} {self.median * 1000:9.1f} {spread} {ratio}   {self.target}"


class Worker:
    """A process that makes runs in one way when it is told to."""

    def __init__(self, python: str, url: str, way: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [python, str(WORKER), url, way],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
            stderr=subprocess.DEVNULL if way in PEERS else None,  # some log every step of every run
        )  # fmt: skip
        self._read()

    def runs(self, number: int) -> list[float]:
        """Seconds of each of so many runs."""
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
            raise SystemExit(f"a worker ended: {self._process.args!r}")
        return [float(seconds) for seconds in json.loads(line)]


@contextmanager
def server() -> Iterator[str]:
    """The embedded server in a process of its own; gives its address."""
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
"""Other clients: the environment that each is in, and what to call it."""
ONCE = {"bare-many", "submit", "comfykit-http"}
"""What is slow, or much: once in a turn."""
SELDOM = {"bare-upload", "upload", "upload-again", "cancel"}
"""What is very much: once, in every fourth turn."""


def peer(name: str) -> Path:
    """The Python that has another client."""
    return ROOT / ".venv" / name / "bin/python"


def measure_runs(url: str, rounds: int) -> Iterator[Row]:
    """One run after another, many at once, large files, a cancel."""
    bare, many, sent = (
        Row("a bare script (httpx, one websocket)"),
        Row("200 at once: a bare script"),
        Row("30 MB sent by httpx"),
    )
    rows = {
        "bare": bare,
        "websocket": Row("execute, websocket", bare, "at most 1.1"),
        "http": Row("execute, http", bare, "at most 20 ms"),
        "run": Row("run", bare, "at most 1.25"),
        **{way: Row(title, bare) for way, (name, title) in PEERS.items() if peer(name).exists()},
        "bare-many": many,
        "submit": Row("200 at once: submit", many),
        "bare-upload": sent,
        "upload": Row("30 MB as a value, and a run that fails", sent),
        "upload-again": Row("the same 30 MB again, beside the first time", sent, "at most 0.5"),
        "cancel": Row("cancel of a job that runs", None, "at most 1 s"),
    }
    rows["upload-again"].beside = rows["upload"]
    with ExitStack() as stack:
        workers = {}
        for way in rows:
            python = str(peer(PEERS[way][0])) if way in PEERS else sys.executable
            workers[way] = Worker(python, url, way)
            stack.callback(workers[way].close)
        for turn in range(rounds):
            for way, worker in workers.items():
                if way not in SELDOM or turn % 4 == 0:
                    rows[way].times += worker.runs(1 if way in ONCE | SELDOM else 10)
    yield from rows.values()


def measure_imports(rounds: int) -> Iterator[Row]:
    """What the first import costs, in fresh interpreters, with the bytecode at hand."""
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
                if number:  # the first one compiles
                    row.times.append(float(done.stdout))
    yield from (httpx, ours)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="turns that each takes (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(f"{'':42} {'median ms':>9} {'quartiles':^19} {'ratio':>6}   target")
    with server() as url:
        for row in measure_runs(url, options.rounds):
            print(row, flush=True)
    for row in measure_imports(options.rounds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
