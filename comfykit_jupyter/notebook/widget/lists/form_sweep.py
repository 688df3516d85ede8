"""`FormSweep`: the sweep of a form in which some fields have several values."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, Problem
from comfykit_jupyter.explore.sweeps.axes import MAX_POINTS, Seeds
from comfykit_jupyter.explore.sweeps.notation import SPLIT_KINDS, parse_axis
from comfykit_jupyter.explore.sweeps.plan import MANY_POINTS, format_seconds
from comfykit_jupyter.notebook.widget.values import from_wire
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.nodes import RANDOM

if TYPE_CHECKING:
    from comfykit_jupyter.client.kit import ComfyKit
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.notebook.widget.parameters import FormParameters
    from comfykit_jupyter.workflow.workflow import Field

MAX_TEXT = 10_000
"""Characters of the values that are typed into one field."""


class FormSweep:
    """Plans and makes the sweeps of one form.

    Args:
        kit: Where they run.
        parameters: The parameters of the form.
    """

    def __init__(self, kit: ComfyKit, parameters: FormParameters) -> None:
        self._kit = kit
        self._parameters = parameters
        self._planned: tuple[Any, Sweep] | None = None

    def describe(self, values: Mapping[str, Any], lists: Mapping[str, Any], times: int) -> str:
        """Return what Run does: `Run 8 of 12 points · ~2:10`. Nothing is sent.

        Args:
            values: The values of the form that differ from the workflow's own.
            lists: What each field with several values has: what was typed, or the chosen values.
            times: How many seeds there are for each combination.

        Raises:
            ParameterError: Some values do not fit; it has all problems.
            ComfyKitError: There are too many points.
        """
        over = self._read_axes(lists, values, times)
        count = math.prod(axis.count if isinstance(axis, Seeds) else len(dict.fromkeys(axis)) for axis in over.values())
        if count > MAX_POINTS:
            raise ComfyKitError(f"{count:,} points are more than {MAX_POINTS:,}: give fewer values")
        points = f"{count:,} point{'s' * (count != 1)}"
        if count > MANY_POINTS:  # preparing them takes seconds
            return f"Run {points}"
        sweep = self._make(values, over)
        left = sum(state not in ("completed", "invalid") for state in sweep.states)
        if left == 0:
            return f"Show {points}"
        seconds = sweep.estimate()
        took = f" · ~{format_seconds(seconds)}" if seconds is not None else ""
        return f"Run {f'{left:,} of ' if left < count else ''}{points}{took}"

    def make(self, values: Mapping[str, Any], lists: Mapping[str, Any], times: int) -> Sweep:
        """Return the sweep that the fields describe. Nothing is sent yet; arguments and errors as for `describe`."""
        sweep = self._make(values, self._read_axes(lists, values, times))
        self.forget()  # the next one is another sweep
        return sweep

    def forget(self) -> None:
        """Plan again when next asked: points have run since."""
        self._planned = None

    def _make(self, values: Mapping[str, Any], over: Mapping[str, Any]) -> Sweep:
        base = {name: value for name, value in values.items() if name not in over}
        key = (base, over, list(over))
        if self._planned is None or self._planned[0] != key:
            sweep = self._kit.sweep(self._parameters.workflow, base, over=over)
            sweep.source = self._parameters.source
            self._planned = (key, sweep)
        return self._planned[1]

    def _read_axes(self, lists: Mapping[str, Any], values: Mapping[str, Any], times: int) -> dict[str, Any]:
        """Return the axes, checked value by value."""
        over = {name: self._read_values(self.find_field(name), given) for name, given in lists.items()}
        return {**over, **self._find_seeds(over, values, times)}

    def find_field(self, name: str) -> Field:
        """Return a field that can have several values.

        Raises:
            ComfyKitError: There is none of this name.
        """
        field = self._parameters.find_field(name)
        if field is None or field.kind not in SPLIT_KINDS or field.multiselect:
            raise ComfyKitError(f"{one_line(name)}: this field takes one value")
        return field

    def _read_values(self, field: Field, given: Any) -> Any:
        if isinstance(given, list):
            texts: Sequence[Any] = given
        elif isinstance(given, str) and len(given) <= MAX_TEXT:
            try:
                found = parse_axis(field.name, given.strip().strip(","), field.kind)
            except ComfyKitError as error:
                raise self._make_error(field, str(error)) from None
            if isinstance(found, Seeds):
                return found
            texts = [found] if isinstance(found, str) else found
        else:
            raise ValueError("a list must be text, or values")
        if not texts:
            raise self._make_error(field, "there is no value")
        return [self._check(field, _convert(each, field)) for each in texts]

    @staticmethod
    def _make_error(field: Field, message: str) -> ParameterError:
        return ParameterError([Problem(field.name, message, field.node_id, field.node)])

    def _check(self, field: Field, value: Any) -> Any:
        checked = self._parameters.check({field.name: value})
        if field.name not in checked:
            raise self._make_error(field, f"{field.name} ({field.node}): a value between two commas is missing")
        return checked[field.name]

    def _find_seeds(self, over: Mapping[str, Any], values: Mapping[str, Any], times: int) -> dict[str, Any]:
        """Return an axis of seeds where each combination is to run several times."""
        if times == 1:
            return {}
        field = next((each for each in self._parameters.fields.values() if each.kind == "seed"), None)
        if field is None or field.name in over:
            raise ComfyKitError("set the number of runs to 1: there is no seed that could differ")
        first = values.get(field.name, field.default)
        if first == RANDOM or not isinstance(first, int):
            return {field.name: Seeds(times)}
        return {field.name: [first + index for index in range(times)]}


def _convert(text: Any, field: Field) -> Any:
    """Convert what was typed to the type of a field; what does not fit stays, and the check rejects it."""
    if not isinstance(text, str):
        return from_wire(text, field.kind)
    if field.kind in ("integer", "seed"):
        return from_wire(text, field.kind) if text else None
    if field.kind == "number":
        for number in (int, float):
            with contextlib.suppress(ValueError):
                return number(text)
        return text or None
    return next((choice for choice in field.choices or () if str(choice) == text), text)
