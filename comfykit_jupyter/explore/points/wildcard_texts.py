"""Expand templates such as `a {red|blue} __animals__` into all texts that they stand for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from comfykit_jupyter.client.errors import ComfyKitError

_WILDCARD = re.compile(r"__([A-Za-z0-9][A-Za-z0-9_/ -]{0,99}?)__")
_MAX_FILE_BYTES = 4 << 20
_MAX_DEPTH = 10
"""Files that name each other."""


def expand_wildcards(template: str, folder: Path, where: str, most: int) -> list[str]:
    """Return the texts that a template expands to, the first alternatives first.

    Args:
        template: The text. `{red|blue}` stands for each of its parts, `__animals__` for each line of `animals.txt`.
        folder: The folder of these files.
        where: What the template is for, as errors say it.
        most: How many texts there may be.

    Raises:
        ComfyKitError: There are more, or a file can't be read.
    """
    try:
        texts = list(itertools.islice(_expand_text(template, folder, where, 0), most + 1))
    except RecursionError:
        raise ComfyKitError(f"{where}: the template has too many alternatives") from None
    if len(texts) > most:
        raise ComfyKitError(f"{where}: the template expands to more than {most:,} texts")
    return texts


def _expand_text(text: str, folder: Path, where: str, depth: int) -> Iterable[str]:
    if depth > _MAX_DEPTH:
        raise ComfyKitError(f"{where}: the template is nested more than {_MAX_DEPTH} deep, or a file refers to itself")
    found = _find_alternatives(text)
    parts: Iterable[str]
    if found is not None:
        start, end, parts = found
    elif named := _WILDCARD.search(text):
        start, end = named.span()
        words = _read_words(named[1], folder, where)
        parts = (each for word in words for each in _expand_text(word, folder, where, depth + 1))
    else:
        yield text
        return
    for part in parts:
        yield from _expand_text(text[:start] + part + text[end:], folder, where, depth)


def _find_alternatives(text: str) -> tuple[int, int, list[str]] | None:
    """Return where the first innermost `{a|b}` of a text is, and its parts; braces without `|` are text."""
    for found in re.finditer(r"\{([^{}]*)\}", text):
        if "|" in found[1]:
            return found.start(), found.end(), found[1].split("|")
    return None


def _read_words(name: str, folder: Path, where: str) -> list[str]:
    """Return the lines of a file of words, without empty ones and comments."""
    path = folder / f"{name}.txt"
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ComfyKitError(f"{where}: __{name}__ is outside {folder}")
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError:
        known = ", ".join(sorted(each.stem for each in folder.glob("*.txt"))[:10]) if folder.is_dir() else ""
        raise ComfyKitError(
            f"{where}: there is no file {path} for __{name}__{f' (there are {known})' if known else ''}"
        ) from None
    if len(content) > _MAX_FILE_BYTES:
        raise ComfyKitError(f"{where}: {path} is larger than 4 MB")
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    words = [line for line in lines if line and not line.startswith("#")]
    if not words:
        raise ComfyKitError(f"{where}: {path} is empty")
    return words
