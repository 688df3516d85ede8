"""Axes: what a sweep varies, and its points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.explore.points.wildcard_texts import expand_wildcards
from comfykit_jupyter.workflow.errors import one_line, short_repr

MAX_POINTS = 100_000
"""Points of one sweep."""

# -- what users write --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seeds:
    """An axis of seeds; see `seeds`."""

    count: int


@dataclass(frozen=True)
class Replace:
    """An axis of texts that differ in some words; see `replace`."""

    old: str
    new: tuple[str, ...]


@dataclass(frozen=True)
class Lora:
    """An axis of strengths of a LoRA; see `lora`."""

    name: str
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class Wildcards:
    """An axis of the texts that a template expands to; see `wildcards`."""

    template: str
    folder: Path


def seeds(count: int) -> Seeds:
    """Vary a seed. The same cell has the same seeds again.

    `over={"seed": seeds(4)}` draws four. With a larger number the first ones stay, and only the new ones are run.

    Args:
        count: How many seeds.

    Raises:
        ComfyKitError: It is not an integer of at least 1.

    Example:
        >>> from comfykit_jupyter import seeds
        >>> seeds(4)
        Seeds(count=4)
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_POINTS:
        raise ComfyKitError(f"seeds: count must be an integer between 1 and {MAX_POINTS:,}, not {short_repr(count)}")
    return Seeds(count)


def replace(old: str, new: Iterable[str]) -> Replace:
    """Vary words of a text.

    `over={"prompt": replace("fox", ["fox", "cat"])}` has two points.

    Args:
        old: The words as they stand in the text. They must occur in it.
        new: What replaces them.

    Raises:
        ComfyKitError: The words are empty, or there is nothing to replace them with.

    Example:
        >>> from comfykit_jupyter import replace
        >>> replace("fox", ["fox", "cat"])
        Replace(old='fox', new=('fox', 'cat'))
    """
    words = () if isinstance(new, str) else tuple(new)
    if not isinstance(old, str) or not old or not words or not all(isinstance(each, str) for each in words):
        raise ComfyKitError('replace: give the words, and a list of others: replace("fox", ["fox", "cat"])')
    return Replace(old, words)


def lora(name: str, strengths: Iterable[float]) -> Lora:
    """Vary the strength of a LoRA.

    `over={"style": lora("style", [0, 0.5, 1])}` has three points. A loader is inserted where the workflow has none for
    this file. With strength 0 there is none.

    Args:
        name: The file on the server; its folder and suffix may be left out.
        strengths: The strengths, for model and CLIP.

    Raises:
        ComfyKitError: The name is not text, or the strengths are not numbers.

    Example:
        >>> from comfykit_jupyter import lora
        >>> lora("style", [0, 0.5, 1])
        Lora(name='style', strengths=(0.0, 0.5, 1.0))
    """
    try:
        numbers = tuple(float(each) for each in strengths)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if not isinstance(name, str) or not name or not numbers or not all(map(math.isfinite, numbers)):
        raise ComfyKitError('lora: give the name of a file, and a list of strengths: lora("style", [0, 0.5, 1])')
    return Lora(name, numbers)


def wildcards(template: str, folder: str | Path = "wildcards") -> Wildcards:
    """Vary a text over all its alternatives.

    `over={"prompt": wildcards("a {red|blue} fox")}` has two points.

    Args:
        template: The text. `{red|blue}` stands for each of its parts, `__animals__` for each line of `animals.txt`.
        folder: The folder of these files.

    Raises:
        ComfyKitError: The template is not text.

    Example:
        >>> from comfykit_jupyter import wildcards
        >>> wildcards("a {red|blue} fox").template
        'a {red|blue} fox'
    """
    if not isinstance(template, str) or not template:
        raise ComfyKitError(f"wildcards: the template must be text, not {short_repr(template)}")
    return Wildcards(template, Path(folder).expanduser())


# -- what they become --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """One axis of a sweep.

    Attributes:
        names: The parameters that it sets; one, but for paired rows.
        labels: What its values are called, in the grid and in `Sweep.at`: one for each name.
        values: The parameters' values, for each point on the axis.
        note: What was left out.
        paired: Whether its points are rows of a table.
        lora: The file of a LoRA whose strengths the labels are.

    Example:
        sweep = kit.sweep("portrait.json", over={"cfg": [3, 4.5, 6]})
        sweep.axes[0].labels
    """

    names: tuple[str, ...]
    labels: tuple[tuple[Any, ...], ...]
    values: tuple[Mapping[str, Any], ...]
    note: str = ""
    paired: bool = False
    lora: str = ""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Attributes:
        index: Its number, from 0; the last axis varies fastest.
        position: Where it is on each axis.
        labels: The labels by parameter name.
        values: The values by parameter name.

    Example:
        sweep = kit.sweep("portrait.json", over={"cfg": [3, 4.5, 6]})
        [point.values["cfg"] for point in sweep.points]
    """

    index: int
    position: tuple[int, ...]
    labels: Mapping[str, Any] = field(hash=False)
    values: Mapping[str, Any] = field(hash=False)


FindText = Callable[[str], Any]
"""Returns the value that a parameter has without the axes."""
DrawSeeds = Callable[[str, int], Sequence[int]]
"""Returns the first seeds drawn for a parameter."""


