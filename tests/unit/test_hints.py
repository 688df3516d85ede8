"""Test the advice for known causes of failures."""

from __future__ import annotations

import pytest

from comfykit_jupyter.client.results.hints import find_hint
from comfykit_jupyter.client.running.outcome import is_out_of_memory
from comfykit_jupyter.workflow.progress.progress import RunError


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        ("FileNotFoundError", "[Errno 2] No such file or directory: 'cat.png'", "choose another file"),
        ("value_not_in_list", "ckpt_name: 'a.safetensors' not in []", "choose another file"),
        ("SafetensorError", "Error while deserializing header: HeaderTooLarge", "download the model again"),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)", "belong together"),
        ("return_type_mismatch", "received_type(LATENT) mismatch input_type(IMAGE)", "linked to this node"),
        ("AttributeError", "'NoneType' object has no attribute 'shape'", "linked to this node"),
        ("OSError", "[Errno 28] No space left on device", "disk is full"),
        ("ValueError", "kaboom", ""),
        ("OutOfMemoryError", "out of memory. What helps: use a smaller size", ""),
    ],
)
def test_known_causes_have_a_hint(kind: str, message: str, hint: str) -> None:
    found = find_hint(RunError("node_error", message, exception_type=kind))
    assert hint in found
    assert bool(hint) == bool(found)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("torch.OutOfMemoryError", "Allocation failed", True),
        ("MemoryError", "", True),
        ("RuntimeError", "CUDA error: out of memory", True),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 9 GB)", True),
        ("RuntimeError", "Allocation on device 0 would exceed allowed memory", True),
        ("RuntimeError", "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes", True),
        ("RuntimeError", "CUDA error: device-side assert triggered", False),
        (None, "kaboom", False),
    ],
)
def test_a_lack_of_memory_is_known_by_its_name_or_message(kind: str | None, message: str, expected: bool) -> None:
    assert is_out_of_memory(RunError("node_error", message, exception_type=kind)) is expected
