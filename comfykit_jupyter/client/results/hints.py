"""Advice for known causes of failed runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.progress.progress import RunError

_HINTS = (
    (
        r"header ?too ?large|deserializing header|metadataincompletebuffer|pytorchstreamreader|invalid load key",
        "download the model again: its file is damaged, or not what its name says",
    ),
    (
        r"value_not_in_list|no such file|filenotfound|does not exist|not found in",
        "choose another file, or put this one into its folder on the server",
    ),
    (
        r"shapes cannot be multiplied|size mismatch|expected input.*channels|must match the size of tensor",
        "check that the models belong together: checkpoint, CLIP, VAE and LoRA of one family",
    ),
    (
        r"return_type_mismatch|'nonetype' object|expected scalar type|input type .* and weight type",
        "check what is linked to this node: an input has the wrong type, or is missing",
    ),
    (r"no space left|errno 28", "free some space on the server: its disk is full"),
    (r"cuda error|device-side assert|hip error", "restart ComfyUI: its GPU reports an error"),
)
"""Patterns of a failure's type and message, and what to do about it."""
MAX_SEARCHED = 2_000
"""Characters of a message that are searched."""


ADVICE = ". What helps: "
"""What stands in a message before advice that it has already."""


def find_hint(error: RunError) -> str:
    """Return what to do about a known cause of a failure, as one sentence; empty if the cause is not known."""
    if ADVICE in error.message:
        return ""
    text = f"{error.exception_type or ''} {error.message[:MAX_SEARCHED]}".lower()
    return next((hint for pattern, hint in _HINTS if re.search(pattern, text)), "")
