"""`WorkflowWithLoras`: run a workflow with a stack of LoRAs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.errors import WorkflowError, one_line, short_repr
from comfykit_jupyter.workflow.loras import find_lora, set_lora
from comfykit_jupyter.workflow.presets.with_presets import WorkflowWithPresets

if TYPE_CHECKING:
    from typing_extensions import Self

    from comfykit_jupyter.workflow.nodes import Definitions

MAX_LORAS = 50
"""LoRAs of one workflow."""
MAX_STRENGTH = 100
"""As in the definition of ComfyUI's loaders."""


class WorkflowWithLoras(WorkflowWithPresets):
    """A workflow that may run with a stack of LoRAs.

    Attributes:
        loras: The strengths for model and CLIP by the name of each LoRA, in their order.
    """

    loras: Mapping[str, tuple[float, float]] = MappingProxyType({})
    _without_loras: Any = None
    """The workflow before loaders were put in."""

    def with_loras(self, loras: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Return this workflow with a stack of LoRAs, in place of one that it was given before.

        A LoRA that the workflow loads is set. For each other one a loader is inserted behind what loads the model and
        the CLIP, in the order of the stack. Where the workflow loads no CLIP it changes the model only.

        Args:
            loras: The strength of each LoRA by its name: a number, or two for model and CLIP. 0 or None switches it
                off. The folder and the suffix of a name may be left out.
            more: More of them, as keywords.

        Returns:
            The workflow with the stack. This one stays as it is; `with_loras()` takes a stack away.

        Raises:
            WorkflowError: A strength is not one. A LoRA that the server lacks is found when the workflow is loaded or
                runs.

        Example:
            workflow = kit.load("portrait.json")
            kit.run(workflow.with_loras({"add_detail": 0.7, "style": (0.4, 0.2)}), cfg=5)
        """
        stack = read_stack({**(loras or {}), **more})
        used = copy.copy(self if self._without_loras is None else self._without_loras)
        used.loras, used.preset = stack, self.preset
        return used

    @property
    def needs_loaders(self) -> bool:
        """Whether loaders have to be put in before a run."""
        return bool(self.loras) and self._without_loras is None

    def insert_loras(self, definitions: Definitions) -> Self:
        """Return the workflow with the loaders of its stack.

        Args:
            definitions: The server's definitions of its nodes, and of the loaders.

        Raises:
            WorkflowError: The server lacks a LoRA, or it is not clear where a loader belongs.
        """
        prompt: Mapping[str, Any] = self.prompt
        for name, strengths in self.loras.items():
            prompt = set_lora(prompt, find_lora(name, definitions), strengths, definitions)
        made = copy.copy(self)
        vars(made).update(_prompt=prompt, _without_loras=self)
        return made


def read_stack(loras: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the strengths for model and CLIP of each LoRA.

    Raises:
        WorkflowError: A name or a strength is not one.
    """
    if len(loras) > MAX_LORAS:
        raise WorkflowError(f"loras: {len(loras)} are more than {MAX_LORAS}")
    return {_read_name(name): _read_strengths(name, value) for name, value in loras.items()}


def _read_name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise WorkflowError(f"loras: the name of a LoRA must be a text, not {short_repr(name)}")
    return name


def _read_strengths(name: str, value: Any) -> tuple[float, float]:
    if value is None:
        return 0.0, 0.0
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(_is_strength(each) for each in pair):
        raise WorkflowError(
            f"loras: the strength of {one_line(name)} must be a number from -{MAX_STRENGTH} to {MAX_STRENGTH}, "
            f"or two for model and CLIP, not {short_repr(value)}"
        )
    return pair


def _is_strength(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_STRENGTH
