"""Nodes that only tests need: one that waits for the test, one that fails, one that shows whatever it is told to."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from typing import Any

from PIL import Image

from comfykit_jupyter.sandbox.node import Context, Output, node

PATIENCE = 20.0
"""Seconds after which a test gives up; nothing waits that long when all is well."""


class Gate:
    """What a test and a `TestGate` node share: the node has begun, the node may go on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        """Wait until the node runs."""
        assert self.begun.wait(PATIENCE), "the node did not begin"

    def open(self) -> None:
        """Let the node go on."""
        self.opened.set()


GATES: dict[str, Gate] = defaultdict(Gate)
"""By the name that the node's input gives."""


@node(
    "TestGate",
    display_name="Gate",
    category="tests",
    required={"image": ("IMAGE", {}), "name": ("STRING", {"default": ""}), "steps": ("INT", {"default": 3, "min": 1})},
    returns=("IMAGE",),
    fingerprint=lambda folders, **inputs: float("nan"),
)
def gate(context: Context, image: Any, name: str, steps: int) -> Output:
    """Take some steps, each with a preview, and wait before the last one until the test says so."""
    gate = GATES[name]
    for step in range(1, steps):
        context.report_progress(step, steps, Image.new("RGB", (16, 16), (step, 0, 0)))
    gate.begun.set()
    while not gate.opened.wait(0.01):
        context.report_progress(steps - 1, steps)
    context.report_progress(steps, steps)
    return Output((image,))


@node("TestBoom", display_name="Boom", category="tests", required={"image": ("IMAGE", {})}, returns=("IMAGE",))
def boom(_: Context, image: Any) -> Output:
    """Fail."""
    raise ValueError(f"kaboom over {len(image)} picture")


@node(
    "TestShow",
    display_name="Show",
    category="tests",
    required={"output": ("STRING", {"default": "{}"})},
    output_node=True,
)
def show(_: Context, output: str) -> Output:
    """Show what the JSON says, be it sensible or not."""
    return Output((), json.loads(output))
