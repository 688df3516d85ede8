"""Nodes for text and primitive values."""

from __future__ import annotations

import io
import json
from typing import Any

from comfykit_jupyter.sandbox.interface.node import Context, Output, node
from comfykit_jupyter.sandbox.interface.values import MAX_TEXT, check_text

_MAX_VALUE = 9223372036854775807
"""Largest value of a primitive number; the same as ComfyUI's."""


def _pass_through(_: Context, value: Any) -> Output:
    return Output((value,))


def _add_primitive(class_type: str, display_name: str, kind: str, options: dict[str, Any]) -> None:
    node(
        class_type,
        display_name=display_name,
        category="utilities/primitive",
        required={"value": (kind, options)},
        returns=(kind,),
    )(_pass_through)


_add_primitive("PrimitiveInt", "Int", "INT", {"min": -_MAX_VALUE, "max": _MAX_VALUE, "control_after_generate": "fixed"})
_add_primitive("PrimitiveFloat", "Float", "FLOAT", {"min": -_MAX_VALUE, "max": _MAX_VALUE, "step": 0.1})
_add_primitive("PrimitiveString", "Text", "STRING", {"multiline": False})
_add_primitive("PrimitiveStringMultiline", "Text (Multiline)", "STRING", {"multiline": True})
_add_primitive("PrimitiveBoolean", "Boolean", "BOOLEAN", {})


@node(
    "StringConcatenate",
    display_name="Concatenate Text",
    category="text",
    required={
        "string_a": ("STRING", {"multiline": True}),
        "string_b": ("STRING", {"multiline": True}),
        "delimiter": ("STRING", {"default": "", "multiline": False}),
    },
    returns=("STRING",),
)
def string_concatenate(_: Context, string_a: str, string_b: str, delimiter: str) -> Output:
    """Join two texts with a delimiter."""
    check_text(len(string_a) + len(delimiter) + len(string_b))
    return Output((string_a + delimiter + string_b,))


@node(
    "PreviewAny",
    display_name="Preview as Text",
    category="utilities",
    required={"source": ("*", {})},
    returns=("STRING",),
    output_node=True,
)
def preview_any(_: Context, source: Any = None) -> Output:
    """Display any value as text: strings and numbers unchanged, everything else as JSON if possible."""
    if isinstance(source, str):
        text = source
    elif source is None or isinstance(source, (int, float)):
        text = str(source)
    else:
        try:
            text = _encode_json(source)
        except (TypeError, ValueError):
            text = str(source)
    check_text(len(text))
    return Output((text,), {"text": [text]})


def _encode_json(source: Any) -> str:
    """Return a value as JSON, or the beginning of a text that is too long: its indents may be larger than its data."""
    text = io.StringIO()
    for chunk in json.JSONEncoder(indent=4).iterencode(source):
        text.write(chunk)
        if text.tell() > MAX_TEXT:
            break
    return text.getvalue()
