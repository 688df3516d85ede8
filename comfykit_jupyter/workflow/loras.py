"""Set the strength of a LoRA in a prompt, and insert a loader for it where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from comfykit_jupyter.workflow.errors import WorkflowError, join_names, one_line, short_repr
from comfykit_jupyter.workflow.lora_stack import Stack, StackedLora
from comfykit_jupyter.workflow.nodes import Definitions, is_link
from comfykit_jupyter.workflow.spelling import find_nearest


class LoraError(WorkflowError):
    """A stack of LoRAs does not fit a workflow or its server."""


LOADERS = ("LoraLoader", "LoraLoaderModelOnly")
STRENGTHS = ("strength_model", "strength_clip")
_NAME = "lora_name"
_TITLE_SIGNS = str.maketrans("$", "_")


def find_lora(name: str, definitions: Definitions) -> str:
    """Return the server's name of a LoRA; the folder and the suffix may be left out.

    Args:
        name: What the user typed.
        definitions: The server's definitions, including a loader.

    Raises:
        LoraError: There is none of this name, or several.
    """
    choices = list_loras(definitions)
    plain = name.replace("\\", "/")
    exact = [each for each in choices if each.replace("\\", "/") == plain]
    found = exact or [each for each in choices if plain in _spell(each)]
    if len(found) == 1:
        return found[0]
    if found:
        raise LoraError(f"lora: {short_repr(name)} matches several files: {join_names(found, 5, one_line)}")
    nearest = find_nearest(name, [*choices, *(PurePosixPath(each).stem for each in choices)])
    hint = (
        f": did you mean {one_line(nearest)}?" if nearest else f" (it has {join_names(choices, 5, one_line) or 'none'})"
    )
    raise LoraError(f"lora: the server has no LoRA {short_repr(name)}{hint}")


def list_loras(definitions: Definitions) -> list[str]:
    """Return the names of the server's LoRAs."""
    for loader in LOADERS:
        spec = definitions[loader].inputs.get(_NAME) if loader in definitions else None
        if spec is not None and spec.choices:
            return [each for each in spec.choices if isinstance(each, str)]
    return []


