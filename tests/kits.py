"""Kits for tests: independent of the machine's settings, and closed at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client import loop
from comfykit_jupyter.client.running.run import Run

MakeKit = Callable[..., ComfyKit]


def hide_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the machine's own settings from the environment."""
    for name in [name for name in os.environ if name.startswith(("COMFYUI_", "COMFYKIT_", "RUNNINGHUB_"))]:
        monkeypatch.delenv(name)


@contextlib.contextmanager
def closing_kits(create: MakeKit) -> Iterator[MakeKit]:
    """Give a function that creates kits as `create` does. They are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make_kit(*args: object, **options: object) -> ComfyKit:
            kit = create(*args, **options)
            stack.callback(lambda: loop.call(kit.close()))
            return kit

        yield make_kit


def end_time(run: Run) -> None:
    """End the time of a run now, as its `timeout` would later: how far it gets until then depends on the machine."""
    loop.get_loop().call_soon_threadsafe(run._time_out)
