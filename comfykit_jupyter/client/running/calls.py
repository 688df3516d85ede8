"""`Call`: a workflow with the values that a cell gives it, before anything is drawn. It knows its own job again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.senders import compute_hash
from comfykit_jupyter.workflow.editor.dynamic_prompt import may_have_choices
from comfykit_jupyter.workflow.json_values import to_plain_scalar

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Binding

HASH_LENGTH = 64
"""Digits of the hash of a call."""
_NONE: Mapping[str, Any] = {"inputs": {}}


class _Drawn(int):
    """A seed that is not drawn yet; it is a different object for each draw."""


class Call:
    """What one call in a cell asks for.

    Args:
        workflow: The workflow.
        values: The values as they were given.
        binding: The prompt with the values.
        definitions: What the values were checked with.
        files: A hash of each file to upload, or its name on the server, in the order of `binding.uploads`.
        expand_choices: As for `Workflow.bind`.
    """

    def __init__(
        self,
        workflow: Workflow,
        values: Mapping[str, Any],
        binding: Binding,
        definitions: Definitions,
        files: Sequence[Any],
        *,
        expand_choices: bool,
    ) -> None:
        self._workflow = workflow
        self._values = values
        self._definitions = definitions
        self._expand_choices = expand_choices
        self._files = {upload.parameter: file for upload, file in zip(binding.uploads, files, strict=True)}

    def compute_hash(self) -> str:
        """Return a hash of the workflow and the values as they were given: the same in every kernel."""
        workflow = self._workflow
        # The editor's graph comes first: converting it draws one of {red|blue}.
        content = workflow.editor if workflow.editor is not None else _strip_titles(workflow.prompt)
        hosted = workflow.hosted.name if workflow.hosted is not None else None
        given = {**(workflow.preset.values if workflow.preset is not None else {}), **self._values}
        values = {name: self._files.get(name, to_plain_scalar(value)) for name, value in given.items()}
        return compute_hash(hosted, content, json.dumps(values, sort_keys=True, default=str), length=HASH_LENGTH)

    def adopt(self, prompt: Mapping[str, Any]) -> Binding | None:
        """Return the values of a job that this call has sent; None if it runs something else.

        Anybody can send a job that names this call. So its prompt must equal the call's, except for what was
        drawn, and for the names of files.
        """
        if not _is_prompt(prompt):
            return None
        binding = self._draw_again(prompt)
        if binding is None:
            return None
        for upload in binding.uploads:
            spelling = upload.value.server_name if isinstance(upload.value, Media) else None
            binding.place(upload, prompt.get(upload.node_id, _NONE)["inputs"].get(upload.field), spelling)
        if not self._is_same(binding.prompt, prompt):
            return None
        texts = {
            ours: prompt[node]["inputs"][name] for (node, name), ours in binding.inputs.items() if isinstance(ours, str)
        }
        params = {
            name: texts.get(value, value) if isinstance(value, str) and name not in self._files else value
            for name, value in binding.params.items()
        }
        return replace(binding, prompt=dict(prompt), params=params)

    def _draw_again(self, prompt: Mapping[str, Any]) -> Binding | None:
        """Bind the values with the seeds of a prompt; None if it lacks one."""
        drawn: list[_Drawn] = []
        bounds: list[tuple[int, int]] = []

        def note(low: int, high: int) -> int:
            drawn.append(_Drawn(low))
            bounds.append((low, high))
            return drawn[-1]

        inputs = self._bind(note).inputs
        places = {id(value): place for place, value in inputs.items() if isinstance(value, _Drawn)}
        seeds = []
        for each, (low, high) in zip(drawn, bounds, strict=True):
            node, name = places.get(id(each), ("", ""))
            seed = prompt[node]["inputs"].get(name) if node in prompt else low
            if type(seed) is not int or not low <= seed <= high:
                return None
            seeds.append(seed)
        left = iter(seeds)
        return self._bind(lambda _low, _high: next(left))

    def _bind(self, draw: Callable[[int, int], int]) -> Binding:
        return self._workflow.bind(self._values, self._definitions, draw=draw, expand_choices=self._expand_choices)

    def _is_same(self, ours: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Return whether two prompts have the same nodes and inputs, apart from texts in which a choice is drawn."""
        ours, other = _strip_titles(ours), _strip_titles(other)
        if ours == other:
            return True
        if ours.keys() != other.keys() or not self._has_choices:
            return False
        for node, (class_type, inputs) in ours.items():
            other_class, other_inputs = other[node]
            if class_type != other_class or inputs.keys() != other_inputs.keys():
                return False
            pairs = ((value, other_inputs[name]) for name, value in inputs.items())
            if any(one != two and not (isinstance(one, str) and isinstance(two, str)) for one, two in pairs):
                return False
        return True

    @property
    def _has_choices(self) -> bool:
        """Whether a text such as `a {red|blue} cat` may be in the workflow or the values."""
        return any(may_have_choices(text) for text in _iterate_texts([self._workflow.editor, self._values]))


def _strip_titles(prompt: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classes and inputs of a prompt, as JSON has them."""
    nodes = {node: [content["class_type"], content["inputs"]] for node, content in prompt.items()}
    plain: dict[str, Any] = json.loads(json.dumps(nodes))
    return plain


def _iterate_texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value, without recursion: a graph may be nested deeply."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            left.extend(each.values())
        elif isinstance(each, (list, tuple)):
            left.extend(each)


def _is_prompt(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_node, value.values()))


def _is_node(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("class_type"), str)
        and isinstance(value.get("inputs"), Mapping)
    )
