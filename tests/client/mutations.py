"""Random mutations that make valid prompts invalid, based on the server's `/object_info`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

Prompt = dict[str, Any]
Info = Mapping[str, Any]


def find_specs(info: Info, class_type: str) -> dict[str, Any]:
    """Return the inputs of a class as in `/object_info`."""
    inputs = info[class_type]["input"]
    return {**inputs.get("required", {}), **inputs.get("optional", {})}


def find_choices(spec: Any) -> list[Any] | None:
    """Return the choices of an input, or None."""
    if isinstance(spec[0], list):
        return spec[0]
    options = spec[1] if len(spec) > 1 else {}
    return options.get("options", []) if spec[0] == "COMBO" else None


def fix_choices(prompt: Prompt, info: Info) -> Prompt:
    """Return the prompt with choices that this server has, mainly models, in place of the template's."""
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        for name, spec in find_specs(info, node["class_type"]).items() if node["class_type"] in info else ():
            listed = find_choices(spec)
            if listed and name in node["inputs"] and not isinstance(node["inputs"][name], list):
                node["inputs"][name] = node["inputs"][name] if node["inputs"][name] in listed else listed[0]
    return prompt


def mutate(prompt: Prompt, info: Info, random: Random) -> Prompt:
    """Return the prompt with one to three changes, most of which make it invalid."""
    prompt = copy.deepcopy(prompt)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(MUTATIONS)(prompt, info, random)
    return prompt


def _pick_input(prompt: Prompt, info: Info, random: Random) -> tuple[dict[str, Any], str, Any]:
    """Pick an input of a known node: return the node's inputs, the input's name, its specification."""
    nodes = [node for node in prompt.values() if node["class_type"] in info and find_specs(info, node["class_type"])]
    if not nodes:
        return {}, "", ["*"]
    node = random.choice(nodes)
    name, spec = random.choice(list(find_specs(info, node["class_type"]).items()))
    return node["inputs"], name, spec


def _drop_input(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, _ = _pick_input(prompt, info, random)
    inputs.pop(name, None)


def _replace_value(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, _ = _pick_input(prompt, info, random)
    values: tuple[Any, ...] = (
        "", "abc", "12", "1e3", " 7 ", 0, 1, -1, 3.7, -0.5, True, None, {}, {"a": 1}, {"__value__": 5}, [], [1],
        ["1", 0, 0], 2**70, "nan",
    )  # fmt: skip
    inputs[name] = random.choice(values)


def _exceed_bound(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, spec = _pick_input(prompt, info, random)
    options = spec[1] if len(spec) > 1 else {}
    bounds = [
        (options[key], sign) for key, sign in (("min", -1), ("max", 1)) if isinstance(options.get(key), (int, float))
    ]
    if bounds:
        bound, sign = random.choice(bounds)
        inputs[name] = bound + sign * random.choice((0, 1, 0.001))


def _replace_choice(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, spec = _pick_input(prompt, info, random)
    listed = find_choices(spec)
    if listed is not None:
        inputs[name] = random.choice(["no-such-choice", "missing.safetensors", *listed[:20]])


def _relink(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, _ = _pick_input(prompt, info, random)
    inputs[name] = [random.choice(list(prompt)), random.choice((0, 0, 0, 1, 2, 9))]


def _break_link(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, _ = _pick_input(prompt, info, random)
    inputs[name] = [random.choice(("nowhere", "9999")), 0]


def _replace_class(prompt: Prompt, info: Info, random: Random) -> None:
    random.choice(list(prompt.values()))["class_type"] = "NoSuchNode"


def _drop_node(prompt: Prompt, info: Info, random: Random) -> None:
    if len(prompt) > 1:
        prompt.pop(random.choice(list(prompt)))


def _copy_output(prompt: Prompt, info: Info, random: Random) -> None:
    """Add an output node, so that a prompt may be partly accepted."""
    outputs = [node for node in prompt.values() if info.get(node["class_type"], {}).get("output_node")]
    if outputs:
        prompt[str(random.randrange(10_000, 20_000))] = copy.deepcopy(random.choice(outputs))


MUTATIONS: list[Callable[[Prompt, Info, Random], None]] = [
    _drop_input, _drop_input, _replace_value, _replace_value, _exceed_bound, _exceed_bound, _replace_choice,
    _replace_choice, _relink, _relink, _break_link, _drop_node, _copy_output, _copy_output, _replace_class,
]  # fmt: skip
