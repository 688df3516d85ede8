"""The nodes of the embedded server; importing this package fills `NODES` and `MODELS`.

To add a node, write one decorated function in the module of its kind. This is the whole of `ImageInvert`, in
`image.py`:

    @node(
        "ImageInvert",
        display_name="Invert Image Colors",
        category="image/color",
        required={"image": ("IMAGE", {})},
        returns=("IMAGE",),
    )
    def image_invert(_: Context, image: Floats) -> Output:
        \"\"\"Invert the colours of images.\"\"\"
        return Output((1 - image,))

`/object_info`, validation, execution and caching all read this one definition. The class, display name, inputs and
outputs are those of ComfyUI, and the function has the class's name in snake case. Only a new module has to be added
to the imports below. `sandbox/interface/node.py` explains the decorator, the context and the values on links.
"""

from __future__ import annotations

from comfykit_jupyter.sandbox.nodes import (
    audio,
    audio_files,
    image,
    image_files,
    latent,
    mask,
    model,
    sampling,
    text,
    video,
)

__all__ = ["audio", "audio_files", "image", "image_files", "latent", "mask", "model", "sampling", "text", "video"]
