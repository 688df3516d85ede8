"""The errors of everything that can be known without a server, and how a message shows a value that may be hostile."""

from __future__ import annotations

import reprlib
import sys
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class ComfyKitError(Exception):
    """The base of every error this package raises on purpose."""

    result: Any = None
    """The failed `ExecuteResult`, where there was a run."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it, and nothing else asks for: the user's own frames, and none of ours."""
        from comfykit_jupyter.notebook.tracebacks import format_error

        return format_error(self)


def strip_traceback(error: BaseException) -> None:
    """Have an error of ours be its line and no more: what led to it are frames and requests with secrets in them.

    Whoever has the values of frames shown (`%xmode Verbose`) would have them in a notebook.
    """
    if isinstance(error, ComfyKitError):
        error.__traceback__ = error.__context__ = error.__cause__ = None
        error.__suppress_context__ = False  # as a new one: what its caller handles meanwhile is shown


def hide_frames(error: BaseException) -> None:
    """Have IPython show an error that is none of our own, such as an interrupt that passes by, as it shows ours."""
    if "IPython" in sys.modules:
        error._render_traceback_ = MethodType(ComfyKitError._render_traceback_, error)  # type: ignore[attr-defined]


class WorkflowError(ComfyKitError):
    """What was given is not a workflow that can be run; the message says what it is instead and what to do."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one parameter. `message` is a whole line: where, what, and what to do.

    `kind` is `value` for a value that was given; for what a server would say of a prompt it is the server's own type of
    error, such as `required_input_missing`.
    """

    parameter: str
    message: str
    node_id: str | None = None
    node_title: str | None = None
    kind: str = "value"
    field: str | None = None


class ParameterError(ComfyKitError):
    """Values that do not fit the workflow: an unknown name, a wrong type, out of bounds, not a choice, missing.

    `problems` holds all of them, not only the first; `str()` is their messages on one line.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)  # the arguments of __init__, so that the error survives pickling

    def __str__(self) -> str:
        return "; ".join(problem.message for problem in self.problems)


def truncate(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text; if it is cut, the last one is `…`."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def one_line(text: str, limit: int = 60) -> str:
    r"""Return a text as one line of a message: at most `limit` characters, control characters escaped (`\n`)."""
    text = truncate(text, limit)
    if text.isprintable():
        return text
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return truncate(escaped, limit)


def short_repr(value: object, limit: int = 60) -> str:
    """The `repr` of any value for a message: at most `limit` characters, printable, never raises."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = limit
    short.maxlevel = 2
    try:
        text = repr(value[:limit]) if isinstance(value, (str, bytes)) else short.repr(value)
    except Exception:  # noqa: BLE001 - a value's own repr may do anything, and the message is about something else
        text = f"<{type(value).__name__}>"
    return one_line(text, limit)


def describe_type(value: Any) -> str:
    """What a value is, in the words of a message: "a number", "text", "a list", else the name of its type."""
    words = {bool: "true or false", int: "an integer", float: "a number", str: "text", list: "a list", dict: "a dict"}
    if value is None:
        return "None"
    name = one_line(type(value).__name__)
    return words.get(type(value), f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}")
