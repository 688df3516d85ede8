"""Mask nodes: a mask as an image, inverted, and as what a sampler may change."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.interface.node import Context, Output, Spec, node
from comfykit_jupyter.sandbox.interface.values import Floats, Latent

_MASK: Spec = ("MASK", {})


@node(
    "MaskToImage",
    display_name="Convert Mask to Image",
    category="image/mask",
    required={"mask": _MASK},
    returns=("IMAGE",),
)
def mask_to_image(_: Context, mask: Floats) -> Output:
    """Convert masks to grey images."""
    return Output((np.repeat(mask[..., None], 3, axis=3),))


@node(
    "InvertMask",
    display_name="Invert Mask",
    category="image/mask",
    required={"mask": _MASK},
    returns=("MASK",),
)
def invert_mask(_: Context, mask: Floats) -> Output:
    """Invert masks."""
    return Output((1 - mask,))


@node(
    "SetLatentNoiseMask",
    display_name="Set Latent Noise Mask",
    category="model/latent",
    required={"samples": ("LATENT", {}), "mask": _MASK},
    returns=("LATENT",),
)
def set_latent_noise_mask(_: Context, samples: Latent, mask: Floats) -> Output:
    """Limit what samplers change of a latent to a mask."""
    return Output((Latent(**{**samples, "mask": mask}),))
