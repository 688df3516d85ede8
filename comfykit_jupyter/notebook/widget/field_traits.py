"""The fields of a form as its page gets them: what a server says of them, within bounds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.notebook.widget.values import initial, to_wire

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.workflow import Field

CHOICES_ROOM = 20_000
"""Bytes of all choices that go along with the fields; of the others the page asks when somebody looks at them."""
TEXT_LENGTH, LABEL_LENGTH = 600, 60
"""Characters of a tooltip, and of what a toggle's two states are called."""


def describe_fields(fields: Iterable[Field]) -> list[dict[str, Any]]:
    """The trait `fields`."""
    left = CHOICES_ROOM
    described = []
    for field in fields:
        told = {**field.to_json(), "default": to_wire(initial(field))}
        told["tooltip"] = field.tooltip[:TEXT_LENGTH]
        told["class_type"] = field.class_type[:TEXT_LENGTH]
        told["label_on"], told["label_off"] = field.label_on[:LABEL_LENGTH], field.label_off[:LABEL_LENGTH]
        if told["choices"] is not None:
            size = len(json.dumps(told["choices"], ensure_ascii=False).encode("utf-8", "replace"))
            if size > left:
                told["choices"] = None
            else:
                left -= size
        described.append(told)
    return described
