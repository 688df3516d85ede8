"""`FormLoras`: the stack of LoRAs of a form, and what its server says about LoRAs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, Problem, WorkflowError
from comfykit_jupyter.notebook.page.values import STACK, to_wire
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.lora_stack import MAX_STRENGTH, Stack, read_rows, read_stack
from comfykit_jupyter.workflow.lora_words import find_words
from comfykit_jupyter.workflow.loras import LOADERS, LoraPlace, find_lora, find_place, list_loras

if TYPE_CHECKING:
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow
    from comfykit_jupyter.workflow.nodes import Definitions

LIST_PREFIX = f"{STACK}/"
"""Before the name of a LoRA that has several strengths, among a form's lists of values."""
LABEL = "LoRAs"
MAX_OWN = 50
"""Files of the workflow's own loaders that the page gets."""
MAX_KNOWN_WORDS = 200
"""LoRAs whose trigger words are kept."""


class FormLoras:
    """The LoRAs of one form.

    Args:
        kit: Where the workflow runs.
        given: The workflow, as it was read.

    Attributes:
        definitions: The server's definitions of the workflow's nodes, and of the loaders of LoRAs.
        default: The stack that the workflow came with. A preset's stack only decides the first values.
    """

    def __init__(self, kit: ComfyKit, given: Workflow) -> None:
        self._kit = kit
        of_preset = given.preset is not None and given.preset.loras == given.stack
        self.default: Stack = () if of_preset else given.stack
        self.definitions: Definitions = {}
        self._place: LoraPlace | None = None
        self._is_known = False
        """Whether the server has said what it has."""
        self._words: dict[str, tuple[str, ...]] = {}

    def load(self, workflow: Workflow) -> Definitions:
        """Return the server's definitions of a workflow's nodes, read again, and find out where LoRAs go.

        Raises:
            ServerError: The server is unreachable.
        """
        backend = self._kit.find_backend(workflow)
        classes = [*workflow.classes, *(LOADERS if backend.has_object_info else ())]
        self.definitions = loop.call(backend.get_definitions(classes, fresh=True))
        self._place = find_place(workflow.prompt, self.definitions) if workflow.resolved else None
        self._is_known = True
        return {name: each for name, each in self.definitions.items() if name in workflow.classes}

    def build_field(self, workflow: Workflow, fields: Iterable[Field]) -> dict[str, Any] | None:
        """Return the entry of the stack in the trait `fields`; None where no LoRA can be used."""
        place = self._place
        if not workflow.resolved or not self._kit.find_backend(workflow).has_object_info:
            return None
        if self._is_known and place is None and not self.default:
            return None
        place = place or LoraPlace()
        return {
            "name": STACK,
            "kind": "loras",
            "label": LABEL,
            "default": to_wire(self.default),
            "choices": None,
            "choice_count": len(list_loras(self.definitions)),
            "problem": place.problem,
            "has_clip": place.has_clip,
            "own": list(place.own[:MAX_OWN]),
            "prompt": find_prompt(fields),
            "is_known": self._is_known,
            "min": -MAX_STRENGTH,
            "max": MAX_STRENGTH,
            "required": False,
            "advanced": False,
            "slider": False,
            **dict.fromkeys(("node", "node_id", "class_type", "tooltip", "group"), ""),
        }

    def check(self, value: Any) -> Stack:
        """Return a stack that was given as strengths by name, or as the rows of a page.

        Raises:
            ParameterError: It is not one. Whether the server has the files is not asked; see `explain`.
        """
        try:
            return read_stack(value) if isinstance(value, Mapping) else read_rows(value)
        except WorkflowError as error:
            raise ParameterError([Problem(STACK, str(error))]) from None

    def explain(self, stack: Stack) -> str:
        """Return what prevents a run with a stack, as far as known; "" for nothing."""
        if not self._is_known or self._place is None:
            return ""
        for each in stack:
            try:
                file = find_lora(each.name, self.definitions)
            except WorkflowError as error:
                return str(error)
            if self._place.problem and file not in self._place.own and any(each.strengths):
                return self._place.problem
        return ""

    def list_names(self, workflow: Workflow) -> list[str]:
        """Return the names of the server's LoRAs, read again: there may be new ones.

        Raises:
            ServerError: The server is unreachable.
        """
        backend = self._kit.find_backend(workflow)
        found = loop.call(backend.get_definitions(LOADERS, fresh=True))
        self.definitions = {**self.definitions, **found}
        return list_loras(found)

    def find_words(self, name: str, workflow: Workflow) -> tuple[str, ...]:
        """Return the trigger words of a LoRA, as far as its file names them."""
        with contextlib.suppress(WorkflowError):
            name = find_lora(name, self.definitions)
        if name not in self._words:
            try:
                metadata = loop.call(self._kit.find_backend(workflow).read_model_metadata("loras", name))
            except ComfyKitError:
                return ()
            if len(self._words) >= MAX_KNOWN_WORDS:
                self._words.clear()
            self._words[name] = find_words(metadata)
        return self._words[name]


def parse_list_name(name: str) -> str:
    """Return the LoRA whose strengths a list of values has; "" if the list belongs to a field."""
    return name.removeprefix(LIST_PREFIX) if name.startswith(LIST_PREFIX) else ""


def find_dropped(lists: Mapping[str, Any], stack: Stack) -> list[str]:
    """Return the lists of strengths of LoRAs that are no longer in a stack."""
    names = {each.name for each in stack}
    return [name for name in lists if (lora := parse_list_name(name)) and lora not in names]


def find_used(lists: Mapping[str, Any], stack: Stack) -> dict[str, Any]:
    """Return the lists of values, without LoRAs that are switched off: their lists are kept, but not used."""
    off = {each.name for each in stack if not each.on}
    return {name: each for name, each in lists.items() if parse_list_name(name) not in off}


def build_unknown_error(name: str) -> ComfyKitError:
    """Return the error for a list of strengths of a LoRA that is not in the stack."""
    return ComfyKitError(f"{one_line(name)}: this LoRA is not in the stack")


def find_prompt(fields: Iterable[Field]) -> str:
    """Return the name of the field that trigger words are put into: of the prompt, or the first text; "" for none."""
    texts = [field for field in fields if field.kind in ("text", "multiline")]
    names = {field.name: f"{field.name} {field.label} {field.node}".lower() for field in texts}
    asked = [field for field in texts if "negativ" not in names[field.name]]
    prompts = [field for field in asked if "prompt" in names[field.name] or "positiv" in names[field.name]]
    long = [field for field in asked if field.kind == "multiline"]
    return next((field.name for field in (*prompts, *long)), "")
