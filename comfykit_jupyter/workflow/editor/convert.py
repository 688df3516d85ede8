"""Convert editor format to a prompt, exactly as the editor's own export: IDs, classes, inputs, values and titles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfykit_jupyter.workflow.editor.dynamic_prompt import choose_alternatives
from comfykit_jupyter.workflow.editor.file import BYPASSED, MUTED, File, Graph, Node, is_editor_graph, read_file
from comfykit_jupyter.workflow.editor.flatten import Sources, Step, Value, unfold
from comfykit_jupyter.workflow.editor.group_nodes import read_groups, ungroup
from comfykit_jupyter.workflow.editor.layout import Layout
from comfykit_jupyter.workflow.editor.quirks import EDITOR_CLASSES, NO_QUIRK, NODES, WIDGET_TYPES
from comfykit_jupyter.workflow.editor.subgraphs import Promotion, sort_leaves_first
from comfykit_jupyter.workflow.editor.widgets import (
    CONTROL,
    Widget,
    build_unknown_widgets,
    find_default_choice,
    round_to_step,
)
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT
from comfykit_jupyter.workflow.nodes import MISSING, Definitions

__all__ = ["Converted", "MissingNode", "convert", "find_classes", "is_editor_graph", "to_api"]


@dataclass(frozen=True)
class MissingNode:
    """A node whose class the server lacks; `pack` is the package that has it, "" if the workflow doesn't say."""

    node_id: str
    class_type: str
    title: str
    pack: str


@dataclass(frozen=True)
class Converted:
    """A prompt, and what is missing for it.

    Attributes:
        prompt: The nodes in API format. A missing node has the class None, as in the editor's own export.
        missing: The nodes whose class the server lacks.
        notes: Lines on what only the editor's page can supply: a view of a scene, a webcam, a microphone.
        controls: What the editor does with a value after each run, by node ID and input: `randomize`, `increment`,
            `decrement` or `fixed`.
    """

    prompt: dict[str, Any]
    missing: tuple[MissingNode, ...] = ()
    notes: tuple[str, ...] = ()
    controls: Mapping[tuple[str, str], str] = field(default_factory=dict)


def find_classes(graph: Mapping[str, Any], name: str = "workflow") -> frozenset[str]:
    """Return the node classes of a graph in editor format, with those in subgraphs.

    Raises:
        WorkflowError: The graph is broken.
    """
    file = read_file(graph, name, renumber=False)
    groups = read_groups(graph, name)
    graphs = [*file.iter_graphs(), *(group.graph for group in groups.values())]
    found = {node.type for each in graphs for node in each.nodes.values()}
    return frozenset(found - EDITOR_CLASSES - file.subgraphs.keys() - groups.keys())


def to_api(graph: Mapping[str, Any], definitions: Definitions, name: str = "workflow") -> dict[str, Any]:
    """Return only the prompt that `convert` makes."""
    return convert(graph, definitions, name).prompt


def convert(
    graph: Mapping[str, Any],
    definitions: Definitions,
    name: str = "workflow",
    *,
    draw: Callable[[int, int], int] | None = None,
) -> Converted:
    """Convert a graph in editor format to a prompt.

    Args:
        graph: The file's JSON, which is not changed.
        definitions: The server's definitions of at least the classes of `find_classes`.
        name: What messages call the file.
        draw: `draw(low, high)` chooses in texts like "a {red|blue} cat", both bounds included; at random by default.

    Raises:
        WorkflowError: The graph is broken, or its links or subgraphs go in circles.
    """
    recent = not definitions or any(definition.recent for definition in definitions.values())
    file = read_file(graph, name, renumber=recent)
    ungroup(file, read_groups(graph, name), definitions, name)
    _assemble(file, definitions, name, recent=recent)
    steps = unfold(file, name, recent=recent)
    running = [step for step in steps if _is_running(step, file)]
    sources = Sources(name, recent=recent)
    prompt = {step.id: _build_node(step, sources, draw) for step in _sort_steps(running)}
    for node in prompt.values():
        inputs = node["inputs"]
        for key in [key for key, value in inputs.items() if isinstance(value, list) and value[0] not in prompt]:
            del inputs[key]
    missing = (_build_missing(step) for step in running if step.node.definition is None)
    return Converted(prompt, tuple(missing), tuple(_format_notes(running, name)), dict(_find_controls(running)))


