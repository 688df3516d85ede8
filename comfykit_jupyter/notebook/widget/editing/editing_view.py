"""`EditingView`: a form with presets, LoRAs, and undo for what changes many values at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import traitlets

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.presets.folder import PresetFolder
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.page_widget import Reply, Work
from comfykit_jupyter.notebook.page.values import STACK
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.widget.editing.prompts import PromptHistory, list_wildcards
from comfykit_jupyter.notebook.widget.editing.undo import UndoSteps
from comfykit_jupyter.notebook.widget.form.missing import MissingView
from comfykit_jupyter.workflow.lora_stack import MAX_NAME_LENGTH, Stack, to_plain
from comfykit_jupyter.workflow.presets.fit import FittedPreset, fit_preset
from comfykit_jupyter.workflow.presets.names import check_name

if TYPE_CHECKING:
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.notebook.widget.form.parameters import FormParameters
    from comfykit_jupyter.workflow.presets.preset import Preset

MAX_LEFT_OUT = 50
"""Values of a preset that don't fit, as the page lists them."""


class EditingView(MissingView):
    """A form with presets, and with undo for what changes many values at once.

    Attributes:
        preset: The preset in the form: its `name`, whether the form is `changed` since, and a line for each value that
            is `left_out` because it does not fit; empty for none.
        undo: What the last change of many values was, as long as it can be undone: `preset portrait`. Empty for none.
    """

    preset: Any = traitlets.Dict().tag(sync=True)
    undo = traitlets.Unicode("").tag(sync=True)

    def __init__(self, kit: ComfyKit, parameters: FormParameters, values: Mapping[str, Any], **traits: Any) -> None:
        self._steps = UndoSteps()
        self._preset_values: dict[str, Any] = {}
        """The values of the form as its preset has set them, or was saved with them."""
        self._pending: tuple[Preset, Sequence[str]] | None = None
        """The preset of the workflow, as long as the form has no fields because the server is away."""
        self._prompts = PromptHistory(kit, parameters)
        super().__init__(kit, parameters, values, **traits)
        self.handlers |= {
            "presets": (run_in_background, self._on_presets),
            "preset_use": (writer.post, self._on_preset_use),
            "preset_save": (writer.post, self._on_preset_save),
            "preset_rename": (run_in_background, self._on_preset_rename),
            "preset_delete": (run_in_background, self._on_preset_delete),
            "reset_all": (writer.post, self._on_reset_all),
            "undo": (writer.post, self._on_undo),
            "prompts": (run_in_background, self._on_prompts),
            "wildcards": (run_in_background, self._on_wildcards),
            "loras": (run_in_background, self._on_loras),
            "lora_words": (run_in_background, self._on_lora_words),
        }
        self._show_lora_problem()

    # -- changes of many values ----------------------------------------------------------------------------------------

    def change_values(self, changes: Mapping[str, Any], *, whole: bool = False) -> None:
        """Check and set values; see `FormView`."""
        super().change_values(changes, whole=whole)
        self._follow_changes()
        if whole or STACK in changes:
            self._show_lora_problem()

    def _reset_value(self, name: str) -> None:
        super()._reset_value(name)
        self._follow_changes()
        if name == STACK:
            self._show_lora_problem()

    def _follow_changes(self) -> None:
        """Show whether the form differs from its preset, and what can be undone."""
        with self.lock:
            self._steps.drop_meaningless(self._get_values())
            self.undo = self._steps.label
            if self.preset:
                self.preset = {**self.preset, "changed": self._find_changed_values() != self._preset_values}

    def change_many(self, label: str, changes: Mapping[str, Any]) -> None:
        """Set values, and all others to the workflow's own, so that it can be undone in one step.

        Args:
            label: What changes them, in a few words.
            changes: The values by name.

        Raises:
            ParameterError: A name or value is wrong; nothing was changed.
        """
        with self.hold_changes():
            before, lists, preset = self._get_values(), self._get_lists(), (self.preset, self._preset_values)
            self.change_values(changes, whole=True)
            self._steps.add(label, before, self._get_values(), lists, preset)
            self.undo = self._steps.label

    def _get_lists(self) -> dict[str, Any]:
        """Return the fields that have several values."""
        return {}

    def _set_lists(self, lists: dict[str, Any]) -> None:
        """Set the fields that have several values."""

    def _on_reset_all(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Set all values to the workflow's own."""
        with self.hold_changes():
            self.change_many("reset all", {})
            self._set_preset(None)
        return {}, ()

    def _on_undo(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Undo the last change of many values. Later edits are kept."""
        step = self._steps.take()
        if step is None:
            raise ComfyKitError("there is nothing to undo")
        with self.hold_changes():
            edited = self._get_lists()
            self._set_values(step.undo(self._get_values()))
            self._clear_errors([*step.before, *step.after])
            self._show_lora_problem()
            if step.lists and not edited:
                self._set_lists(dict(step.lists))
            self.preset, self._preset_values = step.preset
            self._follow_changes()
        return {"names": list({**step.before, **step.after})}, ()

    # -- presets -------------------------------------------------------------------------------------------------------

    def use_preset(self, name: str) -> None:
        """Set the form to the values of a preset, and all other values to the workflow's own.

        What no longer fits is left out, and the form says so.

        Args:
            name: The name of the preset.

        Raises:
            ComfyKitError: There is no such preset, or its file is not one.

        Example:
            form.use_preset("soft light")
        """
        self._apply_preset(PresetFolder().read(name))

    def _apply_preset(self, preset: Preset) -> None:
        if not self._parameters.workflow.resolved:
            raise ComfyKitError("the parameters of the workflow are not known yet: the server must answer first")
        fitted = self._fit_preset(preset)
        with self.hold_changes():
            self.change_many(f"preset {preset.name}", _list_values(fitted))
            self._set_preset(fitted)

    def use_first_preset(self, preset: Preset, given: Sequence[str]) -> None:
        """Set the form to the preset of its workflow, as soon as it has fields.

        Args:
            preset: The preset.
            given: The names of values that stay.
        """
        self._pending = (preset, given)
        self.use_pending_preset()

    def use_pending_preset(self) -> None:
        """Use the preset that the workflow came with, if the form has fields now."""
        if self._pending is None or not self._parameters.fields:
            return
        preset, given = self._pending
        self._pending = None
        fitted = self._fit_preset(preset, given)
        with self.hold_changes():
            self.change_values(_list_values(fitted))
            self._set_preset(fitted)

    def _fit_preset(self, preset: Preset, given: Sequence[str] = ()) -> FittedPreset:
        definitions = {**self._parameters.loras.definitions, **self._parameters.definitions}
        return fit_preset(preset, self._parameters.workflow, definitions, given)

    def _set_preset(self, fitted: FittedPreset | None) -> None:
        """Show which preset is in the form, and what of it does not fit."""
        with self.lock:
            self._preset_values = self._find_changed_values()
            self.preset = {}
            if fitted is not None:
                lines = [self._to_saved(each.message) for each in fitted.problems[:MAX_LEFT_OUT]]
                self.preset = {"name": fitted.name, "changed": False, "left_out": lines}

    def _on_presets(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the presets of the folder: the page asks when its menu opens."""
        workflow = self._parameters.workflow
        presets = [
            {
                "name": each.name,
                "own": each.preset is not None and each.preset.is_for(workflow),
                "workflow": each.preset.workflow if each.preset is not None else "",
                "error": self._to_saved(each.error),
            }
            for each in PresetFolder().list()
        ]
        return {"presets": presets}, ()

    def _on_preset_use(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self.use_preset(str(content["name"]))
        return {"names": list(self._find_changed_values())}, ()

    def _on_preset_save(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Work:
        """Save the values of the form; `exists` says that the page must ask first, since there is such a preset."""
        name = check_name(content["name"])
        if self._rejected:
            raise ComfyKitError("; ".join(self._rejected.values()))
        values, stack = self._find_changed_values(), self._get_values()[STACK]
        return lambda: self._save_preset(name, values, stack, replace=content.get("replace") is True)

    def _save_preset(self, name: str, values: dict[str, Any], stack: Stack, *, replace: bool) -> Reply:
        folder = PresetFolder()
        if not replace and name in folder.find_names():
            return {"exists": True}, ()
        workflow, definitions = self._parameters.workflow, self._parameters.definitions
        checked = workflow.check({n: each for n, each in values.items() if n != STACK}, definitions, partial=True)
        folder.save(name, workflow, checked, definitions, stack if stack or STACK in values else None)

        def show() -> None:
            with self.hold_changes():
                self._preset_values = values
                self.preset = {"name": name, "changed": False, "left_out": []}
                self._follow_changes()

        writer.post(show)
        return {}, ()

    def _on_preset_rename(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        name, new = str(content["name"]), check_name(content["new"])
        PresetFolder().rename(name, new)
        writer.post(lambda: self._rename_preset(name, new))
        return {}, ()

    def _on_preset_delete(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Delete a preset. Its values stay in the form."""
        name = str(content["name"])
        PresetFolder().delete(name)
        writer.post(lambda: self._rename_preset(name, ""))
        return {}, ()

    def _rename_preset(self, name: str, new: str) -> None:
        with self.lock:
            if self.preset.get("name") == name:
                self.preset = {**self.preset, "name": new} if new else {}

    # -- LoRAs ---------------------------------------------------------------------------------------------------------

    def _show_lora_problem(self) -> None:
        """Show at the stack of LoRAs what prevents a run with it, as far as known."""
        with self.lock:
            problem = self._parameters.loras.explain(self._get_values()[STACK])
            self._clear_errors([STACK])
            if problem:
                self._show_errors({STACK: problem})

    def _on_loras(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the names of the server's LoRAs: the page asks when it opens the list."""
        names = self._parameters.loras.list_names(self._parameters.workflow)
        writer.post(self._show_lora_problem)
        return {"choices": names}, ()

    def _on_lora_words(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the trigger words of a LoRA."""
        name = str(content["name"])[:MAX_NAME_LENGTH]
        return {"words": list(self._parameters.loras.find_words(name, self._parameters.workflow))}, ()

    # -- prompts -------------------------------------------------------------------------------------------------------

    def _on_prompts(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the earlier texts of a field, the newest first."""
        field = self._parameters.find_field(str(content["name"]))
        if field is None or field.kind not in ("text", "multiline"):
            raise ComfyKitError("this field has no text")
        return {"prompts": self._prompts.find(field.name, list(self.stage.results.values()))}, ()

    @staticmethod
    def _on_wildcards(_content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the names of the wildcard files."""
        return {"names": list_wildcards()}, ()


def _list_values(fitted: FittedPreset) -> dict[str, Any]:
    """Return what a form gets from a preset: its values, and its stack of LoRAs if it has one."""
    return fitted.values if fitted.loras is None else {**fitted.values, STACK: to_plain(fitted.loras)}
