"""The axes in a line of `%comfykit sweep`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.explore.points.axes import Lora, Replace, Seeds, Wildcards
from comfykit_jupyter.explore.points.notation import parse_axis
from comfykit_jupyter.notebook.magic.line import Token

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.document.workflow import Field

_SPECS = (Seeds, Replace, Lora, Wildcards)


def split_axes(
    tokens: Mapping[str, Any], fields: Sequence[Field]
) -> tuple[dict[str, Any], dict[str, list[Token] | Seeds]]:
    """Divide the values of a line into shared values, and axes whose values are still tokens.

    Args:
        tokens: The values by name.
        fields: The fields of the workflow.

    Raises:
        ComfyKitError: A range is wrong.
    """
    kinds = {field.name: field.kind for field in fields}
    shared: dict[str, Any] = {}
    axes: dict[str, list[Token] | Seeds] = {}
    for name, token in tokens.items():
        kind = kinds.get(name, "number")
        if not isinstance(token, Token) or token.expression or (token.quoted and kind != "seed"):
            shared[name] = token
            continue
        found = parse_axis(name, token.text, kind)
        if isinstance(found, str):
            shared[name] = token
        else:
            axes[name] = found if isinstance(found, Seeds) else [Token(each) for each in found]
    return shared, axes


def is_axis(value: Any) -> bool:
    """Return whether an object of the user's, or a JSON value, is an axis."""
    if isinstance(value, (str, bytes, Mapping)) or _is_file(value):
        return False
    return isinstance(value, (*_SPECS, Iterable))


def _is_file(value: Any) -> bool:
    """Return whether a value is one image, array or open file."""
    return (
        isinstance(getattr(value, "mode", None), str) or hasattr(value, "__array_interface__") or hasattr(value, "read")
    )