def _assemble(file: File, definitions: Definitions, workflow_name: str, *, recent: bool) -> None:
    """Give all nodes their slots and widgets, with the values of the file."""
    promotion = Promotion(file, workflow_name, recent)
    for graph in (*sort_leaves_first(file, workflow_name), file.root):
        instances = [node for node in graph.nodes.values() if node.type in file.subgraphs]
        for node in graph.nodes.values():
            if node.type in file.subgraphs:
                promotion.assemble(node)
            else:
                _configure(node, definitions, recent=recent)
        graph.find_ends()
        for node in instances if recent else ():
            promotion.migrate(node)
    nodes = [(node, graph) for graph in file.iter_graphs() for node in graph.nodes.values()]
    for node, _ in nodes:
        _settle(node)
    for node, graph in nodes:
        if node.type == "PrimitiveNode" and node.definition is None:
            _apply_primitive(node, graph)


def _settle(node: Node) -> None:
    """Do what the editor does once all values are loaded."""
    if node.layout is not None:
        node.layout.settle()
    for slot in node.slots:
        if slot.promoted is not None and (first := find_default_choice(slot.promoted)) is not MISSING:
            slot.promoted.value = first


def _configure(node: Node, definitions: Definitions, *, recent: bool) -> None:
    definition = definitions.get(node.type)
    if definition is None:
        if node.type not in EDITOR_CLASSES:
            node.widgets = build_unknown_widgets(node.values, recent=recent)
        return
    node.definition = definition
    node.layout = Layout(definition)
    node.layout.connect(node.slots)
    node.layout.fill(node.values)
    node.slots, node.widgets = node.layout.slots, node.layout.widgets
    for widget in node.widgets:
        if widget.spec is not None and widget.spec.type == "LOAD_3D":
            widget.value = _build_scene(node)
    for output, type_ in zip(node.outputs, definition.outputs, strict=False):
        if type_ != "COMFY_MATCHTYPE_V3":
            output.type = type_


def _apply_primitive(node: Node, graph: Graph) -> None:
    """Write the value of a primitive node into the widgets that it is linked to."""
    ends = [graph.ends[id_] for id_ in (node.outputs[0].links if node.outputs else ()) if id_ in graph.ends]
    targets = [(end.node, end.widget) for end in ends if end.widget is not None]
    if not targets:
        return
    values = node.values if isinstance(node.values, list) else []
    value = values[0] if values else targets[0][1].value
    value = _clamp(value, [widget for _, widget in targets])
    for target, widget in targets:
        widget.control = values[1] if len(values) > 1 and isinstance(values[1], str) else widget.control
        if target.layout is not None:
            target.layout.set(widget, round_to_step(widget, value))
        else:
            widget.value = value


def _clamp(value: Any, widgets: list[Widget]) -> Any:
    """Return a number within the bounds that all these widgets have in common, if there are any."""
    specs = [widget.spec for widget in widgets if widget.spec is not None and widget.spec.type in ("INT", "FLOAT")]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not specs:
        return value
    lows = [spec.min for spec in specs if spec.min is not None]
    highs = [spec.max for spec in specs if spec.max is not None]
    if lows and highs and max(lows) > min(highs):
        return value
    value = max(value, *lows) if lows else value
    return min(value, *highs) if highs else value


def _is_running(step: Step, file: File) -> bool:
    node = step.node
    if node.mode in (MUTED, BYPASSED) or node.type in file.subgraphs:
        return False
    return node.definition is not None or node.type not in EDITOR_CLASSES


def _sort_steps(steps: list[Step]) -> Iterator[Step]:
    """Yield steps in the order of an export: a JavaScript object has numeric keys first, in their order."""
    numbered = [step for step in steps if step.id.isascii() and step.id.isdecimal()]
    yield from sorted(numbered, key=lambda step: int(step.id))
    yield from (step for step in steps if not (step.id.isascii() and step.id.isdecimal()))


