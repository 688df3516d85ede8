"""Names of model files: they are known by their suffixes."""

from __future__ import annotations

from typing import Any, Final, TypeGuard

SUFFIXES: Final = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")
_LONGEST: Final = max(map(len, SUFFIXES))


def is_model_name(value: Any) -> TypeGuard[str]:
    """Return whether a value is the name of a model file."""
    return isinstance(value, str) and value[-_LONGEST:].lower().endswith(SUFFIXES)
