"""Names of files: safe ones from a server's names, and those that a pattern such as `{workflow}-{seed}` describes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from comfykit_jupyter.workflow.errors import ComfyKitError, describe_type, one_line, short_repr
from comfykit_jupyter.workflow.spelling import find_nearest

MAX_NAME_BYTES = 200
"""Bytes of the name of a file, without its suffix."""
MAX_VALUE_LENGTH = 80
"""Characters of a value, such as a prompt text, that go into a name."""
MAX_SUFFIX_BYTES = 20
"""Bytes of a suffix; a longer one is a part of the name."""

_FIELD = re.compile(r"\{([^{}]*)\}")
_SUFFIX = re.compile(r"\.([A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*)$")
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Kinds of characters that change the direction of what follows: after U+202E, `gnp.exe` looks like `exe.png`."""
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
"""Names that open a device on Windows, with any suffix."""


def to_safe_name(name: str) -> str:
    """Return a server's file name as a name in a local folder: it is not hidden or too long, and stays inside."""
    return _clean_name(name.replace("\\", "/").rpartition("/")[2]) or "file"


def is_device_name(name: str) -> bool:
    """Return whether a name opens a device on Windows."""
    return _DEVICES.match(name) is not None


def to_encodable(value: object) -> str:
    """Return a text without lone surrogates, which JSON can contain and UTF-8 can't."""
    return str(value).encode("utf-8", "replace").decode()


def fill_pattern(pattern: str, values: Mapping[str, Any], suffix: str) -> str:
    """Return the path that a pattern describes.

    `{name}` stands for a value, `{name.stem}` for the name of a file without its folder and suffix. There is nothing
    else: no formats, no escapes. A `/` in a value becomes `_`, so that only the pattern makes folders.

    Args:
        pattern: The path, with `/` between its folders.
        values: What can be named.
        suffix: The suffix of the file, added to a pattern that has none; "" for a folder.

    Raises:
        ComfyKitError: The pattern names something else.

    >>> fill_pattern("runs/{prompt}-{seed}", {"prompt": "a fox/cat", "seed": 7}, ".png")
    'runs/a fox_cat-7.png'
    """
    if suffix and find_pattern_suffix(pattern) is None:
        pattern += suffix
    return "/".join(_fill_part(part, pattern, values) for part in pattern.split("/"))


def find_pattern_suffix(pattern: str) -> str | None:
    """Return the suffix that a pattern gives its files, `.{ext}` for the output's own, or None without one."""
    if pattern.endswith(".{ext}"):
        return ".{ext}"
    found = _SUFFIX.search(_FIELD.sub("{}", pattern))
    return found[0] if found else None


def number_name(name: str, number: int) -> str:
    """Return a file name with a number before its suffix: `cat-2.png`; the first has none."""
    path = PurePosixPath(name)
    return name if number == 1 else f"{path.stem}-{number}{path.suffix}"


def _fill_part(part: str, pattern: str, values: Mapping[str, Any]) -> str:
    """Fill one folder or file name of a pattern; one without a value stays as it was typed."""
    filled = _FIELD.sub(lambda found: _format_value(found[1], pattern, values), part)
    if set(_FIELD.sub("", part)) & set("{}"):
        raise ComfyKitError(f"{short_repr(pattern, 200)}: each {{ needs a }}, with a name between them")
    if not _FIELD.search(part):
        return part
    return _clean_name(f"_{filled}" if filled.startswith(".") else filled) or "_"  # never hidden by an empty value


def _format_value(name: str, pattern: str, values: Mapping[str, Any]) -> str:
    known = name.removesuffix(".stem") if name not in values else name
    if known not in values:
        raise ComfyKitError(f"{short_repr(pattern, 200)}: unknown name {{{one_line(name)}}}: {_advise(name, values)}")
    value = values[known]
    if not isinstance(value, (str, int, float)):
        raise ComfyKitError(f"{{{one_line(name)}}} is {describe_type(value)}, which has no name: leave it out")
    text = to_encodable(value)
    if known != name:
        text = PurePosixPath(text.replace("\\", "/")).stem
    return re.sub(r"[/\\\s]", lambda found: " " if found[0].isspace() else "_", text)[:MAX_VALUE_LENGTH].strip()


def _advise(name: str, names: Iterable[str]) -> str:
    if nearest := find_nearest(name, names):
        return f"did you mean {{{nearest}}}?"
    return f"use one of {', '.join(names)}"


def _is_unsafe(char: str) -> bool:
    """Return whether some system allows no file with this character, or shows the name in another order."""
    return char in '<>:"|?*' or unicodedata.category(char) == "Cc" or unicodedata.bidirectional(char) in _TURNING


def _clean_name(name: str) -> str:
    """Return a name that any system can use for a file, or nothing if nothing of it is left."""
    base = to_encodable(name)
    clean = "".join("_" if _is_unsafe(char) else char for char in base).strip(". ")
    if is_device_name(clean):
        clean = f"_{clean}"
    stem, dot, suffix = clean.rpartition(".")
    if not stem or len(suffix.encode()) > MAX_SUFFIX_BYTES:
        stem, dot, suffix = clean, "", ""
    return stem.encode()[:MAX_NAME_BYTES].decode(errors="ignore") + dot + suffix