def _build_node(step: Step, sources: Sources, draw: Callable[[int, int], int] | None) -> dict[str, Any]:
    """Build one node of the prompt."""
    node = step.node
    inputs: dict[str, Any] = {}
    for widget in node.widgets:
        value = widget.read() if widget.read is not None else widget.value
        if widget.sent and widget.name and value is not MISSING:
            inputs[widget.name] = _wrap(_choose(value, widget, draw), widget)
    for index, slot in enumerate(node.slots):
        found = sources.find(step, index) if slot.link is not None else None
        if isinstance(found, Value):
            if found.value is not MISSING:
                inputs[slot.name] = _wrap(found.value)
            else:
                inputs.pop(slot.name, None)
        elif found is not None:
            inputs[slot.name] = list(found)
    definition = node.definition
    if definition is None:
        return {"inputs": inputs, "class_type": None, "_meta": {"title": node.title or None}}
    titles = NODES.get(definition.class_type, NO_QUIRK).titles
    title = node.title or titles.get(definition.display_name, definition.display_name)
    return {"inputs": inputs, "class_type": definition.class_type, "_meta": {"title": title}}


def _choose(value: Any, widget: Widget, draw: Callable[[int, int], int] | None) -> Any:
    """Return the value of a widget, with one alternative of each `{a|b}` where the editor chooses one."""
    dynamic = widget.spec is not None and widget.spec.dynamic and "." not in widget.name
    return choose_alternatives(value, draw) if dynamic and isinstance(value, str) else value


def _wrap(value: Any, widget: Widget | None = None) -> Any:
    """Return a value as a prompt has it: a list would be a link, and a page rounds integers past 2**53."""
    if isinstance(value, list):
        spec = widget.spec if widget is not None else None
        if spec is not None and WIDGET_TYPES[spec.type].tagged:
            return {"__type__": spec.type, "__value__": value}
        return {"__value__": value}
    if type(value) is int and LARGEST_EXACT < abs(value) < 10**300:
        return _round_as_page(value)
    return value


def _round_as_page(value: int) -> int:
    """Round an integer as a page does: to the shortest digits of the nearest float."""
    digits, _, exponent = repr(float(value)).partition("e+")
    whole, _, part = digits.partition(".")
    part = part.rstrip("0")
    return int(whole + part + "0" * (int(exponent or 0) - len(part)))


def _find_controls(steps: list[Step]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the items of `Converted.controls`: as set by a primitive node, else by the widget after the value's."""
    for step in steps:
        following: Widget | None = None
        for widget in reversed(step.node.widgets):
            if following is not None and following.name == CONTROL and isinstance(following.value, str):
                widget.control = widget.control or following.value
            if widget.control:
                yield (step.id, widget.name), widget.control
            following = widget


def _build_scene(node: Node) -> dict[str, Any]:
    """Return the part of a scene's view that needs no page to draw it: the position of the camera."""
    camera = node.properties.get("Camera Config")
    state = camera.get("state") if isinstance(camera, Mapping) else None
    return {"image": "", "mask": "", "normal": "", "camera_info": state, "recording": "", "model_3d_info": []}


def _format_notes(steps: list[Step], workflow_name: str) -> Iterator[str]:
    for step in steps:
        for widget in step.node.widgets:
            what = WIDGET_TYPES[widget.spec.type].supplies if widget.spec is not None else ""
            if what and widget.name != "viewport_state":
                where = f"{one_line(step.node.title or step.node.type)} ({one_line(step.id)})"
                wanted = f'{what} from the editor\'s page: open it there, and use "Export (API)"'
                yield f"{workflow_name}: {where} needs {wanted}"


def _build_missing(step: Step) -> MissingNode:
    properties = step.node.properties
    pack = next((each for key in ("cnr_id", "aux_id") if isinstance(each := properties.get(key), str) and each), "")
    return MissingNode(step.id, step.node.type, step.node.title, pack)
