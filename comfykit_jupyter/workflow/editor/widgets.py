"""The widgets and input slots of the editor, and the values of widgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from comfykit_jupyter.workflow.editor.quirks import WIDGET_TYPES
from comfykit_jupyter.workflow.nodes import MISSING, SEED_NAMES, Input

CONTROL = "control_after_generate"
"""The widget behind a value that says what becomes of the value after each run."""
UNKNOWN = "UNKNOWN"
"""What the names of widgets begin with whose class the server lacks."""


@dataclass(slots=True)
class Slot:
    """An input slot of a node.

    Attributes:
        name: The input's name.
        type: The type of what may be linked to it.
        link: The ID of its link, if it has one.
        widget: The name of the widget beside it, if there is one.
        promoted: The widget of an inner node that it shows, if it belongs to an instance of a subgraph.
    """

    name: str
    type: str
    link: str | None = None
    widget: str | None = None
    promoted: Widget | None = None


@dataclass(slots=True)
class Widget:
    """One widget of a node.

    Attributes:
        name: The name of its input.
        value: Its value; MISSING if it has none.
        sent: Whether the prompt has its value.
        saved: Whether it has a place in the file's list of values.
        spec: The definition of its input, if it belongs to one.
        shared: Whether an instance of a subgraph shows this widget itself, not a copy.
        read: Computes the value from other widgets, if set.
        control: What the editor does with the value after each run, such as `randomize`; "" if nothing says so.
    """

    name: str
    value: Any = MISSING
    sent: bool = True
    saved: bool = True
    spec: Input | None = None
    shared: bool = False
    read: Callable[[], Any] | None = None
    control: str = ""


def build_unknown_widgets(values: Any, *, recent: bool) -> list[Widget]:
    """Build the widgets of a node whose class the server lacks: the editor shows its values without names."""
    if not isinstance(values, list):
        return []
    widgets = []
    for at, value in enumerate(values):
        shown = value if isinstance(value, (str, int, float)) else _to_json(value)
        widgets.append(Widget(f"{UNKNOWN}_{at}" if recent and at else UNKNOWN, shown))
    return widgets


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def find_default_choice(widget: Widget) -> Any:
    """Return the first choice for a widget where none was made; MISSING if there is nothing to do."""
    if widget.spec is None or (widget.value is not None and widget.value is not MISSING):
        return MISSING
    return next(iter(_list_choices(widget.spec)), MISSING)


def set_value(widget: Widget, value: Any) -> None:
    """Set the value of a widget, without updating others."""
    if widget.spec is not None and widget.spec.type == "STRING" and widget.spec.multiline:
        value = "" if value is None else format_value(value) if widget.shared else value
    widget.value = value


def round_to_step(widget: Widget, value: Any) -> Any:
    """Round a number to the steps and bounds of a widget, as when it is changed in the editor (not just loaded)."""
    spec = widget.spec
    if spec is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    try:
        return _round_number(spec, value)
    except (OverflowError, ValueError):  # an absurd number or step
        return value


def _round_number(spec: Input, value: float) -> float:
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
    """Return whether the editor draws a widget for an input, not only a socket."""
    return spec.type in WIDGET_TYPES and not spec.force_input


def is_controlled(spec: Input, name: str) -> bool:
    """Return whether a control stands beside an input that changes its value after each run."""
    if spec.type == "INT":
        return name in SEED_NAMES if spec.control is None else spec.control
    return spec.type in ("FLOAT", "COMBO") and spec.control is True


def is_page(spec: Input) -> bool:
    """Return whether a widget is an element of the page, which the editor doesn't draw itself."""
    return WIDGET_TYPES[spec.type].in_page or (spec.type == "STRING" and spec.multiline)


def _list_choices(spec: Input) -> tuple[Any, ...]:
    return tuple(spec.variants) if spec.variants is not None else spec.choices or ()


def find_initial_value(spec: Input) -> Any:
    """Return the value of a new widget."""
    choices = _list_choices(spec)
    if spec.variants is not None:
        return choices[0] if choices else MISSING
    if spec.type == "COMBO":
        return spec.default if spec.default is not MISSING and spec.default else choices[0] if choices else MISSING
    value = WIDGET_TYPES[spec.type].default if spec.default is MISSING else spec.default
    return deepcopy(value) if isinstance(value, (list, dict)) else value


def format_value(value: Any) -> str:
    """Format a value as text, as a page writes it."""
    if value is MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else str(value)
