"""The widgets and input slots of the editor: which inputs have one, and what value it has, keeps and shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from comfykit_jupyter.workflow.editor.quirks import WIDGET_TYPES
from comfykit_jupyter.workflow.nodes import MISSING, SEED_NAMES, Input


@dataclass(slots=True)
class Slot:
    """An input slot of a node: what is connected, and the name of the widget that it stands beside, if any.

    `promoted` is on the slots of an instance of a subgraph: the widget that it shows of an inner node.
    """

    name: str
    type: str
    link: str | None = None
    widget: str | None = None
    promoted: Widget | None = None


@dataclass(slots=True)
class Widget:
    """One widget of a node. `sent`: it goes into the prompt; `saved`: it has a place in the file's list of values.

    `shared`: an instance of a subgraph shows this very widget, and no copy. `read` computes the value from others.
    """

    name: str
    value: Any = MISSING
    sent: bool = True
    saved: bool = True
    spec: Input | None = None
    shared: bool = False
    read: Callable[[], Any] | None = None


def build_unknown_widgets(values: Any, *, recent: bool) -> list[Widget]:
    """The widgets of a node whose class the server doesn't have: the editor shows its values without their names."""
    if not isinstance(values, list):
        return []
    widgets = []
    for at, value in enumerate(values):
        shown = value if isinstance(value, (str, int, float)) else _json(value)
        widgets.append(Widget(f"UNKNOWN_{at}" if recent and at else "UNKNOWN", shown))
    return widgets


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def find_default_choice(widget: Widget) -> Any:
    """What becomes of a choice that was never made: the first; MISSING if there is nothing to do."""
    if widget.spec is None or (widget.value is not None and widget.value is not MISSING):
        return MISSING
    return next(iter(_choices(widget.spec)), MISSING)


def set_value(widget: Widget, value: Any) -> None:
    """Sets the value alone: nothing follows from it."""
    if widget.spec is not None and widget.spec.type == "STRING" and widget.spec.multiline:
        value = "" if value is None else format_value(value) if widget.shared else value
    widget.value = value


def round_to_step(widget: Widget, value: Any) -> Any:
    """A number as a widget keeps it when it is changed (and not merely loaded): on its steps, inside its bounds."""
    spec = widget.spec
    if spec is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    try:
        return _rounded(spec, value)
    except (OverflowError, ValueError):  # a number, or a step, that nobody means
        return value


def _rounded(spec: Input, value: float) -> float:
    if spec.type == "INT":
        step = spec.step or 1
        offset = 0 if step == 1 else (spec.min or 0) % step
        return floor((value - offset) / step + 0.5) * step + offset if step != 1 else floor(value + 0.5)
    if spec.type == "FLOAT":
        places = max(0, -floor(log10(spec.step or 0.5)))
        unit = spec.round or (10**-places if places else 0)
        if not unit:
            return value
        low = spec.min if spec.min is not None else 0
        high = spec.max if spec.max is not None else 2048
        return min(max(round(floor(value / unit + 0.5) * unit, places), low), high)
    return value


def has_widget(spec: Input) -> bool:
    """Whether the editor draws a widget for an input, or only a socket."""
    return spec.type in WIDGET_TYPES and not spec.force_input


def is_controlled(spec: Input, name: str) -> bool:
    """Whether the control that changes a value after each run stands beside it."""
    if spec.type == "INT":
        return name in SEED_NAMES if spec.control is None else spec.control
    return spec.type in ("FLOAT", "COMBO") and spec.control is True


def is_page(spec: Input) -> bool:
    """Whether the widget is an element of the page, not drawn by the editor."""
    return WIDGET_TYPES[spec.type].in_page or (spec.type == "STRING" and spec.multiline)


def _choices(spec: Input) -> tuple[Any, ...]:
    return tuple(spec.variants) if spec.variants is not None else spec.choices or ()


def find_initial_value(spec: Input) -> Any:
    """The value of a new widget."""
    choices = _choices(spec)
    if spec.variants is not None:
        return choices[0] if choices else MISSING
    if spec.type == "COMBO":
        return spec.default if spec.default is not MISSING and spec.default else choices[0] if choices else MISSING
    value = WIDGET_TYPES[spec.type].default if spec.default is MISSING else spec.default
    return deepcopy(value) if isinstance(value, (list, dict)) else value


def format_value(value: Any) -> str:
    """A value as text, as a page writes it."""
    if value is MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else str(value)
