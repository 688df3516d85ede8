"""`WorkflowWithPresets`: use and save values of a workflow under a name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.interface.graph import WorkflowGraph
from comfykit_jupyter.workflow.presets.fit import FittedPreset, fit_preset
from comfykit_jupyter.workflow.values.check import check_values

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from comfykit_jupyter.client.presets.folder import PresetFolder
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.presets.preset import Preset


class WorkflowWithPresets(WorkflowGraph):
    """A workflow that may run with the values of a preset.

    Attributes:
        preset: The preset whose values a run has, unless others are given; None for none.
    """

    preset: Preset | None = None

    def use_preset(self, name: str) -> Self:
        """Return this workflow with the values of a preset, `presets/NAME.toml` in the current folder.

        Values that are given to a run replace the preset's; a value that neither has is the workflow's own. If the
        workflow has changed since the preset was saved, what fits is used, and a warning says what does not.

        Args:
            name: The name of the preset.

        Returns:
            The workflow with the preset. This one stays as it is.

        Raises:
            ComfyKitError: There is no such preset, or its file is not one.

        Example:
            workflow = kit.load("portrait.json")
            kit.run(workflow.use_preset("soft light"), cfg=5)
        """
        preset = _open_folder().read(name)
        used = self.with_preset(preset)
        if getattr(self, "resolved", True):
            for warning in used.fit_preset((), self.definitions).warnings:
                warnings.warn(warning, stacklevel=2)
        return used

    def save_preset(self, name: str, values: Mapping[str, Any] | None = None, /, **more: Any) -> Path:
        """Save values as a preset, `presets/NAME.toml` in the current folder, in place of one of this name.

        A workflow with a preset saves the values of that, too, and one with a stack of LoRAs saves the stack. An image
        that is not in the current folder, or not in a file, is copied beside the preset.

        Args:
            name: The name: letters, digits, spaces, - and _, at most 64.
            values: Values by parameter name.
            more: More values, as keywords.

        Returns:
            The file.

        Raises:
            ComfyKitError: The name or a value can't be used, or another workflow has a preset of this name.
            OSError: The file can't be written.

        Example:
            kit.load("portrait.json").save_preset("soft light", cfg=4.5, prompt="portrait, soft light")
        """
        given = {**(values or {}), **more}
        given = {**self.fit_preset(given, self.definitions).values, **given}
        checked = check_values(self, given, self.definitions, partial=True)
        stack = getattr(self, "stack", ())
        return _open_folder().save(name, self, checked, self.definitions, stack or None)

    def delete_preset(self, name: str) -> None:
        """Delete a preset, and the images that were copied beside it.

        Args:
            name: The name of the preset.

        Raises:
            ComfyKitError: There is no such preset.
            OSError: It can't be deleted.
        """
        _open_folder().delete(name)

    def presets(self) -> tuple[str, ...]:
        """Return the names of the presets in the current folder that were saved for this workflow.

        Example:
            [kit.run(workflow.use_preset(name)) for name in workflow.presets()]
        """
        return _open_folder().list_for(self)

    def with_preset(self, preset: Preset | None) -> Self:
        """Return this workflow with the values of a preset, or of none."""
        return self._copy_with(preset=preset)

    def fit_preset(self, given: Iterable[Any], definitions: Definitions | None) -> FittedPreset:
        """Return the values of the preset that fit, without the names that are given."""
        if self.preset is None:
            return FittedPreset()
        return fit_preset(replace(self.preset, loras=None), self, definitions, given)


def _open_folder() -> PresetFolder:
    """Return the folder of presets, which stands in `client`: it reads files and images, and this room is pure."""
    from comfykit_jupyter.client.presets.folder import PresetFolder

    return PresetFolder()
