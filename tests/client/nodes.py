"""Nodes for tests: one that waits for the test, one that fails, one with any output, one with a prompt text, one that
runs out of memory, and one that does so only now and then."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from typing import Any

from PIL import Image

from comfykit_jupyter.sandbox.interface.node import Context, Output, node

PATIENCE = 60.0
"""Seconds after which a test gives up; a passing test never waits that long."""


class Gate:
    """Two signals between a test and a `TestGate` node: the node has started, the node may continue."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        """Wait until the node is running."""
        assert self.begun.wait(PATIENCE), "the node did not start"

    def open(self) -> None:
        """Let the node continue."""
        self.opened.set()


GATES: dict[str, Gate] = defaultdict(Gate)
"""Gates by the name in the node's input."""


@node(
    "TestGate",
    display_name="Gate",
    category="tests",
    required={"image": ("IMAGE", {}), "name": ("STRING", {"default": ""}), "steps": ("INT", {"default": 3, "min": 1})},
    returns=("IMAGE",),
    fingerprint=lambda folders, **inputs: float("nan"),
)
def gate(context: Context, image: Any, name: str, steps: int) -> Output:
    """Take some steps with previews, and wait before the last one until the gate is opened."""
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
    "TestNap",
    display_name="Nap",
    category="tests",
    required={"seconds": ("FLOAT", {"default": 0.1}), "name": ("STRING", {"default": ""})},
    output_node=True,
)
def nap(context: Context, seconds: float, name: str) -> Output:
    """Take ten steps, and return a text."""
    for step in range(10):
        context.report_progress(step, 10)
        time.sleep(seconds / 10)
    return Output((), {"text": [name]})


@node(
    "TestShow",
    display_name="Show",
    category="tests",
    required={"output": ("STRING", {"default": "{}"})},
    output_node=True,
)
def show(_: Context, output: str) -> Output:
    """Return the output that the JSON describes, valid or not."""
    return Output((), json.loads(output))


@node(
    "TestPrompt",
    display_name="Prompt",
    category="tests",
    required={"text": ("STRING", {"dynamicPrompts": True}), "note": ("STRING", {"default": ""})},
    output_node=True,
)
def prompt(_: Context, text: str, note: str) -> Output:
    """Show a text whose choices the editor would draw, and one without."""
    return Output((), {"text": [text, note]})


class OutOfMemoryError(RuntimeError):
    """What PyTorch raises."""


@node(
    "TestMemory",
    display_name="Memory",
    category="tests",
    required={"message": ("STRING", {}), "torch": ("BOOLEAN", {})},
    output_node=True,
)
def exhaust(_: Context, message: str, torch: bool) -> Output:
    """Run out of memory, with a message of the caller's."""
    raise (OutOfMemoryError if torch else RuntimeError)(message)


ATTEMPTS: dict[str, list[int]] = defaultdict(list)
"""The numbers that each `TestMoody` was run with, by its name."""


@node(
    "TestMoody",
    display_name="Moody",
    category="tests",
    required={"number": ("INT", {"default": 0}), "name": ("STRING", {"default": ""})},
    output_node=True,
)
def moody(_: Context, number: int, name: str) -> Output:
    """Fail from 10; run out of memory from 20 always, and with a negative number only the first time."""
    ATTEMPTS[name].append(number)
    if number >= 20 or (number < 0 and ATTEMPTS[name].count(number) == 1):
        raise OutOfMemoryError("CUDA out of memory")
    if number >= 10:
        raise ValueError("kaboom")
    return Output((), {"text": [str(number)]})
