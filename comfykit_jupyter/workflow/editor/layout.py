"""Lay a file's values onto the widgets that the editor gives a node of a class.

A file keeps the values of a node as a bare list. Which value belongs to which input depends on the widgets that the
editor draws for the class, in their order. Some of them are not inputs: the control beside a seed, buttons. Others come
and go with a value (dynamic choices) or a link (inputs that grow).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from comfykit_jupyter.workflow.editor.quirks import NO_QUIRK, NODES, WIDGET_TYPES, NodeQuirk
from comfykit_jupyter.workflow.editor.widgets import (
    CONTROL,
    Slot,
    Widget,
    find_default_choice,
    find_initial_value,
    format_value,
    has_widget,
    is_controlled,
    is_page,
    set_value,
)
from comfykit_jupyter.workflow.nodes import MISSING, Input, NodeDefinition


class Layout:
    """The slots and widgets of one node: made from the definition of its class, then filled from a file."""

    def __init__(self, definition: NodeDefinition) -> None:
        self.quirk = NODES.get(definition.class_type, NO_QUIRK)
        self.recent = definition.recent
        self.slots: list[Slot] = []
        self.widgets: list[Widget] = []
        self._growing: dict[str, Input] = {}
        self._inputs = (*definition.inputs.values(), *_iter_extra_inputs(definition, self.quirk))
        for spec in self._inputs:
            if not has_widget(spec):
                self._add_socket(spec, spec.name)
        for spec in self._inputs:
            if has_widget(spec):
                self._add_widget(spec, spec.name)
        self._add_further_widgets()

    def connect(self, saved: Iterable[Slot]) -> None:
        """Connect the slots as those of the same name in a file; slots that only the file has come last."""
        by_name = {slot.name: slot for slot in saved}
        own = {slot.name for slot in self.slots}
        for slot in self.slots:
            found = by_name.get(slot.name)
            if found is not None:
                slot.link = found.link
        self.slots.extend(slot for slot in by_name.values() if slot.name not in own)
        at = 0
        while self._growing and at < len(self.slots):  # a new slot comes after the one that it grew from
            self._grow(self.slots[at])
            at += 1

    def fill(self, values: Any) -> None:
        """Set the widgets to a file's values: a list in order, or an object by names."""
        if isinstance(values, Mapping):
            for widget in self.widgets:  # a choice adds further widgets: they come next
                if widget.saved and widget.name in values:
                    self.set(widget, values[widget.name])
            return
        waiting: Iterator[Any] = iter(self._drop_stale(values) if isinstance(values, list) else ())
        for widget in self.widgets:
            if not widget.saved:
                continue
            value = next(waiting, MISSING)
            if value is MISSING:
                break
            self.set(widget, value)

    def _drop_stale(self, values: list[Any]) -> list[Any]:
        """Drop the values of inputs that are links only: files from before 2025 have one for each."""
        if not any(spec.force_input for spec in self._inputs):
            return values
        names = {widget.name for widget in self.widgets}
        stale: list[bool] = []
        for spec in self._inputs:
            if spec.name in names or spec.force_input:
                stale += [spec.force_input, False] if spec.control else [spec.force_input]
        if len(stale) != len(values):
            return values
        return [value for value, drop in zip(values, stale, strict=True) if not drop]

    def settle(self) -> None:
        """Do what the editor does once a file is loaded: set unset choices to the first, remove orphaned slots."""
        for widget in self.widgets:
            if (first := find_default_choice(widget)) is not MISSING:
                self.set(widget, first)
            if widget.name in self.quirk.prefixes and isinstance(widget.value, str):
                widget.value = widget.value.removeprefix(self.quirk.prefixes[widget.name])
        names = {widget.name for widget in self.widgets}
        self.slots[:] = [
            each for each in self.slots if each.widget is None or each.widget in names or self._is_grown(each)
        ]

    def set(self, widget: Widget, value: Any) -> None:
        """Set a widget to a value, and update the widgets that depend on it."""
        spec = widget.spec
        if spec is None:
            widget.value = value
            if widget.name.startswith("option"):
                self._add_option(widget)
            return
        if WIDGET_TYPES[spec.type].blank or widget.read is not None:
            return
        set_value(widget, value)
        if spec.variants is not None:
            self._choose(widget, spec.variants)

    def _add_input(self, spec: Input, name: str) -> None:
        if has_widget(spec):
            self._add_widget(spec, name)
        else:
            self._add_socket(spec, name)

    def _add_socket(self, spec: Input, name: str) -> None:
        if spec.template is None:
            self.slots.append(Slot(name, spec.slot_type))
            return
        self._growing[name] = spec
        least = spec.template.least
        for ordinal in range(max(1, least + 1) if self.recent else least):
            self._add_grown(name, spec, ordinal)

    def _add_widget(self, spec: Input, name: str) -> None:
        type_ = WIDGET_TYPES[spec.type]
        if spec.type == "LOAD_3D":
            self.widgets += [Widget(label, value) for label, value in self.quirk.buttons]
        widget = Widget(
            name,
            find_initial_value(spec),
            sent=type_.sent == "always" or (type_.sent == "older" and not self.recent),
            saved=type_.saved,
            spec=spec,
            shared=not self.recent and is_page(spec),
        )
        self.widgets.append(widget)
        self.widgets.extend(Widget(follower or name, sent=False) for follower in type_.followers)
        if spec.variants is not None:
            self._choose(widget, spec.variants)
        if spec.remote:
            self.widgets.append(Widget("Auto-refresh after generation", sent=False))
        if spec.refreshed:
            self.widgets.append(Widget("refresh", "refresh"))
        if is_controlled(spec, name):
            self.widgets.append(Widget(CONTROL, sent=False))
            if spec.type == "COMBO":
                self.widgets.append(Widget("control_filter_list", sent=False))
        self.slots.append(Slot(name, spec.slot_type, widget=name))

    def _choose(self, widget: Widget, variants: Mapping[str, tuple[Input, ...]]) -> None:
        """Replace the inputs of the former choice by those that the value of a dynamic choice adds.

        They are made in empty lists, since each may add further ones, and then put after the choice.
        """
        prefix = f"{widget.name}."
        removed = {slot.name: slot for slot in self.slots if slot.name.startswith(prefix)}
        slots = [slot for slot in self.slots if not slot.name.startswith(prefix)]
        widgets = [each for each in self.widgets if not each.name.startswith(prefix)]
        for group in [name for name in self._growing if name.startswith(prefix)]:
            del self._growing[group]
        self.slots[:], self.widgets[:] = [], []
        for spec in variants.get(format_value(widget.value), ()):
            self._add_input(spec, prefix + spec.name)
        at = next(index for index, each in enumerate(widgets) if each is widget) + 1
        self.widgets[:] = [*widgets[:at], *self.widgets, *widgets[at:]]
        at = next((index for index, slot in enumerate(slots) if slot.name == widget.name), len(slots) - 1) + 1
        self.slots[:] = [*slots[:at], *self.slots, *slots[at:]]
        self._reconnect(removed)

    def _reconnect(self, removed: Mapping[str, Slot]) -> None:
        """Give new slots the links of removed ones of the same name."""
        by_name = {slot.name: slot for slot in self.slots}
        for name, old in removed.items():
            slot = by_name.get(name)
            if slot is not None:
                slot.link = old.link
                if self._grow(slot):
                    by_name = {slot.name: slot for slot in self.slots}

    def _is_grown(self, slot: Slot) -> bool:
        return slot.name.rpartition(".")[0] in self._growing

    def _grow(self, slot: Slot) -> bool:
        """Add another input after a connected one of a group that grows; return whether it did."""
        group = slot.name.rpartition(".")[0]
        spec = self._growing.get(group)
        if slot.link is None or spec is None or spec.template is None:
            return False
        ordinal = _parse_ordinal(slot.name[len(group) + 1 :], spec.template.names)
        if ordinal is None:
            return False
        self._add_grown(group, spec, ordinal + 1)
        return True

    def _add_grown(self, group: str, spec: Input, ordinal: int) -> None:
        """Add the inputs with this number of a group that grows; slots of the same name only give them their links."""
        template = spec.template
        if template is None or ordinal >= template.most:
            return
        slots = list(self.slots)
        self.slots[:] = []
        for each in template.inputs:
            self._add_input(each, f"{group}.{template.build_name(ordinal, each)}")
        added = list(self.slots)
        names = {slot.name: slot for slot in added}
        kept = []
        for slot in slots:
            if slot.name in names:
                names[slot.name].link = names[slot.name].link or slot.link
            else:
                kept.append(slot)
        before = f"{group}.{template.build_name(ordinal - 1, template.inputs[-1])}" if ordinal else f"{group}."
        places = [index for index, slot in enumerate(kept) if slot.name.startswith(before)]
        at = places[-1] + 1 if places else len(kept)
        self.slots[:] = [*kept[:at], *added, *kept[at:]]

    def _add_further_widgets(self) -> None:
        """Add the widgets that the editor has for this class alone."""
        if not self.recent:
            self.widgets += [Widget(name, value, saved=saved) for name, value, saved in self.quirk.older_widgets]
        if self.quirk.grows_options:
            if self.recent:
                choice = self.widgets[0] if self.widgets else None
                self.widgets.append(Widget("index", read=lambda: self._find_choice(choice)))
            self._add_option(self.widgets[-1] if self.widgets else None)

    def _find_choice(self, choice: Widget | None) -> int:
        values = [widget.value for widget in self.widgets[2:]]
        return values.index(choice.value) if choice is not None and choice.value in values else -1

    def _add_option(self, last: Widget | None) -> None:
        """Add an empty option after the last widget, unless that is an empty option itself."""
        if last is None or last is not self.widgets[-1] or (last.name.startswith("option") and not last.value):
            return
        self.widgets.append(Widget(f"option{len(self.widgets) - 1}", ""))


def _iter_extra_inputs(definition: NodeDefinition, quirk: NodeQuirk) -> Iterator[Input]:
    """Yield the inputs that the editor itself adds to a class: players, viewers, upload buttons."""
    if quirk.extra_input is not None:
        name, type_ = quirk.extra_input
        yield Input(name, type_, "link", slot_type=type_)
    required = [each for each in definition.inputs.values() if each.required]
    if any(each.button for each in required):
        yield Input("upload", "IMAGEUPLOAD", "link", slot_type="IMAGEUPLOAD")
    elif any(each.name == "audio" and each.kind == "audio" for each in required):
        yield Input("upload", "AUDIOUPLOAD", "link", slot_type="AUDIOUPLOAD")


def _parse_ordinal(name: str, names: tuple[str, ...] | None) -> int | None:
    """Return the number of a slot in its group: where it is among the names, or the digits at its end."""
    if names is not None:
        return names.index(name) if name in names else None
    digits = name[len(name.rstrip("0123456789")) :]
    return int(digits) if digits and len(digits) < 6 else None
