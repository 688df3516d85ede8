"""An embedded server with a node that only waits, in a separate process: `python -m benchmarks.napper`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.sandbox.interface.node import Context, Output, node


@node(
    "BenchNap",
    display_name="Nap",
    category="bench",
    required={"seconds": ("FLOAT", {"default": 0.5}), "number": ("INT", {"default": 0})},
    output_node=True,
)
def nap(_: Context, seconds: float, number: int) -> Output:
    """Wait, and return a text."""
    time.sleep(seconds)
    return Output((), {"text": [str(number)]})


@contextlib.contextmanager
def run_napper() -> Iterator[str]:
    """Run such a server, and yield its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.napper"], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    with Sandbox() as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()
