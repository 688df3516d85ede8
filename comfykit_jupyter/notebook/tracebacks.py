"""What IPython shows of an error of ours: the frames of the user's own code, down to the call, and the error's line.

`%tb Verbose`, `%xmode Verbose` and `%xmode --show` show the frames below as well; so does a script, and the debugger.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType

from IPython.core.getipython import get_ipython

_PACKAGE = __name__.partition(".")[0]


def rendered(error: BaseException) -> list[str]:
    """An error as the shell shows it, in parts of text that may hold several lines each."""
    shell = get_ipython()
    if shell is None:
        return traceback.format_exception(type(error), error, error.__traceback__)
    tracebacks = shell.InteractiveTB
    if tracebacks.mode == "Verbose" or not tracebacks.skip_hidden:
        return _told(tracebacks, error)
    errors = list(_chain(error))
    whole = [each.__traceback__ for each in errors]
    try:
        for each in errors:
            each.__traceback__ = _above_ours(each.__traceback__)
        return _told(tracebacks, error)
    finally:
        for each, its in zip(errors, whole, strict=True):
            each.__traceback__ = its


def _told(tracebacks: object, error: BaseException) -> list[str]:
    lines: list[str] = tracebacks.structured_traceback(type(error), error, error.__traceback__)  # type: ignore[attr-defined]
    return lines


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that led to it and are shown with it."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _above_ours(trace: TracebackType | None) -> TracebackType | None:
    """The frames before the first one of this package."""
    if trace is None or trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        return None
    return TracebackType(_above_ours(trace.tb_next), trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
