"""Nodes for tests: they make steps, fail, wait or count their runs."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from PIL import Image

from comfykit_jupyter.sandbox.interface.node import Context, Output, node


class Gate:
    """A gate at which a run waits: it sets `reached`, and continues once the test sets `open`."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()


GATE = Gate()
RUNS: list[str] = []


@node(
    "ProbeSteps",
    display_name="Steps",
    category="probe",
    required={
        "steps": ("INT", {"default": 5, "min": 1, "max": 10_000}),
        "delay": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 10.0}),
        "size": ("INT", {"default": 64, "min": 8, "max": 2048}),
        "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1}),
        "mode": (["calm", "wild"], {}),
    },
    returns=("IMAGE", "STRING"),
)
def steps_of(context: Context, steps: int, delay: float, size: int, seed: int, mode: str) -> Output:
    noise = np.random.default_rng(seed).random((1, size, size, 3), dtype=np.float32)
    preview = Image.fromarray((noise[0] * 255).astype(np.uint8))
    for step in range(1, steps + 1):
        time.sleep(delay)  # the work
        context.report_progress(step, steps, preview)
    return Output((noise, f"steps={steps} note="))


@node(
    "ProbeFail",
    display_name="Fail",
    category="probe",
    required={"image": ("IMAGE", {}), "message": ("STRING", {"default": "kaboom"})},
    returns=("IMAGE",),
)
def fail(context: Context, image: Any, message: str) -> Output:
    raise ValueError(message)


@node(
    "ProbeGate",
    display_name="Gate",
    category="probe",
    required={"seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1})},
    returns=("STRING",),
    output_node=True,
)
def wait_at_gate(context: Context, seed: int) -> Output:
    GATE.reached.set()
    while not GATE.open.wait(0.02):
        context.report_progress(0, 1)
    context.show_text("through the gate")
    return Output((f"{seed}",), {"text": [f"{seed}"]})


@node(
    "ProbeCount",
    display_name="Count",
    category="probe",
    required={"name": ("STRING", {"default": ""})},
    optional={"after": ("STRING", {"forceInput": True})},
    returns=("STRING",),
    output_node=True,
    fingerprint=lambda folders, name: float("nan") if name == "always" else "",
    validate=lambda folders, name: "name must not be empty" if name == "" else None,
)
def count(context: Context, name: str, after: str = "") -> Output:
    RUNS.append(name)
    return Output((name + after,), {"text": [name]})


@node(
    "ProbeBroken",
    display_name="Broken",
    category="probe",
    required={"value": ("INT", {"default": 0})},
    returns=("STRING",),
    output_node=True,
    validate=lambda folders, value: 1 // value,
)
def never(context: Context, value: int) -> Output:
    raise AssertionError
