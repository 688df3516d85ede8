"""Find what a map runs over: a folder of files, rows, or a column of a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.explore.points.axes import MAX_POINTS, to_plain
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.explore.runs.rows import Rows
from comfykit_jupyter.workflow.errors import join_names, one_line, short_repr
from comfykit_jupyter.workflow.media_kinds import KINDS


@dataclass(frozen=True)
class Inputs:
    """The values of one parameter of a map."""

    name: str
    values: tuple[Any, ...]
    skipped: tuple[str, ...] = ()
    """The files of a folder that are not media."""


def find_inputs(values: Mapping[str, Any]) -> tuple[Inputs, dict[str, Any]]:
    """Return the parameter that a map runs over, and the values that all points share.

    Raises:
        ComfyKitError: No value, or more than one, is a folder, a list, rows or a column; or it is empty.
    """
    many = {name: found for name, value in values.items() if (found := _list_values(name, value)) is not None}
    if len(many) != 1:
        if missing := [each for each in values.values() if not many and isinstance(each, Path)]:
            raise ComfyKitError(f"map: there is no folder {short_repr(str(missing[0]), 200)}")
        names = ", ".join(map(one_line, many)) or "none"
        raise ComfyKitError(
            f"map: exactly one value must be a folder, a list, rows or a column of a table, and here it is {names}"
        )
    inputs = next(iter(many.values()))
    if not inputs.values:
        hint = f": it has {', '.join(inputs.skipped[:5])}" if inputs.skipped else ""
        raise ComfyKitError(f"map: {one_line(inputs.name)} is empty{hint}")
    if len(inputs.values) > MAX_POINTS:
        raise ComfyKitError(f"map: {one_line(inputs.name)} has more than {MAX_POINTS:,} values")
    return inputs, {name: value for name, value in values.items() if name not in many}


def _list_values(name: str, value: Any) -> Inputs | None:
    if isinstance(value, Rows):
        return Inputs(name, tuple(_take_output(name, row) for row in value))
    if isinstance(value, (str, os.PathLike)) and not isinstance(value, Media):
        return _list_folder(name, Path(value)) if os.fspath(value) else None
    if (
        hasattr(value, "savefig")
        or hasattr(value, "__array_interface__")
        or isinstance(getattr(value, "mode", None), str)
    ):
        return None  # one image
    if hasattr(value, "iloc") and not hasattr(value, "columns"):
        return Inputs(name, tuple(to_plain(each) for each in value))
    if (
        isinstance(value, Iterable)
        and not isinstance(value, (str, bytes, bytearray, Mapping))
        and not hasattr(value, "read")
    ):
        return Inputs(name, tuple(_take_output(name, each) if isinstance(each, Row) else each for each in value))
    return None


def _take_output(name: str, row: Row) -> Any:
    """Return the output of a row that becomes an input: its only file, or its only text."""
    media = row.media
    if len(media) == 1:
        return media[0]
    saved = [each for each in media if not each.temp]
    if len(saved) == 1:
        return saved[0]
    if not media and len(row.texts) == 1:
        return row.texts[0]
    raise ComfyKitError(f"map: {one_line(name)}: {row!r} has {len(media)} files: give a list of those you mean")


def _list_folder(name: str, path: Path) -> Inputs | None:
    """Return the media files of a folder, by name, without those in folders below it."""
    try:
        path = path.expanduser()
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a text that is too long for a name
            return None
        found = sorted(
            (each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")), key=_sort_key
        )
    except RuntimeError:  # a text that begins with ~ is not a user's folder
        return None
    except OSError as error:
        raise ComfyKitError(f"map: {short_repr(str(path), 200)} can't be read: {error.strerror}") from None
    suffixes = {suffix for kind in KINDS.values() for form in kind.formats for suffix in form.suffixes}
    media = [each for each in found if each.suffix.lower() in suffixes]
    return Inputs(name, tuple(media), tuple(each.name for each in found if each not in set(media)))


def _sort_key(path: Path) -> list[Any]:
    """Return a key by which `cat-2` comes before `cat-10`."""
    import re

    return [(int(part), "") if part.isdecimal() else (0, part.casefold()) for part in re.split(r"(\d+)", path.name)]


def describe_inputs(inputs: Inputs) -> Sequence[str]:
    """Return lines for the plan that name the files that were left out."""
    if not inputs.skipped:
        return []
    return [f"{one_line(inputs.name)}: {join_names(inputs.skipped, 5, one_line)} are not media, and are left out"]