def _spell(name: str) -> set[str]:
    """Return what a file may be called: with or without its folder, its suffix, or both."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.name:  # a server may say anything
        return set()
    return {str(path), path.name, path.stem, str(path.with_suffix(""))}


def set_lora(
    prompt: Mapping[str, Any], file: str, strength: float | tuple[float, float], definitions: Definitions
) -> dict[str, Any]:
    """Return a prompt with a LoRA at a strength; it shares the nodes that are not changed.

    A loader of this file is set. Without one, a loader is inserted behind what loads the model, unless the strength is
    0.

    Args:
        prompt: The API-format graph.
        file: The server's name of the file.
        strength: The strength for model and CLIP, or one for each.
        definitions: The definitions of all nodes, and of the loaders of LoRAs.

    Raises:
        LoraError: It is not clear where a loader belongs.
    """
    strengths = strength if isinstance(strength, tuple) else (strength, strength)
    loaders = [node_id for node_id, node in prompt.items() if _loads(node, file)]
    if loaders:
        changed = dict(prompt)
        for node_id in loaders:
            inputs = prompt[node_id]["inputs"]
            own = {name: value for name, value in zip(STRENGTHS, strengths, strict=True) if name in inputs}
            changed[node_id] = {**prompt[node_id], "inputs": {**inputs, **own}}
        return changed
    return _insert(prompt, file, strengths, definitions) if any(strengths) else dict(prompt)


def has_loader(prompt: Mapping[str, Any], file: str) -> bool:
    """Return whether a prompt has a loader of a LoRA."""
    return any(_loads(node, file) for node in prompt.values())


def _loads(node: Mapping[str, Any], file: str) -> bool:
    return node.get("class_type") in LOADERS and node["inputs"].get(_NAME) == file


def read_inserted(prompt: Mapping[str, Any], own: Mapping[str, Any]) -> Stack:
    """Return the stack of LoRAs of a prompt: the loaders that its workflow did not have, in their order.

    Args:
        prompt: The API-format graph that was sent.
        own: The workflow's own.
    """
    found: dict[str, StackedLora] = {}
    for node_id, node in prompt.items():
        name = node["inputs"].get(_NAME)
        if node_id in own or node.get("class_type") not in LOADERS or not isinstance(name, str):
            continue
        model = node["inputs"].get(STRENGTHS[0])
        clip = node["inputs"].get(STRENGTHS[1], model)
        if isinstance(model, (int, float)) and isinstance(clip, (int, float)):
            found[name] = StackedLora(name, model, clip)
    return tuple(found.values())


def remove_loaders(prompt: Mapping[str, Any], inserted: Iterable[str]) -> dict[str, Any]:
    """Return a prompt without inserted loaders; inputs that were linked to them are linked to their sources.

    Args:
        prompt: The API-format graph.
        inserted: The IDs of the loaders.
    """
    left = dict(prompt)
    for node_id in inserted:
        if node_id not in left or left[node_id].get("class_type") not in LOADERS:
            continue
        inputs = left.pop(node_id)["inputs"]
        before = {(node_id, 0): inputs.get("model"), (node_id, 1): inputs.get("clip")}
        for other, node in left.items():
            links = {
                name: list(source)
                for name, value in node["inputs"].items()
                if (key := _to_key(value)) is not None and (source := before.get(key)) is not None and is_link(source)
            }
            left[other] = {**node, "inputs": {**node["inputs"], **links}} if links else node
    return left


@dataclass(frozen=True)
class LoraPlace:
    """Where the loaders of a stack belong in a workflow.

    Attributes:
        has_clip: Whether a loader that is inserted changes CLIP, too.
        problem: Why none can be inserted; "" if one can.
        own: The files of the workflow's own loaders.
    """

    has_clip: bool = True
    problem: str = ""
    own: tuple[str, ...] = ()


def find_place(prompt: Mapping[str, Any], definitions: Definitions) -> LoraPlace | None:
    """Return where loaders of LoRAs belong; None if the workflow loads no model, or the server has no such loader.

    Args:
        prompt: The API-format graph.
        definitions: The definitions of all nodes, and of the loaders of LoRAs.
    """
    loaders = [node["inputs"] for node in prompt.values() if node.get("class_type") in LOADERS]
    own = tuple(dict.fromkeys(name for each in loaders if isinstance(name := each.get(_NAME), str)))
    if not any(loader in definitions for loader in LOADERS):
        return None
    try:
        if _find_end(prompt, "MODEL", definitions) is None:
            return LoraPlace(own=own) if own else None
    except LoraError as error:
        return LoraPlace(problem=str(error), own=own)
    clip = None
    with contextlib.suppress(LoraError):
        clip = _find_end(prompt, "CLIP", definitions)
    return LoraPlace(clip is not None and "LoraLoader" in definitions, "", own)


def _insert(
    prompt: Mapping[str, Any], file: str, strengths: tuple[float, float], definitions: Definitions
) -> dict[str, Any]:
    model = _find_end(prompt, "MODEL", definitions)
    if model is None:
        raise LoraError("lora: the workflow has no node that loads a model")
    clip = None
    with contextlib.suppress(LoraError):  # of several it is not known which one belongs to the model
        clip = _find_end(prompt, "CLIP", definitions)
    new_id = _find_id(prompt)
    inputs: dict[str, Any] = {"model": list(model), _NAME: file, "strength_model": strengths[0]}
    loader = "LoraLoaderModelOnly"
    moved = {model: [new_id, 0]}
    if clip is not None and "LoraLoader" in definitions:
        loader = "LoraLoader"
        inputs |= {"clip": list(clip), "strength_clip": strengths[1]}
        moved[clip] = [new_id, 1]
    changed: dict[str, Any] = {}
    for node_id, node in prompt.items():
        links = {name: moved[key] for name, value in node["inputs"].items() if (key := _to_key(value)) in moved}
        changed[node_id] = {**node, "inputs": {**node["inputs"], **links}} if links else node
    changed[new_id] = {"class_type": loader, "inputs": inputs, "_meta": {"title": _build_title(file)}}
    return changed


def _build_title(file: str) -> str:
    """Return the title of a loader. A file's name must not be read as a parameter's: `$steps`."""
    return f"LoRA {one_line(file).translate(_TITLE_SIGNS)}"


def _find_end(prompt: Mapping[str, Any], kind: str, definitions: Definitions) -> tuple[str, int] | None:
    """Return the output behind which a loader belongs: of the model's loader, or of the last LoRA behind it.

    Raises:
        LoraError: Several nodes load a model.
    """
    used = {key for node in prompt.values() for value in node["inputs"].values() if (key := _to_key(value)) is not None}
    roots = [
        output
        for output in _iter_outputs(prompt, kind, definitions)
        if output in used and _is_root(prompt, output, kind, definitions)
    ]
    if not roots:
        return None
    if len(roots) > 1:
        titles = ", ".join(
            one_line(str(prompt[node_id].get("_meta", {}).get("title") or node_id)) for node_id, _ in roots
        )
        raise LoraError(f"lora: several nodes load a model ({titles}): add the LoRA's loader in the editor")
    end = roots[0]
    for _ in prompt:
        after = [
            node_id
            for node_id, node in prompt.items()
            if node["class_type"] in LOADERS and end in map(_to_key, node["inputs"].values())
        ]
        if len(after) != 1:
            break
        end = (after[0], 0 if kind == "MODEL" else 1)
    return end


def _iter_outputs(prompt: Mapping[str, Any], kind: str, definitions: Definitions) -> Iterator[tuple[str, int]]:
    for node_id, node in prompt.items():
        definition = definitions.get(node["class_type"])
        for slot, output in enumerate(definition.outputs if definition is not None else ()):
            if output == kind:
                yield node_id, slot


def _is_root(prompt: Mapping[str, Any], output: tuple[str, int], kind: str, definitions: Definitions) -> bool:
    """Return whether an output does not come from another one of its kind."""
    definition = definitions[prompt[output[0]]["class_type"]]
    return not any(spec.type == kind for spec in definition.inputs.values())


def _to_key(value: Any) -> tuple[str, int] | None:
    return (str(value[0]), int(value[1])) if is_link(value) else None


def _find_id(prompt: Mapping[str, Any]) -> str:
    numbers = [int(node_id) for node_id in prompt if node_id.isdecimal() and len(node_id) < 10]
    number = max(numbers, default=0) + 1
    while str(number) in prompt:
        number += 1
    return str(number)
