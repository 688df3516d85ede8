"""`FormSweep`: the sweep of a form in which some fields have several values."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, Problem
from comfykit_jupyter.explore.points.axes import MAX_POINTS, Lora, Seeds
from comfykit_jupyter.explore.points.notation import SPLIT_KINDS, parse_axis
from comfykit_jupyter.explore.points.plan import MANY_POINTS, format_seconds
from comfykit_jupyter.notebook.page.values import STACK, from_wire
from comfykit_jupyter.notebook.widget.form.loras import build_unknown_error, find_used, parse_list_name
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.lora_stack import MAX_STRENGTH, Stack, to_stem
from comfykit_jupyter.workflow.nodes import RANDOM

if TYPE_CHECKING:
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.notebook.widget.form.parameters import FormParameters
    from comfykit_jupyter.workflow.document.workflow import Field

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
        """Return what Run does: `Run 8 of 12 points · ~2:10`; "" for a single run. Nothing is sent.

        Args:
            values: The values of the form that differ from the workflow's own.
            lists: What each field with several values has: what was typed, or the chosen values.
            times: How many seeds there are for each combination.

        Raises:
            ParameterError: Some values do not fit; it has all problems.
            ComfyKitError: There are too many points.
        """
        over = self._read_axes(lists, values, times)
        if not over:
            return ""
        count = math.prod(_count_values(axis) for axis in over.values())
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
        """Return the sweep that the fields describe; at least one list must be used. Nothing is sent yet.

        Arguments and errors are the same as for `describe`.
        """
        sweep = self._make(values, self._read_axes(lists, values, times))
        self.forget()  # the next one is another sweep
        return sweep

    def forget(self) -> None:
        """Plan again when next asked: points have run since."""
        self._planned = None

    def _make(self, values: Mapping[str, Any], over: Mapping[str, Any]) -> Sweep:
        varied = {axis.name: axis.strengths for axis in over.values() if isinstance(axis, Lora)}
        stack = tuple(
            # A loader is inserted only where the strength is not 0, and each keeps its place.
            each._replace(model=first, clip=first)
            if (first := next(filter(None, varied.get(each.name, ())), 0.0))
            else each
            for each in values.get(STACK, self._parameters.loras.default)
        )
        workflow, own = self._parameters.take_stack({**values, STACK: stack})
        base = {name: value for name, value in own.items() if name not in over}
        key = (base, stack, over, list(over))
        if self._planned is None or self._planned[0] != key:
            sweep = self._kit.sweep(workflow, base, over=over)
            sweep.source = self._parameters.source
            self._planned = (key, sweep)
        return self._planned[1]

    def _read_axes(self, lists: Mapping[str, Any], values: Mapping[str, Any], times: int) -> dict[str, Any]:
        """Return the axes, checked value by value."""
        stack = values.get(STACK, self._parameters.loras.default)
        over: dict[str, Any] = {}
        used = find_used(lists, stack)
        if not used:
            return {}
        for name, given in used.items():
            if lora := parse_list_name(name):
                self.find_name(name, stack)
                over[self._name_axis(lora, over)] = self._read_strengths(name, lora, given)
            else:
                over[name] = self._read_values(self.find_field(name), given)
        return {**over, **self._find_seeds(over, values, times)}

    def find_name(self, name: str, stack: Stack) -> str:
        """Return the name of a field, or of a LoRA of the stack, that can have several values.

        Raises:
            ComfyKitError: There is none of this name.
        """
        lora = parse_list_name(name)
        if not lora:
            return self.find_field(name).name
        if not any(each.name == lora for each in stack):
            raise build_unknown_error(lora)
        return name

    def _name_axis(self, lora: str, over: Mapping[str, Any]) -> str:
        """Return the name of an axis of strengths: the name of the file without folder and suffix, if it is free."""
        short = to_stem(lora)
        return lora if short in over or self._parameters.find_field(short) is not None else short

    @staticmethod
    def _read_strengths(name: str, lora: str, given: Any) -> Lora:
        """Return the axis of the strengths that were typed."""

        def explain(message: str) -> ParameterError:
            return ParameterError([Problem(name, message)])

        if not isinstance(given, str) or len(given) > MAX_TEXT:
            raise explain("give numbers: 0.2, 0.5 · 0..1:0.25")
        try:
            found = parse_axis(one_line(to_stem(lora)), given.strip().strip(","), "number")
        except ComfyKitError as error:
            raise explain(str(error)) from None
        texts = [found] if isinstance(found, str) else [] if isinstance(found, Seeds) else list(found)
        try:
            numbers = [int(number) if (number := float(each)).is_integer() else number for each in texts]
        except (TypeError, ValueError, OverflowError):
            numbers = []
        if not numbers or not all(abs(each) <= MAX_STRENGTH for each in numbers):
            raise explain(f"give numbers between -{MAX_STRENGTH} and {MAX_STRENGTH}: 0.2, 0.5 · 0..1:0.25")
        return Lora(lora, tuple(dict.fromkeys(numbers)))

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
            raise self._make_error(field, "give at least one value")
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
            raise ComfyKitError("the workflow has no seed that could differ: set the number of runs to 1")
        first = values.get(field.name, field.default)
        if first == RANDOM or not isinstance(first, int):
            return {field.name: Seeds(times)}
        return {field.name: [first + index for index in range(times)]}


def _count_values(axis: Any) -> int:
    if isinstance(axis, Seeds):
        return axis.count
    return len(axis.strengths) if isinstance(axis, Lora) else len(dict.fromkeys(axis))


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
