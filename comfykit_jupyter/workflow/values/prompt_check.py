"""Check a prompt as a server would: classes, inputs, values, links, cycles.

Problems have the protocol's own types of error. As a server does, this checks the nodes that an output needs, and
converts values before it judges them (`"12"` is an integer, 3.7 is 3): a file is not judged more strictly than when it
runs. What a node's own code rejects is not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from comfykit_jupyter.workflow.errors import Problem, one_line, short_repr
from comfykit_jupyter.workflow.interface.graph import WorkflowGraph
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.nodes import Definitions, Input, NodeDefinition
from comfykit_jupyter.workflow.spelling import find_nearest

_CONVERSIONS: Mapping[str, Any] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
_WORDS = {"INT": "an integer", "FLOAT": "a number"}


@dataclass(frozen=True)
class Verdict:
    """The problems of a prompt, and the IDs of the output nodes that would run; without any, a server rejects it."""

    problems: tuple[Problem, ...]
    outputs: tuple[str, ...]


def check_prompt(
    workflow: WorkflowGraph,
    definitions: Definitions,
    prompt: Mapping[str, Any] | None = None,
    settled: Collection[tuple[str, str]] = (),
) -> Verdict:
    """Find all that is wrong with a prompt.

    Args:
        workflow: The workflow of the prompt.
        definitions: The server's definitions of the classes in use; it lacks classes that are missing here.
        prompt: The workflow's prompt with values put in; the workflow's own by default.
        settled: Inputs, as (node ID, name), whose values are not checked.
    """
    return _Checker(workflow, definitions, workflow.prompt if prompt is None else prompt, settled).check()


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

    def check(self) -> Verdict:
        missing = [id_ for id_, node in self.prompt.items() if node["class_type"] not in self.definitions]
        outputs = [id_ for id_, node in self.prompt.items() if self._find_definition(node).output_node]
        if missing:
            return Verdict(tuple(self._build_missing_class(id_) for id_ in missing), ())
        if not outputs:
            message = "the workflow has no output node: add one that saves or shows its input, such as SaveImage"
            return Verdict((Problem("", message, kind="prompt_no_outputs"),), ())
        order = self._check_nodes(outputs)
        good = tuple(output for output in outputs if not self._find_upstream(output) & self.found.keys())
        return Verdict(tuple(problem for id_ in order for problem in self.found.get(id_, ())), good)

    def _check_nodes(self, outputs: list[str]) -> list[str]:
        """Check every node that an output needs; return them in the order of the prompt."""
        seen, frontier = set(outputs), list(outputs)
        while frontier:
            id_ = frontier.pop()
            self.sources[id_] = []
            problems = list(self._check_node(id_))
            if problems:
                self.found[id_] = problems
            fresh = [source for source in self.sources[id_] if source not in seen]
            seen.update(fresh)
            frontier += fresh
        for id_ in self._find_cycles():
            self.found.setdefault(id_, []).append(
                self._build_problem(
                    id_, None, "dependency_cycle", "the node depends on its own output: remove one of its links"
                )
            )
        return [id_ for id_ in self.prompt if id_ in seen]

    def _check_node(self, id_: str) -> Iterator[Problem]:
        node = self.prompt[id_]
        inputs = node["inputs"]
        for name, spec in find_declared_inputs(self._find_definition(node), inputs).items():
            if name not in inputs:
                if spec.required:
                    yield self._build_problem(
                        id_, name, "required_input_missing", "required, but it has no value and no link"
                    )
            elif (id_, name) in self.settled:
                continue
            elif isinstance(inputs[name], list):
                yield from self._check_link(id_, name, spec, inputs[name])
            else:
                yield from self._check_value(id_, name, spec, inputs[name])

    def _check_link(self, id_: str, name: str, spec: Input, link: list[Any]) -> Iterator[Problem]:
        if len(link) != 2:
            reason = f"{short_repr(link)} is not a link [node ID, index of its output]"
            yield self._build_problem(id_, name, "bad_linked_input", reason)
            return
        source, slot = link
        if not isinstance(source, str) or source not in self.prompt:
            yield self._build_problem(
                id_, name, "linked_node_missing", f"linked to node {short_repr(source)}, which does not exist"
            )
            return
        self.sources[id_].append(source)
        outputs = self._find_definition(self.prompt[source]).outputs
        if type(slot) is not int or not -len(outputs) <= slot < len(outputs):
            title = self.workflow.get_title(source, self.definitions)
            reason = f"linked to output {short_repr(slot)} of {title}, which has {len(outputs)}"
            yield self._build_problem(id_, name, "linked_output_missing", reason)
            return
        received = outputs[slot]
        if not is_compatible(received, spec.slot_type):
            title = self.workflow.get_title(source, self.definitions)
            reason = f"accepts {one_line(spec.slot_type)}, but is linked to {one_line(received)} of {title}"
            yield self._build_problem(id_, name, "return_type_mismatch", reason)

    def _check_value(self, id_: str, name: str, spec: Input, value: Any) -> Iterator[Problem]:
        if isinstance(value, dict) and "__value__" in value:
            value = value["__value__"]
        convert = _CONVERSIONS.get(spec.slot_type)
        if convert is not None:
            try:
                value = convert(value)
            except (TypeError, ValueError, OverflowError):
                reason = f"{short_repr(value)} is not {_WORDS.get(spec.slot_type, spec.slot_type)}"
                yield self._build_problem(id_, name, "invalid_input_type", reason)
                return
        number = isinstance(value, (int, float))
        if number and spec.min is not None and value < spec.min:
            yield self._build_problem(
                id_, name, "value_smaller_than_min", f"{short_repr(value)} is below the minimum {spec.min}"
            )
        elif number and spec.max is not None and value > spec.max:
            yield self._build_problem(
                id_, name, "value_bigger_than_max", f"{short_repr(value)} is above the maximum {spec.max}"
            )
        elif spec.choices is not None and not _is_allowed(value, spec):
            meant = find_nearest(str(value)[:200], [choice for choice in spec.choices if isinstance(choice, str)])
            hint = f": did you mean {short_repr(meant)}?" if meant else f" (there are {len(spec.choices)})"
            reason = f"{short_repr(value)} is not one of the choices{hint}"
            yield self._build_problem(id_, name, "value_not_in_list", reason)

    def _find_cycles(self) -> set[str]:
        """Return the nodes that depend on themselves."""
        return {id_ for id_ in self.sources if any(id_ in self._find_upstream(source) for source in self.sources[id_])}

    def _find_upstream(self, id_: str) -> set[str]:
        """Return a node and all nodes that it needs."""
        seen, frontier = {id_}, [id_]
        while frontier:
            fresh = set(self.sources.get(frontier.pop(), ())) - seen
            seen |= fresh
            frontier += fresh
        return seen

    def _find_definition(self, node: Mapping[str, Any]) -> NodeDefinition:
        found = self.definitions.get(node["class_type"])
        return found if found is not None else NodeDefinition(node["class_type"], node["class_type"], {})

    def _build_missing_class(self, id_: str) -> Problem:
        class_type = self.prompt[id_]["class_type"]
        reason = f"the server has no node {one_line(class_type)}: install the package that has it, or remove the node"
        return self._build_problem(id_, None, "missing_node_type", reason)

    def _build_problem(self, id_: str, field: str | None, kind: str, reason: str) -> Problem:
        title = self.workflow.get_title(id_, self.definitions)
        setter = self.workflow.find_setter(id_, field, self.definitions) if field else None
        name = setter.name if setter is not None else field
        where = f"{one_line(name)} ({title}, node {one_line(id_)})" if name else f"{title} (node {one_line(id_)})"
        parameter = setter.name if setter is not None else self.workflow.build_address(id_, field) if field else title
        return Problem(parameter, f"{where}: {reason}", id_, title, kind, field)


def find_declared_inputs(definition: NodeDefinition, given: Mapping[str, Any]) -> dict[str, Input]:
    """Return all inputs of a node: its own, and optional ones that its choices add (`format.codec`)."""
    found = dict(definition.inputs)
    unseen = list(found.items())
    while unseen:
        name, spec = unseen.pop()
        chosen = given.get(name)
        variant = spec.variants.get(chosen, ()) if spec.variants is not None and isinstance(chosen, str) else ()
        brought = {f"{name}.{each.name}": replace(each, required=False) for each in variant}
        found.update(brought)
        unseen += brought.items()
    # Inputs that grow are known by their parts only, which are accepted as they are.
    return {name: spec for name, spec in found.items() if spec.template is None}


def is_compatible(received: str, wanted: str) -> bool:
    """Return whether an output of one type may be linked to an input of another; each may be several, as `A,B`."""
    types = [{part.strip() for part in each.split(",")} for each in (received, wanted)]
    return "*" in types[0] | types[1] or bool(types[0] & types[1])


def is_unlisted_file(value: Any, spec: Input) -> bool:
    """Return whether a media value names a file that no list of choices has: in a folder, or of an earlier run."""
    return isinstance(value, str) and ("/" in value or value.endswith("]")) and value not in (spec.choices or ())


def _is_allowed(value: Any, spec: Input) -> bool:
    if spec.kind in MEDIA_KINDS and is_unlisted_file(value, spec):
        return True  # only the server knows whether it exists
    chosen = value if isinstance(value, list) and spec.multiselect else [value]
    return all(any(one == choice for choice in spec.choices or ()) for one in chosen)
