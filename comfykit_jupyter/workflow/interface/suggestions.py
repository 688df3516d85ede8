"""Suggest the inputs that most people want to change, for workflows without parameters in their titles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from comfykit_jupyter.workflow.editor.widgets import UNKNOWN
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.model_names import is_model_name
from comfykit_jupyter.workflow.nodes import MISSING, Definitions, find_reachable
from comfykit_jupyter.workflow.parameters.inputs import NodeInput
from comfykit_jupyter.workflow.parameters.parameter import build_target

_PROMPTS = frozenset({"text", "prompt", "positive", "negative", "positive_prompt", "negative_prompt", "tags", "lyrics"})
_PATTERNS = frozenset({"expression", "find", "regex_pattern", "replace"})
"""Long texts that are not prompt texts, such as search patterns."""

_SIZES = frozenset(
    {
        "width", "height", "length", "batch_size", "frames", "num_frames", "frame_count", "duration", "seconds", "fps",
        "frame_rate", "resolution", "aspect_ratio", "megapixels",
    }
)  # fmt: skip
_SAMPLING = frozenset({"steps", "cfg", "guidance", "denoise", "strength", "strength_model"})


def suggest_inputs(prompt: Mapping[str, Any], definitions: Definitions) -> list[tuple[int, str, str]]:
    """Return the inputs that most people want to change, as (rank, node ID, name), the lowest rank first.

    The ranks are media, prompt texts, sizes, seeds, sampling and models.
    """
    return sorted(_rank_inputs(prompt, definitions), key=lambda each: each[0])


def _rank_inputs(prompt: Mapping[str, Any], definitions: Definitions) -> Iterator[tuple[int, str, str]]:
    needed = find_reachable(prompt, definitions)
    for node_id, node in prompt.items():
        if node_id not in needed:
            continue
        for field in node["inputs"]:
            found = NodeInput.find(prompt, build_target(prompt, node_id, field), definitions)
            rank = None if found.default is MISSING else rank_input(found, node["class_type"])
            if rank is not None:
                yield rank, node_id, field


def rank_input(found: NodeInput, class_type: str) -> int | None:
    """Return how early an input comes, or None for one that is not offered."""
    kind, field = found.spec.kind, found.field
    name = field.rpartition(".")[2]
    if field.startswith(UNKNOWN):
        return None  # a value of a node that the server lacks: nothing says what it is for
    if found.media in MEDIA_KINDS:
        return 0
    if kind == "text" and (found.spec.multiline or name in _PROMPTS) and name not in _PATTERNS:
        return 1
    if field == "value" and class_type.startswith("Primitive"):
        return 1  # a value has a node of its own so that it can be changed
    if name in _SIZES and kind in ("integer", "number", "choice"):
        return 2
    if found.is_seed(field):
        return 3
    if name in _SAMPLING and kind in ("integer", "number"):
        return 4
    if is_model_name(found.default):
        return 5
    return None
