"""`WorkflowWithLoras`: run a workflow with a stack of LoRAs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.document.with_presets import WorkflowWithPresets
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.lora_stack import Stack, StackedLora, read_stack, to_plain
from comfykit_jupyter.workflow.loras import LOADERS, STRENGTHS, LoraError, find_lora, remove_loaders, set_lora

if TYPE_CHECKING:
    from typing_extensions import Self

    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.parameters.parameter import Parameter
    from comfykit_jupyter.workflow.presets.preset import Preset
    from comfykit_jupyter.workflow.values.binding import Binding


class WorkflowWithLoras(WorkflowWithPresets):
    """A workflow that may run with a stack of LoRAs.

    Attributes:
        stack: The LoRAs in their order.
        lora_warnings: A line for each LoRA of the workflow's preset that is not used.
    """

    stack: Stack = ()
    lora_warnings: tuple[str, ...] = ()
    _without_loras: Any = None
    """The workflow before loaders were put in."""

    @property
    def loras(self) -> dict[str, Any]:
        """The stack as `with_loras` accepts it: `{"add_detail": 0.7, "style": (0.4, 0.2), "glow": {"off": 1.0}}`."""
        return to_plain(self.stack)

    @property
    def without_loras(self) -> Self:
        """The workflow without the loaders of its stack."""
        found: Self = self if self._without_loras is None else self._without_loras
        return found

    def with_loras(self, loras: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Return this workflow with a stack of LoRAs, in place of one that it was given before.

        A LoRA that the workflow loads is set. For each other one a loader is inserted behind what loads the model and
        the CLIP, in the order of the stack. Where the workflow loads no CLIP it changes the model only.

        Args:
            loras: The strength of each LoRA by its name: a number, or two for model and CLIP. 0, None or
                `{"off": 0.7}` switches it off; a form shows the last one with the strength that it had. The folder and
                the suffix of a name may be left out.
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
        return self.with_stack(read_stack({**(loras or {}), **more}))

    def with_stack(self, stack: Stack) -> Self:
        """Return this workflow with a stack that was read already; see `with_loras`."""
        return self.without_loras._copy_with(stack=stack, preset=self.preset)  # noqa: SLF001 - a workflow, too

    def with_preset(self, preset: Preset | None) -> Self:
        """Return this workflow with the values of a preset, and with its stack if it has one."""
        used = super().with_preset(preset)
        return used if preset is None or preset.loras is None else used.with_stack(preset.loras)

    @property
    def needs_loaders(self) -> bool:
        """Whether loaders have to be put in before a run."""
        return bool(self.stack) and self._without_loras is None

    def insert_loras(self, definitions: Definitions) -> Self:
        """Return the workflow with the loaders of its stack.

        Args:
            definitions: The server's definitions of its nodes, and of the loaders.

        Raises:
            WorkflowError: The server lacks a LoRA, or it is not clear where a loader belongs.
        """
        prompt: Mapping[str, Any] = self.prompt
        warnings: list[str] = []
        used: list[StackedLora] = []
        for each in self.stack:
            try:
                prompt = set_lora(prompt, find_lora(each.name, definitions), each.strengths, definitions)
                used.append(each)
            except LoraError as error:  # noqa: PERF203 - each says what is wrong with it
                if self.preset is None or self.stack != self.preset.loras:
                    raise
                reason = one_line(str(error), 200)
                warnings.append(f"preset {short_repr(self.preset.name)}: this LoRA is not used: {reason}")
        return self._copy_with(_prompt=prompt, _without_loras=self, stack=tuple(used), lora_warnings=tuple(warnings))

    def restore_stack(self, stack: Stack, inserted: Iterable[str]) -> Self:
        """Return this workflow as one that was given a stack, whose loaders it has already.

        Args:
            stack: The stack.
            inserted: The IDs of the loaders that were put in for it.
        """
        bare = self._copy_with(_prompt=remove_loaders(self.prompt, inserted), stack=stack)
        return self._copy_with(_without_loras=bare, stack=stack)

    def place_strengths(self, binding: Binding, given: Iterable[Any], definitions: Definitions | None) -> None:
        """Set the workflow's own loaders of LoRAs that are in the stack, whatever their parameters have.

        Args:
            binding: The prompt of a run, with its values.
            given: The names of the values that were given.
            definitions: The server's node definitions.
        """
        binding.loras = self.stack
        if self._without_loras is None:
            return
        given = set(given)
        for node_id, node in self._without_loras.prompt.items():
            ours = self.prompt[node_id]["inputs"]
            bound = binding.prompt[node_id]
            if node["class_type"] not in LOADERS or bound["inputs"].get("lora_name") != ours.get("lora_name"):
                continue
            set_here = {name: ours[name] for name in STRENGTHS if ours.get(name) != node["inputs"].get(name)}
            binding.prompt[node_id] = {**bound, "inputs": {**bound["inputs"], **set_here}}
            for name in set_here:
                setter = self.find_setter(node_id, name, definitions)
                if setter is not None and setter.name not in given:  # it is the stack's value, not the parameter's
                    binding.params.pop(setter.name, None)

    # The loaders of a stack change no name: values mean the same with and without them.

    @cached_property
    def _title_parameters(self) -> Mapping[str, Parameter]:
        of_bare: Mapping[str, Parameter] | None = (
            None if self._without_loras is None else self._without_loras._title_parameters  # noqa: SLF001
        )
        return super()._title_parameters if of_bare is None else of_bare

    def _get_interface(self, definitions: Definitions | None) -> Any:
        bare = self._without_loras
        return super()._get_interface(definitions) if bare is None else bare._get_interface(definitions)  # noqa: SLF001

    @cached_property
    def _ids(self) -> Mapping[str, list[str]]:
        found = super()._ids
        return found if self._without_loras is None else {**found, **self._without_loras._ids}  # noqa: SLF001


def find_inserted(prompt: Iterable[str], own: Iterable[str]) -> list[str]:
    """Return the IDs of the nodes of a prompt that its workflow did not have."""
    known = set(own)
    return [node_id for node_id in prompt if node_id not in known]
