"""Errors that need no server, and safe one-line texts of untrusted values for messages."""

from __future__ import annotations

import reprlib
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class ComfyKitError(Exception):
    """Base class of the errors that this package raises on purpose.

    Attributes:
        result: The failed `ExecuteResult` if there was a run, else None.

    Example:
        try:
            result = kit.run("portrait.json", prompt="a fox")
        except ComfyKitError as error:
            print(error)  # one line: what is wrong, and what to do
    """

    result: Any = None

    def _render_traceback_(self) -> list[str]:
        """Return the traceback that IPython shows: the user's own frames, without this package's."""
        from comfykit_jupyter.notebook.tracebacks import format_error

        return format_error(self)


def strip_traceback(error: BaseException) -> None:
    """Drop the traceback and the causes of one of this package's errors: their frames may hold credentials.

    `%xmode Verbose` would show the values in them, and save them with the notebook.
    """
    if isinstance(error, ComfyKitError):
        error.__traceback__ = error.__context__ = error.__cause__ = None
        error.__suppress_context__ = False  # a caller that handles another error shows that one, as for a new error


def hide_frames(error: BaseException) -> None:
    """Make IPython show an error of another package, such as KeyboardInterrupt, without this package's frames."""
    if "IPython" in sys.modules:
        # a bound method can't be pickled with the error
        error._render_traceback_ = partial(ComfyKitError._render_traceback_, error)  # type: ignore[attr-defined, arg-type]


class WorkflowError(ComfyKitError):
    """Something is not a workflow that can run. The message says what was found instead, and what to do.

    Example:
        >>> from comfykit_jupyter import Workflow
        >>> Workflow.parse("[]")
        Traceback (most recent call last):
        comfykit_jupyter.workflow.errors.WorkflowError: workflow is a list, not a workflow: give a ComfyUI workflow \
(JSON, or a media file that carries one)
    """


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a workflow or a value.

    Attributes:
        parameter: The name of the parameter or, for an input without one, its address such as `KSampler.cfg`.
        message: One line: where, what, and what to do.
        node_id: The node, if it is about one.
        node_title: The node's title, or what its class is called.
        kind: `value` for a value that does not fit. For what a server would say of a prompt, the server's own type
            of error, such as `required_input_missing`.
        field: The name of the node's input, if it is known.

    Example:
        report = await kit.check("portrait.json", {"cfg": "high"})
        for problem in report.problems:
            print(problem.parameter, problem.message)
    """

    parameter: str
    message: str
    node_id: str | None = None
    node_title: str | None = None
    kind: str = "value"
    field: str | None = None


class ParameterError(ComfyKitError):
    """Values do not fit the workflow: an unknown name, a wrong type, out of bounds, not a choice, missing.

    Attributes:
        problems: All that is wrong, as `Problem`s, not only the first. `str()` joins their messages on one line.

    Example:
        >>> from comfykit_jupyter import Workflow
        >>> node = {"class_type": "KSampler", "inputs": {"steps": 20}, "_meta": {"title": "Sampler, $steps"}}
        >>> Workflow.parse({"1": node}).bind({"steps": "many"})
        Traceback (most recent call last):
        comfykit_jupyter.workflow.errors.ParameterError: steps (Sampler): 'many' is text: give an integer
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
    r"""Return text on one line of at most `limit` characters, with control characters escaped (`\n`, `\x1b`).

    >>> one_line("two\nlines")
    'two\\nlines'
    """
    text = truncate(text, limit)
    if text.isprintable():
        return text
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return truncate(escaped, limit)


def join_names(names: Sequence[Any], most: int, show: Callable[[Any], str] = str) -> str:
    """Join the first names for a message, and count the rest.

    >>> join_names(["cat", "dog", "fox"], 2)
    'cat, dog and 1 more'
    """
    rest = len(names) - most
    return ", ".join(map(show, names[:most])) + (f" and {rest:,} more" if rest > 0 else "")


def short_repr(value: object, limit: int = 60) -> str:
    """Return the `repr` of any value on one line of at most `limit` printable characters; never raise."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = limit
    short.maxlevel = 2
    try:
        text = repr(value[:limit]) if isinstance(value, (str, bytes)) else short.repr(value)
    except Exception:  # noqa: BLE001 - a value's own repr may do anything, and the message is about something else
        text = f"<{type(value).__name__}>"
    return one_line(text, limit)


def describe_type(value: Any) -> str:
    """Return the type of a value in words: "a number", "text", "a list", or the name of its class."""
    words = {bool: "true or false", int: "an integer", float: "a number", str: "text", list: "a list", dict: "a dict"}
    if value is None:
        return "None"
    name = one_line(type(value).__name__)
    return words.get(type(value), f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}")
