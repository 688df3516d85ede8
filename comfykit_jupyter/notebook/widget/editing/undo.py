"""`UndoSteps`: undoes a change of many values at once, such as by a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_STEPS = 5
"""Changes that can be undone, one after another."""
_UNSET = object()
PresetInForm = tuple[dict[str, Any], dict[str, Any]]
"""The preset in a form as its page shows it, and the values that it has set."""


@dataclass(frozen=True)
class UndoStep:
    """One change of many values.

    Attributes:
        label: What it was, in a few words: `preset portrait`.
        before: The values that it changed, as they were; those that had none are left out.
        after: The same, as it has set them.
        lists: The fields that had several values, as they were.
        preset: The state of the form's preset before it.
    """

    label: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    lists: Mapping[str, Any]
    preset: PresetInForm

    def find_left(self, values: Mapping[str, Any]) -> list[str]:
        """Return the names whose values are still those that it has set: others were edited since."""
        return [
            name
            for name in {**self.before, **self.after}
            if _is_same(values.get(name, _UNSET), self.after.get(name, _UNSET))
        ]

    def undo(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values without this change; edits that were made since stay."""
        undone = dict(values)
        for name in self.find_left(values):
            undone.pop(name, None)
            if name in self.before:
                undone[name] = self.before[name]
        return undone


class UndoSteps:
    """The changes of a form that can be undone, the newest last."""

    def __init__(self) -> None:
        self._steps: list[UndoStep] = []

    def add(
        self,
        label: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        lists: Mapping[str, Any],
        preset: PresetInForm,
    ) -> None:
        """Note a change, unless it has changed nothing."""
        names = [
            name for name in {**before, **after} if not _is_same(before.get(name, _UNSET), after.get(name, _UNSET))
        ]
        if not names and not lists:
            return
        old = {name: before[name] for name in names if name in before}
        new = {name: after[name] for name in names if name in after}
        self._steps = [*self._steps, UndoStep(label, old, new, dict(lists), preset)][-MAX_STEPS:]

    def drop_meaningless(self, values: Mapping[str, Any]) -> None:
        """Drop the newest changes if everything that they set was edited since."""
        while self._steps and not self._steps[-1].lists and not self._steps[-1].find_left(values):
            self._steps.pop()

    @property
    def label(self) -> str:
        """What the newest change was; "" for none."""
        return self._steps[-1].label if self._steps else ""

    def take(self) -> UndoStep | None:
        """Return the newest change, and forget it."""
        return self._steps.pop() if self._steps else None


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))
