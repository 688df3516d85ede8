"""The inputs that anybody would want to change, for workflows in which nothing is declared: what a form offers then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from comfykit_jupyter.workflow.inputs import NodeInput
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.nodes import MISSING, Definitions, find_reachable

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.parameters import Parameter
    from comfykit_jupyter.workflow.workflow import Workflow

_MOST = 100
"""Inputs that are offered: a form of more is none."""

_PROMPTS = frozenset({"text", "prompt", "positive", "negative", "positive_prompt", "negative_prompt", "tags", "lyrics"})
_PATTERNS = frozenset({"expression", "find", "regex_pattern", "replace"})
"""Long texts that are part of the machinery."""

_SIZES = frozenset(
    {
        "width", "height", "length", "batch_size", "frames", "num_frames", "frame_count", "duration", "seconds", "fps",
        "frame_rate", "resolution", "aspect_ratio", "megapixels",
    }
)  # fmt: skip
_SAMPLING = frozenset({"steps", "cfg", "guidance", "denoise", "strength", "strength_model"})
MODEL_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")


def suggest_parameters(workflow: Workflow, definitions: Definitions) -> list[Parameter]:
    """Media and prompts first, then seeds, sizes, sampling, models; each under its address, such as `KSampler.cfg`."""
    ranked = sorted(_ranked(workflow, definitions), key=lambda each: each[0])
    return [workflow.find_parameter(workflow.build_address(node_id, field)) for _, node_id, field in ranked[:_MOST]]


def _ranked(workflow: Workflow, definitions: Definitions) -> Iterator[tuple[int, str, str]]:
    needed = find_reachable(workflow.prompt, definitions)
    for node_id, node in workflow.prompt.items():
        if node_id not in needed:
            continue
        for field in node["inputs"]:
            slot = NodeInput.find(workflow, workflow.build_target(node_id, field), definitions)
            rank = None if slot.default is MISSING else _rank(slot, node["class_type"])
            if rank is not None:
                yield rank, node_id, field


def _rank(slot: NodeInput, class_type: str) -> int | None:
    """How early an input comes; None for one that is not obvious."""
    kind, field = slot.spec.kind, slot.field
    if slot.media in MEDIA_KINDS:
        return 0
    if kind == "text" and (slot.spec.multiline or field in _PROMPTS) and field not in _PATTERNS:
        return 1
    if field == "value" and class_type.startswith("Primitive"):
        return 1  # somebody gave a value a node of its own, in order to change it
    if slot.is_seed(field):
        return 2
    if field in _SIZES and kind in ("integer", "number", "choice"):
        return 3
    if field in _SAMPLING and kind in ("integer", "number"):
        return 4
    if isinstance(slot.default, str) and slot.default.lower().endswith(MODEL_SUFFIXES):
        return 5
    return None
