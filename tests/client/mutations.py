"""Prompts that are wrong in one or more ways, made from good ones by means of the server's own `/object_info`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

Prompt = dict[str, Any]
Info = Mapping[str, Any]


def specs(info: Info, class_type: str) -> dict[str, Any]:
    """The inputs of a class, as `/object_info` has them."""
    inputs = info[class_type]["input"]
    return {**inputs.get("required", {}), **inputs.get("optional", {})}


def choices(spec: Any) -> list[Any] | None:
    """The choices of an input, if it has any."""
    if isinstance(spec[0], list):
        return spec[0]
    options = spec[1] if len(spec) > 1 else {}
    return options.get("options", []) if spec[0] == "COMBO" else None


def settled(prompt: Prompt, info: Info) -> Prompt:
    """The prompt with choices that this server has, where the template's are others: models above all."""
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        for name, spec in specs(info, node["class_type"]).items() if node["class_type"] in info else ():
            listed = choices(spec)
            if listed and name in node["inputs"] and not isinstance(node["inputs"][name], list):
                node["inputs"][name] = node["inputs"][name] if node["inputs"][name] in listed else listed[0]
    return prompt


def mutate(prompt: Prompt, info: Info, random: Random) -> Prompt:
    """The prompt with one to three things changed, most of them for the worse."""
    prompt = copy.deepcopy(prompt)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(MUTATIONS)(prompt, info, random)
    return prompt


def _input(prompt: Prompt, info: Info, random: Random) -> tuple[dict[str, Any], str, Any]:
    """An input of a node that the server knows: the node's inputs, its name, its specification."""
    nodes = [node for node in prompt.values() if node["class_type"] in info and specs(info, node["class_type"])]
    if not nodes:
        return {}, "", ["*"]
    node = random.choice(nodes)
    name, spec = random.choice(list(specs(info, node["class_type"]).items()))
    return node["inputs"], name, spec


def _drop_input(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, _ = _input(prompt, info, random)
    inputs.pop(name, None)


def _other_value(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, _ = _input(prompt, info, random)
    values: tuple[Any, ...] = (
        "", "abc", "12", "1e3", " 7 ", 0, 1, -1, 3.7, -0.5, True, None, {}, {"a": 1}, {"__value__": 5}, [], [1],
        ["1", 0, 0], 2**70, "nan",
    )  # fmt: skip
    inputs[name] = random.choice(values)


def _bound(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, spec = _input(prompt, info, random)
    options = spec[1] if len(spec) > 1 else {}
    bounds = [
        (options[key], sign) for key, sign in (("min", -1), ("max", 1)) if isinstance(options.get(key), (int, float))
    ]
    if bounds:
        bound, sign = random.choice(bounds)
        inputs[name] = bound + sign * random.choice((0, 1, 0.001))


def _other_choice(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, spec = _input(prompt, info, random)
    listed = choices(spec)
    if listed is not None:
        inputs[name] = random.choice(["no-such-choice", "missing.safetensors", *listed[:20]])


def _relink(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, _ = _input(prompt, info, random)
    inputs[name] = [random.choice(list(prompt)), random.choice((0, 0, 0, 1, 2, 9))]


def _link_away(prompt: Prompt, info: Info, random: Random) -> None:
    inputs, name, _ = _input(prompt, info, random)
    inputs[name] = [random.choice(("nowhere", "9999")), 0]


def _unknown_class(prompt: Prompt, info: Info, random: Random) -> None:
    random.choice(list(prompt.values()))["class_type"] = "NoSuchNode"


def _drop_node(prompt: Prompt, info: Info, random: Random) -> None:
    if len(prompt) > 1:
        prompt.pop(random.choice(list(prompt)))


def _copy_output(prompt: Prompt, info: Info, random: Random) -> None:
    """One output more, so that a prompt may be accepted in part."""
    outputs = [node for node in prompt.values() if info.get(node["class_type"], {}).get("output_node")]
    if outputs:
        prompt[str(random.randrange(10_000, 20_000))] = copy.deepcopy(random.choice(outputs))


MUTATIONS: list[Callable[[Prompt, Info, Random], None]] = [
    _drop_input, _drop_input, _other_value, _other_value, _bound, _bound, _other_choice, _other_choice,
    _relink, _relink, _link_away, _drop_node, _copy_output, _copy_output, _unknown_class,
]  # fmt: skip