def build_axes(over: Any, find_value: FindText, draw_seeds: DrawSeeds) -> tuple[Axis, ...]:
    """Return the axes that a user gave.

    Args:
        over: A dict of axes, whose combinations are the points; or a table of paired rows: a list of dicts, or a
            DataFrame.
        find_value: Finds the text that `replace` changes.
        draw_seeds: Draws the seeds of `seeds`.

    Raises:
        ComfyKitError: An axis is not one; the message says which, and what to write.
    """
    if isinstance(over, Mapping):
        if not over:
            raise ComfyKitError('over: there is no axis: give one, as in over={"cfg": [3, 4.5, 6]}')
        axes = tuple(_build_axis(name, given, find_value, draw_seeds) for name, given in over.items())
    else:
        axes = (_build_rows(over),)
    count = math.prod(map(len, axes))
    if count > MAX_POINTS:
        raise ComfyKitError(f"over: {count:,} points are more than {MAX_POINTS:,}: give fewer values")
    return axes


def build_points(axes: Sequence[Axis]) -> list[Point]:
    """Return all combinations of the axes' values, in their order; the last axis varies fastest."""
    points = []
    for index, position in enumerate(itertools.product(*(range(len(axis)) for axis in axes))):
        labels: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for axis, place in zip(axes, position, strict=True):
            labels.update(zip(axis.names, axis.labels[place], strict=True))
            values.update(axis.values[place])
        points.append(Point(index, position, labels, values))
    return points


def _build_axis(name: Any, given: Any, find_value: FindText, draw_seeds: DrawSeeds) -> Axis:
    if not isinstance(name, str):
        raise ComfyKitError(f"over: an axis is named by a parameter, not {short_repr(name)}")
    where = one_line(name)
    if isinstance(given, Seeds):
        return _make_axis(name, [*draw_seeds(name, given.count)])
    if isinstance(given, Replace):
        text = find_value(name)
        if not isinstance(text, str) or given.old not in text:
            raise ComfyKitError(f"{where}: {short_repr(given.old)} is not in its text, {short_repr(text)}")
        new = _drop_duplicates(given.new)
        return Axis(
            (name,), tuple((each,) for each in new), tuple({name: text.replace(given.old, each)} for each in new)
        )
    if isinstance(given, Lora):
        strengths = _drop_duplicates(given.strengths)
        return Axis((name,), tuple((each,) for each in strengths), tuple({} for _ in strengths), lora=given.name)
    if isinstance(given, Wildcards):
        return _make_axis(name, expand_wildcards(given.template, given.folder, where, MAX_POINTS))
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        hint = ", or seeds(8)" if "seed" in name.lower() else ""
        raise ComfyKitError(f"{where}: an axis is a list: [{short_repr(given)}]{hint}")
    return _make_axis(name, _take(given, where))


def _make_axis(name: str, values: Sequence[Any]) -> Axis:
    for value in values:
        if _is_nan(value):
            raise ComfyKitError(f"{one_line(name)}: NaN is not a value of an axis")
    once = _drop_duplicates(values)
    left_out = len(values) - len(once)
    note = f"{one_line(name)}: {left_out} duplicate{'s' * (left_out > 1)} left out" if left_out else ""
    labels = tuple((_find_label(each, index),) for index, each in enumerate(once))
    return Axis((name,), labels, tuple({name: each} for each in once), note)


def _find_label(value: Any, index: int) -> Any:
    """Return what a value is called: a file by its name, an image or array by its number."""
    if isinstance(value, (Media, Path)):
        return value.name
    if value is None or isinstance(value, (str, int, float)):
        return value
    return f"{type(value).__name__} {index}"


def _take(given: Iterable[Any], where: str) -> list[Any]:
    """Return the values of an axis; a generator may have no end."""
    values = list(itertools.islice(given, MAX_POINTS + 1))
    if not values:
        raise ComfyKitError(f"{where}: the axis is empty")
    if len(values) > MAX_POINTS:
        raise ComfyKitError(f"{where}: the axis has more than {MAX_POINTS:,} values")
    return [to_plain(each) for each in values]


def to_plain(value: Any) -> Any:
    """Return a value of a table as Python has it: NumPy's scalars become Python's, NA becomes None."""
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas"):
        if type(value).__name__ in ("NAType", "NaTType"):
            return None
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            return value.item()
    return value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _build_rows(over: Any) -> Axis:
    """Return the axis of a table: one point for each row."""
    if hasattr(over, "to_dict") and hasattr(over, "columns"):
        rows = over.to_dict("records")
    elif (
        isinstance(over, Sequence)
        and not isinstance(over, (str, bytes))
        and all(isinstance(each, Mapping) for each in over)
    ):
        rows = [dict(each) for each in over]
    else:
        raise ComfyKitError(
            'over: give a dict of lists, {"cfg": [3, 4.5, 6]}, or a list of dicts or a DataFrame for paired values, '
            f"not {short_repr(over)}"
        )
    if not rows:
        raise ComfyKitError("over: the table has no rows")
    if len(rows) > MAX_POINTS:
        raise ComfyKitError(f"over: the table has more than {MAX_POINTS:,} rows")
    names = tuple(str(name) for name in dict.fromkeys(itertools.chain.from_iterable(rows)))
    plain = [{str(name): to_plain(value) for name, value in row.items()} for row in rows]
    given = [{name: value for name, value in row.items() if value is not None and not _is_nan(value)} for row in plain]
    labels = tuple(tuple(row.get(name) for name in names) for row in given)
    return Axis(names, labels, tuple(given), paired=True)


def _drop_duplicates(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order; 1 and true are different."""
    found: list[Any] = []
    known: set[tuple[type, Any]] = set()
    for value in values:
        try:
            mark = (bool if isinstance(value, bool) else str if isinstance(value, str) else object, value)
            if mark in known:
                continue
            known.add(mark)
        except TypeError:  # an array or a list: compared one by one
            if any(value is each for each in found):
                continue
        found.append(value)
    return found
