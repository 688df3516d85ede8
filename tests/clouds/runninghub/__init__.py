"""A local double of RunningHub's API: it really runs workflows, and can reproduce every known kind of failure."""

from __future__ import annotations

from . import changes
from .cloud import RunningHub
from .codes import IDENTIFIERS
from .files import Request
from .script import (
    CUT,
    DROPPED,
    EMPTY,
    FLOOD,
    HANGING,
    LOST,
    LOST_HANGING,
    NO_JSON,
    NOT_FOUND,
    WRONG_PATH,
    Held,
    Refusal,
    Reply,
    build_huge,
    build_page,
)
from .shelf import App, Field
from .task import Fate, Output, Polls, Task

__all__ = [
    "CUT",
    "DROPPED",
    "EMPTY",
    "FLOOD",
    "HANGING",
    "IDENTIFIERS",
    "LOST",
    "LOST_HANGING",
    "NOT_FOUND",
    "NO_JSON",
    "WRONG_PATH",
    "App",
    "Fate",
    "Field",
    "Held",
    "Output",
    "Polls",
    "Refusal",
    "Reply",
    "Request",
    "RunningHub",
    "Task",
    "build_huge",
    "build_page",
    "changes",
]
