"""Builders of editor-format files, and definitions of a few node classes for them."""

from __future__ import annotations

from typing import Any

from comfykit_jupyter.workflow.editor.convert import convert
from comfykit_jupyter.workflow.nodes import NodeDefinition


def make_definition(class_type: str, required: dict[str, Any], *outputs: str, recent: bool = True, **more: Any) -> Any:
    """Return the definition of one class; `recent=False` is one from a server from before 2026."""
    raw = {"input": {"required": required}, "output": list(outputs), "display_name": f"The {class_type}", **more}
    return NodeDefinition.parse(class_type, {**raw, "search_aliases": []} if recent else raw)


def make_definitions(*, recent: bool = True) -> dict[str, NodeDefinition]:
    """Return a source, a filter, a sampler with a seed, a sink, and classes with dynamic inputs."""
    option = {"key": "plain", "inputs": {"required": {}}}
    sized = {"key": "sized", "inputs": {"required": {"size": ["INT", {"default": 5}], "mask": ["MASK", {}]}}}
    found = [
        make_definition(
            "Load", {"name": ["COMBO", {"options": ["a", "b"]}], "strength": ["FLOAT", {}]}, "IMAGE", "MASK"
        ),
        make_definition("Filter", {"image": ["IMAGE"], "mask": ["MASK"], "amount": ["INT", {}]}, "IMAGE"),
        make_definition("Sample", {"seed": ["INT", {}], "steps": ["INT", {"default": 20}]}, "IMAGE"),
        make_definition("Text", {"text": ["STRING", {"multiline": True, "dynamicPrompts": True}]}, "STRING"),
        make_definition("Save", {"images": ["IMAGE"], "prefix": ["STRING", {"default": "out"}]}),
        make_definition(
            "Dynamic", {"mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [option, sized]}], "last": ["INT", {}]}
        ),
        make_definition(
            "Batch",
            {"images": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"i": ["IMAGE"]}}, "prefix": "i"}}]},
            "IMAGE",
        ),
    ]
    if not recent:
        found = [NodeDefinition(**{**vars(each), "recent": False}) for each in found]
    return {each.class_type: each for each in found}


class Draft:
    """An editor file under construction: `add` nodes, `link` outputs to inputs, then `save`."""

    def __init__(self, *, objects: bool = False) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.links: list[Any] = []
        self.subgraphs: list[dict[str, Any]] = []
        self.extra: dict[str, Any] = {}
        self.objects = objects

    def add(self, type_: str, values: Any = None, **more: Any) -> int:
        """Add a node and return its id; `inputs` and `outputs` are the names or types of its slots."""
        inputs = [_make_slot(each) for each in more.pop("inputs", ())]
        outputs = [{"name": each, "type": each, "links": []} for each in more.pop("outputs", ("IMAGE", "MASK"))]
        node = {"id": len(self.nodes) + 1, "type": type_, "mode": 0, "inputs": inputs, "outputs": outputs}
        self.nodes.append({**node, "widgets_values": values, **more})
        id_: int = self.nodes[-1]["id"]
        return id_

    def link(
        self, origin: int, slot: int, target: int, name: str, type_: str = "IMAGE", *, widget: bool = False
    ) -> None:
        """Link an output to an input, adding the input if the node lacks it."""
        id_ = len(self.links) + 1
        node = self.node(target)
        found = next((each for each in node["inputs"] if each["name"] == name), None)
        if found is None:
            found = _make_slot((name, type_))
            node["inputs"].append(found)
        if widget:
            found["widget"] = {"name": name}
        found["link"] = id_
        if origin > 0:
            self.node(origin)["outputs"][slot]["links"].append(id_)
        at = node["inputs"].index(found)
        entry = {"id": id_, "origin_id": origin, "origin_slot": slot, "target_id": target, "target_slot": at}
        self.links.append({**entry, "type": type_} if self.objects else [*entry.values(), type_])

    def node(self, id_: int) -> dict[str, Any]:
        """Return the node with this id."""
        return next(node for node in self.nodes if node["id"] == id_)

    def save(self) -> dict[str, Any]:
        """Return the finished file."""
        version: float = 1 if self.objects else 0.4
        graph = {"nodes": self.nodes, "links": self.links, "version": version, "extra": self.extra}
        return {**graph, "definitions": {"subgraphs": self.subgraphs}, "last_node_id": len(self.nodes)}

    def prompt(self, *, recent: bool = True) -> dict[str, Any]:
        """Return the prompt that the file converts to."""
        return convert(self.save(), make_definitions(recent=recent), draw=lambda low, high: high).prompt

    def inputs(self, id_: object, *, recent: bool = True) -> dict[str, Any]:
        """Return the inputs of one node of the prompt."""
        found: dict[str, Any] = self.prompt(recent=recent)[str(id_)]["inputs"]
        return found


class Inside(Draft):
    """A subgraph definition under construction: its inputs are linked from `-10`, its outputs to `-20`."""

    def __init__(self, id_: str = "inside", inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = ()) -> None:
        super().__init__(objects=True)
        self.id = id_
        self.ports = [{"name": name, "type": "*", "linkIds": []} for name in inputs]
        self.exits = [{"name": name, "type": name, "linkIds": []} for name in outputs]

    def take(self, port: int, target: int, name: str, type_: str = "IMAGE", *, widget: bool = False) -> None:
        """Link an input of the subgraph to an inner input."""
        self.link(-10, port, target, name, type_, widget=widget)
        self.ports[port]["linkIds"].append(len(self.links))  # type: ignore[attr-defined]

    def give(self, origin: int, slot: int, port: int) -> None:
        """Link an inner output to an output of the subgraph."""
        id_ = len(self.links) + 1
        entry = {"id": id_, "origin_id": origin, "origin_slot": slot, "target_id": -20, "target_slot": port}
        self.links.append({**entry, "type": "*"})
        self.exits[port]["linkIds"].append(id_)  # type: ignore[attr-defined]

    def save(self) -> dict[str, Any]:
        """Return the definition as the file stores it."""
        ends = {"inputNode": {"id": -10}, "outputNode": {"id": -20}, "inputs": self.ports, "outputs": self.exits}
        return {"id": self.id, "name": self.id, "nodes": self.nodes, "links": self.links, "version": 1, **ends}


def _make_slot(given: Any) -> dict[str, Any]:
    name, type_ = given if isinstance(given, tuple) else (given, given)
    return {"name": name, "type": type_, "link": None}
