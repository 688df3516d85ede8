"""How much of a run stays in the notebook: set once for all of this process, whoever shows the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from comfykit_jupyter.client.errors import SettingsError

KeepMode = Literal["off", "links", "thumbnails"]
KILOBYTES, LEAST, MOST = 150, 10, 20_000
"""Kilobytes that a run takes in the notebook: where nothing else was said, at least, and at the most."""


@dataclass(frozen=True)
class Keep:
    """What stays of a run.

    `off`: a line that says what was run and how it ended. `links`: that, its texts, and links to its files on the
    server. `thumbnails`: small pictures as well, all of it together in so many kilobytes.
    """

    mode: KeepMode = "thumbnails"
    kilobytes: int = KILOBYTES


_kept = Keep()


def get_keep() -> Keep:
    """What stays of a run now."""
    return _kept


def keep(mode: KeepMode | None = None, kilobytes: int | None = None) -> Keep:
    """Set what stays of a run in the notebook, for all runs shown from now on in this process; returns it.

        keep("links")
        keep("thumbnails", kilobytes=400)

    Args:
        mode: `off`, `links` or `thumbnails`; None leaves it as it is.
        kilobytes: for one run, 10 to 20000; None means 150.

    Raises:
        SettingsError: it is none of these.
    """
    global _kept
    if mode is None and kilobytes is None:
        return _kept
    modes: tuple[Any, ...] = get_args(KeepMode)
    if mode is not None and mode not in modes:
        raise SettingsError(f"keep: {str(mode)[:60]!r} is none of {', '.join(modes)}")
    size = KILOBYTES if kilobytes is None else kilobytes
    if isinstance(size, bool) or not isinstance(size, int) or not LEAST <= size <= MOST:
        raise SettingsError(f"keep: {str(size)[:60]} is no number of kilobytes between {LEAST} and {MOST}")
    _kept = Keep(mode or _kept.mode, size)
    return _kept
