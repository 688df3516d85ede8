"""An embedded server whose node notes each start and end in a file: `python counting_server.py PORT FILE`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from PIL import Image

from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.sandbox.interface.node import Context, Output, node

FILE = Path(sys.argv[-1])


def note(word: str, number: int) -> None:
    """Append a line, which no other process can tear."""
    with FILE.open("a") as file:
        file.write(f"{word} {number} {os.getpid()}\n")


@node(
    "TestCount",
    display_name="Count",
    category="tests",
    required={"number": ("INT", {"default": 0}), "seconds": ("FLOAT", {"default": 0.1})},
    returns=("IMAGE",),
    fingerprint=lambda folders, **inputs: float("nan"),
)
def count(context: Context, number: int, seconds: float) -> Output:
    """Take ten steps with previews, and return a small image."""
    import numpy as np

    note("begin", number)
    for step in range(1, 11):
        time.sleep(seconds / 10)
        context.report_progress(step, 10, Image.new("RGB", (64, 64), (number % 256, step, 0)))
    note("end", number)
    return Output((np.full((1, 8, 8, 3), number % 256 / 255, dtype=np.float32),))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with Sandbox(port=int(sys.argv[1])):
        signal.pause()
