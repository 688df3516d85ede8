"""What a server would refuse in a prompt, as far as its node definitions tell: classes, inputs, values, links, cycles.

The kinds of problems are the protocol's own types of error. Like a server, this looks at the nodes that an output
needs, and converts values before it judges them (`"12"` is an integer, 3.7 is 3): a file is not held to more than it
is held to when it runs. What a node's own code refuses, no definition tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from comfykit_jupyter.workflow.errors import Problem, one_line, short_repr
from comfykit_jupyter.workflow.graph import WorkflowGraph
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.nodes import Definitions, Input, NodeDefinition
from comfykit_jupyter.workflow.spelling import find_nearest

_CONVERSIONS: Mapping[str, Any] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
_WORDS = {"INT": "an integer", "FLOAT": "a number"}


@dataclass(frozen=True)
class Verdict:
    """What was found. `outputs` are the ids of the output nodes that would run; with none the server refuses all."""

    problems: tuple[Problem, ...]
    outputs: tuple[str, ...]


def check_prompt(
    workflow: WorkflowGraph,
    definitions: Definitions,
    prompt: Mapping[str, Any] | None = None,
    settled: Collection[tuple[str, str]] = (),
) -> Verdict:
    """Look for all that is wrong with a prompt.

    Args:
        workflow: whose prompt it is.
        definitions: of the classes in use; one that is not there is one that the server lacks.
        prompt: the workflow's prompt with values put in; its own if not given.
        settled: inputs, as (node id, field), whose values need no look.
    """
    return _Checker(workflow, definitions, workflow.prompt if prompt is None else prompt, settled).verdict()


class _Checker:
    def __init__(
        self,
        workflow: WorkflowGraph,
        definitions: Definitions,
        prompt: Mapping[str, Any],
        settled: Collection[tuple[str, str]],
    ) -> None:
        self.workflow = workflow
        self.definitions = definitions
        self.prompt = prompt
        self.settled = settled
        self.found: dict[str, list[Problem]] = {}
        self.sources: dict[str, list[str]] = {}

    def verdict(self) -> Verdict:
        unknown = [
            self._unknown(id_) for id_, node in self.prompt.items() if node["class_type"] not in self.definitions
        ]
        outputs = [id_ for id_, node in self.prompt.items() if self._definition(node).output_node]
        if unknown:
            return Verdict(tuple(unknown), ())
        if not outputs:
            message = "no node of the workflow gives anything: add one that saves or shows its input"
            return Verdict((Problem("", message, kind="prompt_no_outputs"),), ())
        order = self._visit(outputs)
        good = tuple(output for output in outputs if not self._upstream(output) & self.found.keys())
        return Verdict(tuple(problem for id_ in order for problem in self.found.get(id_, ())), good)

    def _visit(self, outputs: list[str]) -> list[str]:
        """Look at every node that an output needs; in the order of the prompt."""
        seen, frontier = set(outputs), list(outputs)
        while frontier:
            id_ = frontier.pop()
            self.sources[id_] = []
            problems = list(self._node(id_))
            if problems:
                self.found[id_] = problems
            fresh = [source for source in self.sources[id_] if source not in seen]
            seen.update(fresh)
            frontier += fresh
        for id_ in self._in_cycles():
            self.found.setdefault(id_, []).append(
                self._problem(id_, None, "dependency_cycle", "the node needs its own output: undo one of its links")
            )
        return [id_ for id_ in self.prompt if id_ in seen]

    def _node(self, id_: str) -> Iterator[Problem]:
        node = self.prompt[id_]
        inputs = node["inputs"]
        for name, spec in find_declared_inputs(self._definition(node), inputs).items():
            if name not in inputs:
                if spec.required:
                    yield self._problem(id_, name, "required_input_missing", "required, and there is nothing")
            elif (id_, name) in self.settled:
                continue
            elif isinstance(inputs[name], list):
                yield from self._link(id_, name, spec, inputs[name])
            else:
                yield from self._value(id_, name, spec, inputs[name])

    def _link(self, id_: str, name: str, spec: Input, link: list[Any]) -> Iterator[Problem]:
        if len(link) != 2:
            reason = f"{short_repr(link)} is no link [node id, number of its output]"
            yield self._problem(id_, name, "bad_linked_input", reason)
            return
        source, slot = link
        if not isinstance(source, str) or source not in self.prompt:
            yield self._problem(
                id_, name, "linked_node_missing", f"linked to node {short_repr(source)}, which isn't there"
            )
            return
        self.sources[id_].append(source)
        outputs = self._definition(self.prompt[source]).outputs
        if type(slot) is not int or not -len(outputs) <= slot < len(outputs):
            title = self.workflow.get_title(source, self.definitions)
            reason = f"linked to output {short_repr(slot)} of {title}, which has {len(outputs)}"
            yield self._problem(id_, name, "linked_output_missing", reason)
            return
        received = outputs[slot]
        if not is_compatible(received, spec.slot_type):
            title = self.workflow.get_title(source, self.definitions)
            reason = f"takes {one_line(spec.slot_type)}, and is linked to {one_line(received)} of {title}"
            yield self._problem(id_, name, "return_type_mismatch", reason)

    def _value(self, id_: str, name: str, spec: Input, value: Any) -> Iterator[Problem]:
        if isinstance(value, dict) and "__value__" in value:
            value = value["__value__"]
        convert = _CONVERSIONS.get(spec.slot_type)
        if convert is not None:
            try:
                value = convert(value)
            except (TypeError, ValueError, OverflowError):
                reason = f"{short_repr(value)} is not {_WORDS.get(spec.slot_type, spec.slot_type)}"
                yield self._problem(id_, name, "invalid_input_type", reason)
                return
        number = isinstance(value, (int, float))
        if number and spec.min is not None and value < spec.min:
            yield self._problem(
                id_, name, "value_smaller_than_min", f"{short_repr(value)} is below the minimum {spec.min}"
            )
        elif number and spec.max is not None and value > spec.max:
            yield self._problem(
                id_, name, "value_bigger_than_max", f"{short_repr(value)} is above the maximum {spec.max}"
            )
        elif spec.choices is not None and not _is_chosen(value, spec):
            meant = find_nearest(str(value)[:200], [choice for choice in spec.choices if isinstance(choice, str)])
            hint = f": did you mean {short_repr(meant)}?" if meant else f" (there are {len(spec.choices)})"
            reason = f"{short_repr(value)} is not one of the choices{hint}"
            yield self._problem(id_, name, "value_not_in_list", reason)

    def _in_cycles(self) -> set[str]:
        """The nodes that need themselves."""
        return {id_ for id_ in self.sources if any(id_ in self._upstream(source) for source in self.sources[id_])}

    def _upstream(self, id_: str) -> set[str]:
        """A node and all that it needs."""
        seen, frontier = {id_}, [id_]
        while frontier:
            fresh = set(self.sources.get(frontier.pop(), ())) - seen
            seen |= fresh
            frontier += fresh
        return seen

    def _definition(self, node: Mapping[str, Any]) -> NodeDefinition:
        found = self.definitions.get(node["class_type"])
        return found if found is not None else NodeDefinition(node["class_type"], node["class_type"], {})

    def _unknown(self, id_: str) -> Problem:
        class_type = self.prompt[id_]["class_type"]
        reason = f"the server has no node {one_line(class_type)}: install what brings it, or take the node out"
        return self._problem(id_, None, "missing_node_type", reason)

    def _problem(self, id_: str, field: str | None, kind: str, reason: str) -> Problem:
        title = self.workflow.get_title(id_, self.definitions)
        where = f"{one_line(field)} ({title}, node {one_line(id_)})" if field else f"{title} (node {one_line(id_)})"
        parameter = self.workflow.build_address(id_, field) if field else title
        return Problem(parameter, f"{where}: {reason}", id_, title, kind, field)


def find_declared_inputs(definition: NodeDefinition, given: Mapping[str, Any]) -> dict[str, Input]:
    """All inputs of a node: its own, and those that the choices in it bring along (`format.codec`), which may lack."""
    found = dict(definition.inputs)
    unseen = list(found.items())
    while unseen:
        name, spec = unseen.pop()
        chosen = given.get(name)
        variant = spec.variants.get(chosen, ()) if spec.variants is not None and isinstance(chosen, str) else ()
        brought = {f"{name}.{each.name}": replace(each, required=False) for each in variant}
        found.update(brought)
        unseen += brought.items()
    # what grows is known by its parts only: whatever of them is there is taken as it is
    return {name: spec for name, spec in found.items() if spec.template is None}


def is_compatible(received: str, wanted: str) -> bool:
    """Whether an output of one type may go into an input of another; each may be several, with commas between."""
    types = [{part.strip() for part in each.split(",")} for each in (received, wanted)]
    return "*" in types[0] | types[1] or bool(types[0] & types[1])


def is_unlisted_file(value: Any, spec: Input) -> bool:
    """Whether a media value names a file that no list of choices tells of: one in a folder, or of an earlier run."""
    return isinstance(value, str) and ("/" in value or value.endswith("]")) and value not in (spec.choices or ())


def _is_chosen(value: Any, spec: Input) -> bool:
    if spec.kind in MEDIA_KINDS and is_unlisted_file(value, spec):
        return True  # whether it is there, the server tells
    chosen = value if isinstance(value, list) and spec.multiselect else [value]
    return all(any(one == choice for choice in spec.choices or ()) for one in chosen)
