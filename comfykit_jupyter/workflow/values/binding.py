"""Put checked values into a workflow's prompt, draw its seeds, and list the files to upload."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as attribute
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.editor.dynamic_prompt import draw_at_random, expand_choices, unescape_braces
from comfykit_jupyter.workflow.interface.graph import WorkflowGraph
from comfykit_jupyter.workflow.lora_stack import Stack
from comfykit_jupyter.workflow.nodes import MISSING, RANDOM, SEED_NAMES, Definitions, Input, Kind, is_link, unwrap
from comfykit_jupyter.workflow.parameters.inputs import NodeInput, find_seed_bounds
from comfykit_jupyter.workflow.parameters.parameter import Parameter
from comfykit_jupyter.workflow.values.check import CheckedValue, check_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class Upload:
    """A media value that must be on the server before the run starts; `Binding.place` sets the name it gets there.

    Attributes:
        parameter: Name of the parameter.
        node_id: ID of the node.
        node_title: Title of the node.
        field: Name of the input.
        kind: What the input accepts; None if unknown.
        value: The value as it was given.
        choices: Names of files that the server already has.

    Example:
        >>> from comfykit_jupyter import Workflow
        >>> node = {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "$image!"}}
        >>> upload = Workflow.parse({"1": node}).bind({"image": "cat.png"}).uploads[0]
        >>> upload.parameter, upload.value
        ('image', 'cat.png')
    """

    parameter: str
    node_id: str
    node_title: str
    field: str
    kind: Kind | None
    value: Any
    choices: tuple[str, ...] = ()


@dataclass
class Binding:
    """The prompt of one run, and the values in it; see `Workflow.bind`.

    Attributes:
        prompt: The API-format graph. It shares unchanged nodes with the workflow: change it with `place` only.
        params: The values of all parameters, whether given or not.
        seeds: All seeds in use, by parameter, or by address ("KSampler.seed") if no parameter sets them.
        uploads: The media values that must be uploaded.
        inputs: The inputs that were set, by node ID and name, with their values in the prompt.
        drawn: The inputs with values that were drawn, by node ID and name, with what they were drawn from: `"random"`
            for a seed, or the text with choices such as `{red|blue}`.
        warnings: A line for each value of the workflow's preset that does not fit.
        loras: The stack of LoRAs in the prompt.

    Example:
        >>> binding = kit.load("text.json").bind({"subject": "a cat"})
        >>> binding.prompt["1"]["inputs"]
        {'value': 'a cat'}
    """

    prompt: dict[str, Any]
    params: dict[str, Any]
    seeds: dict[str, int]
    uploads: tuple[Upload, ...]
    inputs: dict[tuple[str, str], Any]
    drawn: dict[tuple[str, str], str] = attribute(default_factory=dict)
    warnings: tuple[str, ...] = ()
    loras: Stack = ()

    def place(self, upload: Upload, name: Any, spelling: str | None = None) -> None:
        """Set the input of an upload.

        Args:
            upload: The upload.
            name: What stands in the prompt for the file on the server.
            spelling: How the value of a file that the server has is recorded; without it, a path stays as it is.
        """
        self.prompt[upload.node_id]["inputs"][upload.field] = name
        self.inputs[upload.node_id, upload.field] = name
        given = self.params.get(upload.parameter)
        if spelling is not None:
            self.params[upload.parameter] = spelling
        elif not isinstance(given, str) and not getattr(given, "is_kept", False):  # such as bytes
            self.params[upload.parameter] = str(given) if hasattr(given, "__fspath__") else name


def bind(
    workflow: WorkflowGraph,
    values: Mapping[str, Any],
    definitions: Definitions | None,
    draw: Callable[[int, int], int] | None,
    *,
    expand: bool = True,
) -> Binding:
    """Put values into the prompt as `Workflow.bind` does."""
    return _Binder(workflow, definitions, draw or draw_at_random, expand=expand).bind(values)


class _Binder:
    def __init__(
        self,
        workflow: WorkflowGraph,
        definitions: Definitions | None,
        draw: Callable[[int, int], int],
        *,
        expand: bool,
    ) -> None:
        self.workflow = workflow
        self.definitions = definitions
        self.draw = draw
        self.expand = expand
        self.drawn: dict[tuple[str, str], str] = {}
        self.prompt: dict[str, Any] = dict(workflow.named_prompt)
        self.changed: set[str] = set()
        self.inputs: dict[tuple[str, str], Any] = {}
        self.params: dict[str, Any] = {}
        self.seeds: dict[str, int] = {}
        self.uploads: list[Upload] = []
        self.given: set[tuple[str, str]] = set()  # the inputs that a value was given for
        self.noted: set[tuple[str, str]] = set()  # the seed inputs that are in `seeds`

    def bind(self, values: Mapping[str, Any]) -> Binding:
        checked = check_values(self.workflow, values, self.definitions)
        self.given = {target.place for value in checked.values() for target, _ in value.inputs}
        for value in checked.values():
            self.set_value(value)
        declared = self.workflow.get_parameters(self.definitions)
        for parameter in declared.values():
            if parameter.name not in checked:
                self.keep_default(parameter)
        self.settle_seeds()
        ordered = {name: self.params.pop(name) for name in declared if name in self.params}
        return Binding(
            self.prompt, {**ordered, **self.params}, self.seeds, tuple(self.uploads), self.inputs, self.drawn
        )

    def set_value(self, checked: CheckedValue) -> None:
        """Set all inputs of a parameter to a value that was given; only note the files to upload."""
        name = checked.parameter.name
        drawn = self.draw_seed([target.spec for target, _ in checked.inputs]) if checked.random else None
        text = self.expand_text(checked)
        self.params[name] = drawn if drawn is not None else checked.value if text is None else text
        for target, own in checked.inputs:
            if target.upload:
                self.copy_node(target.node_id)
                self.uploads.append(self.build_upload(name, target, own))
                continue
            value = own if drawn is None else drawn
            if text is not None and _has_choices(target):
                value = unescape_braces(text)
                if text != own:
                    self.drawn[target.place] = own
            elif drawn is not None:
                self.drawn[target.place] = RANDOM
            is_list = target.spec.multiselect and isinstance(value, list)
            self.set_input(target.node_id, target.field, {"__value__": value} if is_list else value)
            if target.is_seed(name) and type(value) is int:
                self.note_seed(name, target, value)

    def expand_text(self, checked: CheckedValue) -> str | None:
        """Return a text with its choices drawn; None if it has none, or no input that may have some."""
        texts = [own for target, own in checked.inputs if _has_choices(target) and isinstance(own, str)]
        return expand_choices(texts[0], self.draw) if texts and self.expand else None

    def build_upload(self, parameter: str, target: NodeInput, value: Any) -> Upload:
        title = self.workflow.get_title(target.node_id, self.definitions)
        choices = tuple(choice for choice in target.spec.choices or () if isinstance(choice, str))
        return Upload(parameter, target.node_id, title, target.field, target.media, value, choices)

    def keep_default(self, parameter: Parameter) -> None:
        """Keep the workflow's own values where none was given; draw seeds that were never set."""
        targets = [NodeInput.find(self.workflow.prompt, target, self.definitions) for target in parameter.targets]
        targets = [target for target in targets if target.place not in self.given]
        unset = [each for each in targets if each.is_seed(parameter.name) and _is_untouched(each.default)]
        if unset:
            drawn = self.draw_seed([target.spec for target in unset])
            for target in unset:
                self.set_input(target.node_id, target.field, drawn)
                self.drawn[target.place] = RANDOM
        for target in targets:
            wrapped = self.prompt[target.node_id]["inputs"].get(target.field, MISSING)
            if wrapped is MISSING or is_link(wrapped):
                continue
            value = unwrap(wrapped)
            self.params.setdefault(parameter.name, value)
            if type(value) is int and target.is_seed(parameter.name):
                self.note_seed(parameter.name, target, value)

    def settle_seeds(self) -> None:
        """Draw the untouched seeds that no parameter names, and note them all."""
        for node_id, field, spec in list(self.find_other_seeds()):
            value = self.prompt[node_id]["inputs"][field]
            if _is_untouched(value) and (node_id, field) not in self.given:
                value = self.draw_seed([spec])
                self.set_input(node_id, field, value)
                self.drawn[node_id, field] = RANDOM
            if type(value) is int:
                self.seeds.setdefault(self.workflow.build_address(node_id, field), value)

    def find_other_seeds(self) -> Iterator[tuple[str, str, Input]]:
        for node_id, node in self.prompt.items():
            definition = self.definitions.get(node["class_type"]) if self.definitions else None
            for field, value in node["inputs"].items():
                if type(value) is not int and value != "0":
                    continue
                spec = definition.inputs.get(field) if definition is not None else None
                seed = spec.seed if spec is not None else field in SEED_NAMES
                if seed and (node_id, field) not in self.noted:
                    yield node_id, field, spec or Input.infer(field, 0)

    def draw_seed(self, specs: list[Input]) -> int:
        return self.draw(*find_seed_bounds(specs))

    def set_input(self, node_id: str, name: str, value: Any) -> None:
        self.copy_node(node_id)[name] = self.inputs[node_id, name] = value

    def copy_node(self, node_id: str) -> dict[str, Any]:
        """Return the inputs of this run's own copy of a node, which is made when the node is first changed."""
        if node_id not in self.changed:
            node = self.prompt[node_id]
            self.prompt[node_id] = {**node, "inputs": dict(node["inputs"])}
            self.changed.add(node_id)
        inputs: dict[str, Any] = self.prompt[node_id]["inputs"]
        return inputs

    def note_seed(self, name: str, target: NodeInput, value: int) -> None:
        """Note one seed by its parameter's name, and an input that keeps another value by its address."""
        self.noted.add(target.place)
        if self.seeds.setdefault(name, value) != value:
            self.seeds[self.workflow.build_address(target.node_id, target.field)] = value


def _has_choices(target: NodeInput) -> bool:
    """Return whether one of several alternatives is drawn for an input: its definition says so."""
    return target.defined and target.spec.dynamic and not target.upload


def _is_untouched(value: Any) -> bool:
    """Return whether a seed is 0 (but not false), as in a new node: it was not chosen."""
    return value == "0" or (type(value) is int and value == 0)
