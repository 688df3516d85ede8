"""Test that Ctrl-C cancels a run wherever it comes between the start of a call and its result."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import comfykit_jupyter
from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.running.registry import find_unfinished_runs

from . import workflows
from .conftest import Jobs
from .nodes import Gate

PACKAGE = str(Path(comfykit_jupyter.__file__).parent)
EXEMPT = ("get_loop",)
"""Functions that are not interrupted: no signal arrives between the end of a `with` block and its `__exit__`."""
OPCODES = sys.version_info < (3, 12)
"""Whether a trace function gets every bytecode: 3.12.1 and 3.13.0 forget some, and the run would not be interrupted."""
WAITS = ("wait", "await_on_loop")
"""Functions that wait for the result."""


class Interrupter:
    """Raises KeyboardInterrupt in this thread before the instruction with a given number.

    Args:
        number: The number of the instruction, from 0. Only those of the package count.
        opcodes: Whether an instruction is a bytecode, or a line.
    """

    def __init__(self, number: int, *, opcodes: bool = False) -> None:
        self._left = number
        self._opcodes = opcodes
        self.interrupted = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Interrupt what is called in this context."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        del event, argument
        code = frame.f_code
        if self.interrupted or code.co_name in EXEMPT or not code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = self._opcodes
        return self._count

    def _count(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        del argument
        if self.interrupted:
            return None
        if event == ("opcode" if self._opcodes else "line"):
            if self._left == 0 or frame.f_code.co_name in WAITS:  # from here on, it waits
                self.interrupted = True
                raise KeyboardInterrupt
            self._left -= 1
        return self._count

    @property
    def reached(self) -> bool:
        """Whether the instruction with the number came before the wait."""
        return self._left == 0


def run(kit: ComfyKit, workflow: Any) -> None:
    kit.run(workflow)


def execute(kit: ComfyKit, workflow: Any) -> None:
    asyncio.run(kit.execute(workflow))


@pytest.mark.parametrize(("call", "opcodes"), [(run, OPCODES), (execute, False)])
def test_interrupt_before_any_instruction_cancels_the_run(
    call: Callable[[ComfyKit, Any], None], opcodes: bool, kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    workflow = workflows.gated(gate[0])
    kit.definitions(kit.load(workflow))  # a warm kit is the fastest to send
    number = 0
    while True:
        interrupter = Interrupter(number, opcodes=opcodes)
        with pytest.raises(KeyboardInterrupt), interrupter.active():
            call(kit, workflow)
        assert find_unfinished_runs() == [], f"interrupted before instruction {number}"
        if not interrupter.reached:
            break
        number += 1
    assert number > 40
    jobs.expect()
