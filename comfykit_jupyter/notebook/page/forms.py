"""The forms in the page, for the rooms that fill them in: the grid of a sweep, the library of all runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, cast
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow


class Form(Protocol):
    """A `WorkflowWidget`, as the rooms below it use it."""

    title: str
    model_id: str
    values: Any
    comm: Any

    @property
    def workflow(self) -> Workflow:
        """Its workflow."""

    @property
    def sweep(self) -> object:
        """The sweep of the last run with lists of values; None before the first one."""

    def get_fields(self) -> Sequence[Field]:
        """Return its fields."""

    def change_many(self, label: str, changes: Mapping[str, Any]) -> None:
        """Change many values at once, so that it can be undone.

        Raises:
            ParameterError: A value is not accepted.
        """


_numbers = count()
_forms: WeakValueDictionary[int, Any] = WeakValueDictionary()


def register_form(form: Any) -> None:
    """Register a new form."""
    _forms[next(_numbers)] = form


def find_forms() -> list[Form]:
    """Return the forms that are in the page, the newest first."""
    forms = [form for _, form in sorted(_forms.items(), reverse=True)]
    return [cast("Form", form) for form in forms if form.comm is not None]
