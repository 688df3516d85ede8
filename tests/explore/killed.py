"""Kernels that are killed at one step of a point's life: `python -m tests.explore.killed URL FOLDER`.

Each is a fork of this process, so that the package is imported only once, and kills itself at its step.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.running.submission import Submission
from comfykit_jupyter.explore.ledger import journal, objects
from comfykit_jupyter.explore.ledger.journal import Journal
from comfykit_jupyter.explore.ledger.recorder import LedgerRecorder
from tests.client.workflows import picture

POINTS = 3


def kill(*_: Any, **__: Any) -> Any:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_before_an_event(kind: str) -> None:
    """Be killed instead of writing a line."""
    append = Journal.append

    def append_or_die(self: Journal, event: Any, **more: Any) -> None:
        if event["event"] == kind:
            kill()
        append(self, event, **more)

    Journal.append = append_or_die  # type: ignore[method-assign]


def kill_in_the_second_sync() -> None:
    """Be killed when the first `sent` is written, but not synced. The sync before it is that of the sweep's line."""
    syncs: list[int] = []

    def sync(descriptor: int) -> None:
        syncs.append(descriptor)
        if len(syncs) > 1:
            kill()

    journal.os.fsync = sync  # type: ignore[attr-defined]


def kill_in_a_copy(source: Path, target: Path) -> None:
    """Be killed when half of an original is written."""
    target.write_bytes(source.read_bytes()[:40])
    kill()


def replace_and_kill(replace: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """Be killed when the merged file has its name, and the old ones are still there."""

    def replace_and_die(self: Path, target: Path) -> Path:
        found = replace(self, target)
        if target.suffix == ".jsonl":
            kill()
        return found

    return replace_and_die


STEPS: dict[str, Callable[[], None]] = {
    "before sent": lambda: kill_before_an_event("sent"),
    "before the sync of sent": kill_in_the_second_sync,
    "between sent and POST": lambda: setattr(ComfyUI, "post", kill),
    "after POST": lambda: setattr(Submission, "_on_answer", kill),
    "before end": lambda: kill_before_an_event("end"),
    "between end and object": lambda: setattr(LedgerRecorder, "_keep_output", kill),
    "in an object": lambda: setattr(objects, "_copy", kill_in_a_copy),
    "before kept": lambda: kill_before_an_event("kept"),
    "while compacting": lambda: setattr(Path, "replace", kill),
    "after compacting": lambda: setattr(Path, "replace", replace_and_kill(Path.replace)),
}


def run_step(url: str, folder: Path, step: str) -> None:
    """Run a sweep, and be killed in it."""
    kit = ComfyKit(url, runs=folder)
    over = get_axes(step)
    if "compacting" in step:
        kit.sweep(picture(), over=over).wait()
        STEPS[step]()
        kit.runs.compact()
    STEPS[step]()
    kit.sweep(picture(), over=over).wait()


def get_axes(step: str) -> dict[str, list[int]]:
    """Return the axes of a step's sweep: each step has widths of its own, by which its jobs are counted."""
    first = 8 + 10 * list(STEPS).index(step)
    return {"width": list(range(first, first + POINTS))}


def main(url: str, folder: Path) -> None:
    """Run all steps at once, and print how each ended."""
    children = {}
    for number, step in enumerate(STEPS):
        children[step] = os.fork()
        if not children[step]:
            try:
                run_step(url, folder / str(number), step)
            finally:
                os._exit(1)
    for step, child in children.items():
        _, status = os.waitpid(child, 0)
        print(step, os.WTERMSIG(status) if os.WIFSIGNALED(status) else "was not killed", flush=True)


if __name__ == "__main__":
    for module in ("httpx", "anyio._backends._asyncio", "comfykit_jupyter.explore.sweeps.sweep"):  # before the forks
        import_module(module)
    Image.init()
    main(sys.argv[1], Path(sys.argv[2]))
