"""What can be done with one point of a sweep: code that makes it, and its image as the input of a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.notebook.page.code import build_code
from comfykit_jupyter.notebook.page.forms import find_forms
from comfykit_jupyter.notebook.page.values import STACK
from comfykit_jupyter.workflow.errors import short_repr
from comfykit_jupyter.workflow.lora_stack import to_plain

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.explore.rows.row import Row
    from comfykit_jupyter.explore.sweeps.sweep import Sweep

MAX_TARGETS = 50
"""Fields that are offered for an image."""


def write_code(sweep: Sweep, index: int, row: Row | None, call: str = "run") -> str:
    """Return a cell that makes a point again, or shows a form with its values.

    Args:
        sweep: The sweep.
        index: The number of the point.
        row: Its run, if it has one.
        call: `run` or `form`.
    """
    values = {**sweep.values, **sweep.points[index].values}
    prompt = row.prompt if row is not None else {}
    stack = to_plain(sweep.find_stack(index))
    result = ExecuteResult(status="completed", params=values, changed=values, loras=stack, prompt=prompt)
    return build_code(sweep.source, result, sweep.workflow, sweep.kit, call)


def write_input(row: Row) -> str:
    """Return an expression for the main output of a run, to be used as an input."""
    media = row.media
    if not media:
        raise ComfyKitError("this point has no file")
    singular = len(row.images) == 1 == len(media)
    return f"kit.runs[{row.id[:8]!r}].{'image' if singular else 'media[0]'}"


def use_output(row: Row, content: Mapping[str, Any]) -> dict[str, Any]:
    """Use the first file of a run as the input of a form: of the only field, or of the one that is named.

    Args:
        row: The run.
        content: The message of the page; `form` and `field` name a field.

    Returns:
        The answer: the field that was set, or those that there are, or code if there is none.

    Raises:
        ComfyKitError: The run has no file, or the form does not accept it.
    """
    if not row.media:
        raise ComfyKitError("this point has no file")
    media = row.media[0]
    targets = list_targets(media)
    if "form" in content:
        targets = [{"form": str(content["form"]), "field": str(content["field"])}]
    if len(targets) == 1:
        use_as_input(media, targets[0]["form"], targets[0]["field"])
        return {"used": targets[0]["field"]}
    return {"targets": targets} if targets else {"code": write_input(row)}


def set_form(sweep: Sweep, index: int) -> str:
    """Set the newest form of the same workflow to the values of a point, and return its title; "" if there is none.

    Raises:
        ParameterError: The form does not accept a value.
    """
    forms = [form for form in find_forms() if form.workflow.name == sweep.workflow.name]
    form = next((each for each in forms if each.sweep is sweep), forms[0] if forms else None)
    if form is None:
        return ""
    names = {field.name for field in form.get_fields()}
    values = {**sweep.values, **sweep.points[index].values}
    known = {name: value for name, value in values.items() if name in names}
    form.change_many("values of the grid", {**known, STACK: to_plain(sweep.find_stack(index))})
    return form.title


def list_targets(media: Media) -> list[dict[str, str]]:
    """Return the fields of forms that accept a file: the ID and title of the form, and the name of the field."""
    found = [
        {"form": form.model_id, "title": form.title, "field": field.name}
        for form in find_forms()
        for field in form.get_fields()
        if field.kind == media.kind
    ]
    return found[:MAX_TARGETS]


def use_as_input(media: Media, form_id: str, field: str) -> None:
    """Set a field of a form to a file.

    Raises:
        ComfyKitError: The form is gone, or the field does not accept it.
    """
    form: Any = next((each for each in find_forms() if each.model_id == form_id), None)
    if form is None:
        raise ComfyKitError(f"the form with {short_repr(field)} is no longer there")
    form.values[field] = media
