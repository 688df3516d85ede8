"""Keep a form's values: check them, convert them for the page, and notify when they change."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Protocol

import traitlets

from comfykit_jupyter.client.errors import ParameterError, Problem
from comfykit_jupyter.client.inputs.files import LocalFile
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.inputs.media import read_media
from comfykit_jupyter.client.loop import call
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.notebook.page.media import get_inbox
from comfykit_jupyter.workflow.document.workflow import Field, Upload, Workflow
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT, is_missing
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.nodes import RANDOM, Definitions

STACK = "+loras"
"""The name of the stack of LoRAs among the values. No parameter can have it, and users see it apart from them."""
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")


class ValuesOwner(Protocol):
    """The widget that has the values, and changes them under one lock."""

    def change_values(self, changes: Mapping[str, Any], *, whole: bool = False) -> None:
        """Check and set values; with `whole`, all others return to the workflow's own.

        Raises:
            ParameterError: A name or value is wrong; nothing was changed.
        """

    def find_name(self, name: str) -> str:
        """Return the name in the form of what a name or an address means."""

    def get_all_values(self) -> dict[str, Any]:
        """Return the values with the stack of LoRAs among them."""


def to_wire(value: Any) -> Any:
    """Convert a value to JSON that JavaScript reads exactly.

    An integer beyond 2^53 becomes a string, and so does anything that JSON lacks. An output of a run becomes its name
    on the server. An image with a mask becomes both: `{"image": …, "mask": …}`, the mask by its ID.
    """
    if isinstance(value, Media):
        return value.server_name
    if isinstance(value, Masked):
        return {"image": to_wire(value.image), "mask": value.id}
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): to_wire(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_wire(each) for each in value]
    return str(value)


def from_wire(value: Any, kind: str) -> Any:
    """Convert a value that the page sent for a field of this kind: the inverse of `to_wire`."""
    if kind in ("integer", "seed"):
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            return int(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
    return value


def get_initial_value(field: Field) -> Any:
    """Return the value a form begins with: the workflow's own, or a random seed.

    A seed of 0 was not chosen, and one that the editor would randomize after each run is drawn before it.
    """
    drawn = field.kind == "seed" and (field.default in (0, "0") or field.seed_mode == RANDOM)
    return RANDOM if drawn else field.default


def check_form_values(
    values: Mapping[str, Any], fields: Mapping[str, Field], workflow: Workflow, definitions: Definitions
) -> dict[str, Any]:
    """Check values, and return them as a form keeps them.

    Bytes, images, arrays and the like become files in a private folder; the value is the path of the file.

    Raises:
        ParameterError: Some values do not fit; it has all problems.
    """
    kept: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        field = fields.get(name)
        try:
            kept[name] = value if field is None or field.kind not in MEDIA_KINDS else keep_file(field, value)
        except ParameterError as error:
            problems += error.problems
    try:
        checked = workflow.check(kept, definitions, partial=True)
    except ParameterError as error:
        problems += error.problems
    if problems:
        raise ParameterError(problems)
    return {name: each.value for name, each in checked.items()}


def keep_file(field: Field, value: Any, stem: str = "") -> Any:
    """Return the path or the name of a media value; content without a file gets one in a private folder.

    Args:
        field: The field.
        value: Its value.
        stem: The name of such a file, without suffix; by default the name of the field.

    Raises:
        ParameterError: It is not a media value.
    """
    if isinstance(value, str) and value:
        return value
    if isinstance(value, os.PathLike):
        return str(Path(value).expanduser())
    if isinstance(value, Masked):
        if field.kind in ("video", "audio"):
            message = f"{field.name} ({field.node}): a mask is for an image, and this is {field.kind}"
            raise ParameterError([Problem(field.name, message, field.node_id, field.node)])
        return value.with_image(keep_file(field, value.image))
    if is_missing(value):
        return None
    if isinstance(value, str):
        message = f"{field.name} ({field.node}): give a file, an image, a URL, or the name of a file on the server"
        raise ParameterError([Problem(field.name, message, field.node_id, field.node)])
    kind: Any = field.kind
    upload = Upload(field.name, field.node_id, field.node, field.name, kind, value)
    media = call(read_media(upload, None))
    if not isinstance(media, LocalFile):
        return media.name
    if isinstance(media.content, bytes):
        return str(get_inbox().keep(media.content, f"{stem or field.name}{media.suffix}"))
    return str(media.content)


class Values(MutableMapping[str, Any]):
    """The values of a form by parameter name: `form.values["steps"] = 20` checks the value and shows it in the page.

    Args:
        owner: The widget.
        read: Returns its current values.
    """

    def __init__(self, owner: ValuesOwner, read: Callable[[], Mapping[str, Any]]) -> None:
        self._owner = owner
        self._read = read

    def __getitem__(self, name: str) -> Any:
        values = self._read()
        return values[name if name in values else self._owner.find_name(name)]

    def __setitem__(self, name: str, value: Any) -> None:
        self._owner.change_values({name: value})

    def __delitem__(self, name: str) -> None:
        left = dict(self._read())
        del left[name if name in left else self._owner.find_name(name)]
        self._owner.change_values({**left, STACK: self._owner.get_all_values()[STACK]}, whole=True)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._read()))

    def __len__(self) -> int:
        return len(self._read())

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Set several values at once, or none of them if one is wrong."""
        self._owner.change_values({**dict(other), **values})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self._read()) == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self._read()))


class ValuesTrait(traitlets.TraitType[Any, Any]):
    """The trait `values`: reading returns the live mapping; assigning checks the values and replaces all of them.

    It stores plain dicts that are never modified. Observers get these as `change.new` and `change.old`.
    """

    info_text = "a mapping of parameter names to values"

    def __init__(self) -> None:
        super().__init__({})
        self.tag(sync=True, to_json=lambda _values, owner: to_wire(owner.get_all_values()))

    def get(self, obj: Any, cls: Any = None) -> Any:
        """Return the live mapping."""
        super().get(obj, cls)  # sets the default on first reading
        return Values(obj, lambda: _hide_stack(obj.get_all_values()))

    def set(self, obj: Any, value: Any) -> None:
        """Check the values, and replace all of them."""
        if not isinstance(value, Mapping):
            self.error(obj, value)
        obj.change_values({**value, STACK: obj.get_all_values().get(STACK, ())}, whole=True)

    def put(self, obj: Any, value: dict[str, Any]) -> None:
        """Store values that have been checked, and notify observers."""
        stored = obj._trait_values  # noqa: SLF001 - traitlets has no public way
        old = stored.get(self.name, {})
        stored[self.name] = value
        if old != value:
            obj._notify_trait(self.name, _hide_stack(old), _hide_stack(value))  # noqa: SLF001


def _hide_stack(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != STACK}
