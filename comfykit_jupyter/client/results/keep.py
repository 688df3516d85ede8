"""How much of a run the notebook keeps: one setting for the whole process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from comfykit_jupyter.client.errors import SettingsError
from comfykit_jupyter.workflow.errors import short_repr

KeepMode = Literal["off", "links", "thumbnails"]

DEFAULT_KILOBYTES = 150
MIN_KILOBYTES = 10
MAX_KILOBYTES = 20_000


@dataclass(frozen=True)
class Keep:
    """What a notebook keeps of each run; see `keep`.

    Attributes:
        mode: `off`, `links` or `thumbnails`.
        kilobytes: What one run may take in the notebook's file.

    Example:
        >>> from comfykit_jupyter import keep
        >>> keep().mode
        'thumbnails'
    """

    mode: KeepMode = "thumbnails"
    kilobytes: int = DEFAULT_KILOBYTES


_current = Keep()


def get_keep() -> Keep:
    """Return what is kept now."""
    return _current


def keep(mode: KeepMode | None = None, kilobytes: int | None = None) -> Keep:
    """Set what the notebook keeps of every run from now on, in this process.

    Args:
        mode: `off` keeps one line: what ran and how it ended. `links` adds texts, and links to the files on the server.
            `thumbnails` adds small images, within `kilobytes`. None leaves the mode unchanged.
        kilobytes: The most that one run takes in the notebook's file, 10 to 20000. None means 150.

    Returns:
        The setting in force; without arguments nothing changes.

    Raises:
        SettingsError: The mode or the number is not allowed.

    Example:
        >>> from comfykit_jupyter import keep
        >>> keep("thumbnails", kilobytes=400)
        Keep(mode='thumbnails', kilobytes=400)
        >>> keep("thumbnails")
        Keep(mode='thumbnails', kilobytes=150)
    """
    global _current
    if mode is None and kilobytes is None:
        return _current
    modes: tuple[Any, ...] = get_args(KeepMode)
    if mode is not None and mode not in modes:
        raise SettingsError(f"keep: mode must be one of {', '.join(modes)}, not {short_repr(mode)}")
    size = DEFAULT_KILOBYTES if kilobytes is None else kilobytes
    if isinstance(size, bool) or not isinstance(size, int) or not MIN_KILOBYTES <= size <= MAX_KILOBYTES:
        raise SettingsError(
            f"keep: kilobytes must be an integer between {MIN_KILOBYTES} and {MAX_KILOBYTES}, not {short_repr(size)}"
        )
    _current = Keep(mode or _current.mode, size)
    return _current
