"""Add values to an axis of a sweep, and remove some: the sweep stays the same one, and what was run is there again."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.points.axes import Axis, Lora, Replace, Seeds, Wildcards
from comfykit_jupyter.explore.points.notation import parse_axis
from comfykit_jupyter.explore.sweeps.point_rows import PointRows, is_same_value
from comfykit_jupyter.workflow.errors import one_line, short_repr

if TYPE_CHECKING:
    from typing_extensions import Self

    from comfykit_jupyter.explore.points.preparation import Preparation


class EditableAxes(PointRows):
    """Points whose axes can get more values, and fewer."""

    _lock: threading.RLock
    _preparation: Preparation

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether it runs: then its axes can't be changed."""

    @abstractmethod
    def _load(self) -> None:
        """Prepare the points, and find what is there of them."""

    def add_values(self, name: str, *values: Any) -> Self:
        """Add values to an axis. Nothing is sent before `start()`; what was run stays.

        Args:
            name: The name of the axis.
            values: The values; for an axis of drawn seeds, `seeds(4)` draws four more.

        Raises:
            ComfyKitError: There is no such axis, it can't have more values, or the sweep runs.
        """
        return self._change_axes(name, lambda over, axis: extend_axis(over, axis, values))

    def remove_values(self, name: str, *labels: Any) -> Self:
        """Remove values from an axis. Their runs stay in `kit.runs`.

        Args:
            name: The name of the axis.
            labels: The values, as `points[0].labels` has them.

        Raises:
            ComfyKitError: There is no such axis or value, no value would be left, or the sweep runs.
        """
        own = [label[0] for label in self.find_axis(name)[1].labels]
        for label in labels:
            if not any(is_same_value(label, each) for each in own):
                raise ComfyKitError(f"{one_line(name)}: {short_repr(label)} is not one of its values")
        places = [at for at, each in enumerate(own) if any(is_same_value(label, each) for label in labels)]
        return self.remove_places(name, places)

    def remove_places(self, name: str, places: Sequence[int]) -> Self:
        """Remove values from an axis by their places: files of two folders may have one name.

        Args:
            name: The name of the axis.
            places: The places of the values, from 0.

        Raises:
            ComfyKitError: There is no such axis, no value would be left, or the sweep runs.
        """
        return self._change_axes(name, lambda over, axis: shrink_axis(over, axis, places))

    def _change_axes(self, name: str, change: Callable[[Mapping[str, Any], Axis], dict[str, Any]]) -> Self:
        with self._lock:
            if self.running:
                raise ComfyKitError(
                    "the sweep is running: pause() it first, and wait until its running points have ended"
                )
            before = self._preparation.over
            self._preparation.over = change(*self.find_axis(name))
            try:
                self._load()
            except BaseException:
                self._preparation.over = before
                raise
        return self

    def find_axis(self, name: str) -> tuple[Mapping[str, Any], Axis]:
        """Return the axes as they were given, and the one with a name.

        Raises:
            ComfyKitError: There is none, or it is a table of paired values.
        """
        over = self._preparation.over
        axis = next((each for each in self.axes if each.names == (name,) and not each.paired), None)
        if axis is None or not isinstance(over, Mapping):
            raise ComfyKitError(f"there is no axis {short_repr(name)} whose values can be changed")
        return over, axis


def extend_axis(over: Mapping[str, Any], axis: Axis, values: Sequence[Any]) -> dict[str, Any]:
    """Return the axes of a sweep with more values on one of them.

    Args:
        over: The axes, as they were given.
        axis: The axis.
        values: The new values; for an axis of drawn seeds their number, as `Seeds`.

    Raises:
        ComfyKitError: The axis can't have more values.
    """
    name, given = axis.names[0], over[axis.names[0]]
    if len(values) == 1 and isinstance(values[0], Seeds):
        if not isinstance(given, Seeds):
            raise ComfyKitError(f"{one_line(name)}: its values are not drawn seeds: give values")
        return {**over, name: Seeds(given.count + values[0].count)}
    if isinstance(given, Replace):
        return {**over, name: replace(given, new=(*given.new, *map(str, values)))}
    if isinstance(given, Lora):
        return {**over, name: replace(given, strengths=(*given.strengths, *map(float, values)))}
    return {**over, name: [*_list_values(axis), *values]}


def shrink_axis(over: Mapping[str, Any], axis: Axis, places: Sequence[int]) -> dict[str, Any]:
    """Return the axes of a sweep with some values of one of them left out.

    Args:
        over: The axes, as they were given.
        axis: The axis.
        places: The places of the values, from 0.

    Raises:
        ComfyKitError: No value would be left.
    """
    name, given = axis.names[0], over[axis.names[0]]
    left = [place for place in range(len(axis)) if place not in places]
    if not left:
        raise ComfyKitError(f"{one_line(name)}: the last value of an axis can't be removed")
    if isinstance(given, Replace):
        return {**over, name: replace(given, new=tuple(str(axis.labels[place][0]) for place in left))}
    if isinstance(given, Lora):
        return {**over, name: replace(given, strengths=tuple(axis.labels[place][0] for place in left))}
    values = _list_values(axis)
    return {**over, name: [values[place] for place in left]}


def _list_values(axis: Axis) -> list[Any]:
    name = axis.names[0]
    return [values[name] for values in axis.values]


def read_values(axis: Axis, given: Any, text: str) -> list[Any]:
    """Return the values that a user has typed for an axis: `8, 9`, `1..9:2`, `*4` for seeds; a text is one value.

    Args:
        axis: The axis.
        given: The axis, as it was given.
        text: What was typed.

    Raises:
        ComfyKitError: It is not a value of this axis.
    """
    name = axis.names[0]
    labels = [label[0] for label in axis.labels]
    numbers = all(isinstance(label, (int, float)) and not isinstance(label, bool) for label in labels)
    if not text.strip():
        raise ComfyKitError(f"{one_line(name)}: give at least one value")
    if not numbers:
        if isinstance(given, Wildcards) or not all(isinstance(label, str) for label in labels):
            raise ComfyKitError(f"{one_line(name)}: its values can't be entered as text: use add_values()")
        return [text.strip()]
    found = parse_axis(name, text, "number")
    if isinstance(found, Seeds):
        return [found]
    texts = [found] if isinstance(found, str) else found
    whole = all(isinstance(label, int) for label in labels)
    return [_to_number(name, each, whole=whole) for each in texts]


def _to_number(name: str, text: str, *, whole: bool) -> int | float:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        what = "an integer" if whole else "a number"
        raise ComfyKitError(f"{one_line(name)}: {short_repr(text, 40)} is not {what}") from None
