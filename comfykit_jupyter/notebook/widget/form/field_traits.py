"""Build the trait `fields`: the fields of a form, with texts and choices from the server cut to size."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.notebook.page.values import get_initial_value, to_wire

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.document.workflow import Field

CHOICES_BYTES = 20_000
"""Bytes of all choices in the trait. The page requests the others when a control is opened."""
TEXT_LENGTH = 600
"""Characters of a tooltip."""
LABEL_LENGTH = 60
"""Characters of the names of a toggle's two states."""


def build_fields_trait(fields: Iterable[Field]) -> list[dict[str, Any]]:
    """Return the trait `fields`."""
    left = CHOICES_BYTES
    trait = []
    for field in fields:
        entry = {**field.to_json(), "default": to_wire(get_initial_value(field))}
        entry["tooltip"] = field.tooltip[:TEXT_LENGTH]
        entry["class_type"] = field.class_type[:TEXT_LENGTH]
        entry["label_on"], entry["label_off"] = field.label_on[:LABEL_LENGTH], field.label_off[:LABEL_LENGTH]
        if entry["choices"] is not None:
            size = len(json.dumps(entry["choices"], ensure_ascii=False).encode("utf-8", "replace"))
            if size > left:
                entry["choices"] = None
            else:
                left -= size
        trait.append(entry)
    return trait
