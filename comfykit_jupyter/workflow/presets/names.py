"""Check the names of presets: each is the name of a file on any system."""

from __future__ import annotations

import unicodedata

from comfykit_jupyter.workflow.errors import ComfyKitError, short_repr
from comfykit_jupyter.workflow.file_names import is_device_name

MAX_NAME_LENGTH = 64
"""Characters of a name."""
MAX_NAME_BYTES = 192
"""Bytes of a name in UTF-8: most systems allow 255 in the name of a file, and the names of its images are longer."""
_OTHERS = frozenset(" -_")


def check_name(name: object) -> str:
    """Return the name of a preset, with composed characters.

    Raises:
        ComfyKitError: A preset can't have this name.
    """
    if not isinstance(name, str):
        raise ComfyKitError(f"the name of a preset must be text, not {short_repr(name)}")
    composed = unicodedata.normalize("NFC", name)
    if not 1 <= len(composed) <= MAX_NAME_LENGTH:
        raise ComfyKitError(f"the name of a preset must have 1 to {MAX_NAME_LENGTH} characters, not {len(composed)}")
    if not all(_is_allowed(char) for char in composed) or unicodedata.category(composed[0])[0] == "M":
        raise ComfyKitError(
            f"the name of a preset must contain only letters, digits, spaces, - and _, not {short_repr(composed)}"
        )
    if len(composed.encode()) > MAX_NAME_BYTES:
        raise ComfyKitError(
            f"the name of a preset must have at most {MAX_NAME_BYTES} bytes in UTF-8: {short_repr(composed)}"
        )
    if composed != composed.strip():
        raise ComfyKitError(f"the name of a preset must not begin or end with a space: {short_repr(composed)}")
    if is_device_name(composed):
        raise ComfyKitError(f"{composed!r} is the name of a device on Windows: use another name")
    return composed


def to_key(name: str) -> str:
    """Return a text that is equal for names that are one file on some systems: they differ only in case."""
    return unicodedata.normalize("NFC", name.casefold())


def _is_allowed(char: str) -> bool:
    """Return whether a name may have a character: letters of any script with their marks, digits, a few others."""
    return char in _OTHERS or unicodedata.category(char)[0] in "LM" or unicodedata.category(char) == "Nd"
