"""Format this package's errors for IPython: the frames of the user's own code, and the error's line.

`%tb Verbose`, `%xmode Verbose` and `%xmode --show` show the package's frames too, and so do scripts and debuggers.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType

from IPython.core.getipython import get_ipython

_PACKAGE = __name__.partition(".")[0]


def format_error(error: BaseException) -> list[str]:
    """Format an error as the shell does, without this package's frames, in parts of one or several lines."""
    shell = get_ipython()
    if shell is None:
        return traceback.format_exception(type(error), error, error.__traceback__)
    tracebacks = shell.InteractiveTB
    if tracebacks.mode == "Verbose" or not tracebacks.skip_hidden:
        return _format_traceback(tracebacks, error)
    errors = list(_iterate_chain(error))
    complete = [each.__traceback__ for each in errors]
    try:
        for each in errors:
            each.__traceback__ = _cut_traceback(each.__traceback__)
        return _format_traceback(tracebacks, error)
    finally:
        for each, trace in zip(errors, complete, strict=True):
            each.__traceback__ = trace


def _format_traceback(tracebacks: object, error: BaseException) -> list[str]:
    lines: list[str] = tracebacks.structured_traceback(type(error), error, error.__traceback__)  # type: ignore[attr-defined]
    return lines


def _iterate_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and the earlier errors that are shown with it."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _cut_traceback(trace: TracebackType | None) -> TracebackType | None:
    """Return the frames above the first one of this package."""
    if trace is None or trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        return None
    return TracebackType(_cut_traceback(trace.tb_next), trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
