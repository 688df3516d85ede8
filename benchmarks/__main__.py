"""Measures what a run, a hundred runs and an import cost, each beside the least that it could; prints a table.

All are measured in one sitting and in turns, so that a busy machine is busy for all of them. The server is the embedded
one, in a process of its own; the workflow takes about 5 ms.
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
            stderr=subprocess.DEVNULL if way.startswith("comfykit-") else None,  # it logs every step of every run
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


def measure_runs(url: str, rounds: int, upstream: str | None) -> Iterator[Row]:
    """One run after another, and a hundred at once."""
    bare = Row("a bare script (httpx, one websocket)")
    hundred = Row("100 at once: a bare script")
    rows = {
        "bare": bare,
        "websocket": Row("execute, websocket", bare, "at most 1.25"),
        "http": Row("execute, http", bare, "at most 20 ms"),
        "run": Row("run", bare, "at most 1.25"),
        "bare-hundred": hundred,
        "submit": Row("100 at once: submit", hundred),
    }
    if upstream is not None:
        rows["comfykit-websocket"] = Row("comfykit 0.1.12, websocket", bare)
        rows["comfykit-http"] = Row("comfykit 0.1.12, http", bare)
    with ExitStack() as stack:
        workers = {}
        for way in rows:
            python = str(upstream) if way.startswith("comfykit-") else sys.executable
            workers[way] = Worker(python, url, way)
            stack.callback(workers[way].close)
        for _ in range(rounds):
            for way, worker in workers.items():
                number = 1 if way in ("bare-hundred", "submit", "comfykit-http") else 10
                rows[way].times += worker.runs(number)
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
    parser.add_argument(
        "--comfykit", metavar="PYTHON", help="a Python that has comfykit 0.1.12, to be measured as well"
    )
    options = parser.parse_args(arguments)
    print(f"{'':42} {'median ms':>9} {'quartiles':^19} {'ratio':>6}   target")
    with server() as url:
        for row in measure_runs(url, options.rounds, options.comfykit):
            print(row, flush=True)
    for row in measure_imports(options.rounds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
