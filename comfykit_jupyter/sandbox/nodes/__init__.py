"""The nodes of the embedded server. Importing this fills `NODES` and `MODELS`."""

from __future__ import annotations

from comfykit_jupyter.sandbox.nodes import (
    audio,
    audio_files,
    image,
    image_files,
    latent,
    model,
    sampling,
    text,
    video,
)

__all__ = ["audio", "audio_files", "image", "image_files", "latent", "model", "sampling", "text", "video"]
