"""Loader nodes for the built-in models, which are not diffusion models: they choose how the painter paints."""

from __future__ import annotations

from dataclasses import dataclass, replace

from comfykit_jupyter.sandbox.interface.node import METADATA, MODELS, Context, Folders, Output, Specs, node

# Each model is a "hand": a manner in which the painter paints.
_HANDS = {
    "procedural-dreams (no diffusion model).safetensors": "dreams",
    "procedural-ink (no diffusion model).safetensors": "ink",
    "procedural-silk (no diffusion model).safetensors": "silk",
}
_LOOKS = {
    "procedural-brush (no diffusion model).safetensors": "brush",
    "procedural-golden-hour (no diffusion model).safetensors": "golden",
    "procedural-moonlight (no diffusion model).safetensors": "moonlight",
}
MODELS["checkpoints"] = tuple(_HANDS)
MODELS["loras"] = tuple(_LOOKS)
_BRUSH, _GOLDEN, _MOONLIGHT = _LOOKS
METADATA["loras", _BRUSH] = {"ss_tag_frequency": '{"10_brush": {"brush strokes": 24, "canvas": 9, "oil": 17}}'}
METADATA["loras", _GOLDEN] = {"modelspec.trigger_phrase": "golden hour, warm light", "ss_network_dim": "8"}
METADATA["loras", _MOONLIGHT] = {"ss_trigger_words": "moonlit night", "ss_tag_frequency": '{"5_night": {"moon": 12}}'}

Looks = tuple[tuple[str, float], ...]
"""Names of LoRA effects, each with its strength."""


@dataclass(frozen=True)
class Model:
    """The value of a MODEL link: the painter's hand and the LoRAs applied to it."""

    hand: str
    looks: Looks = ()


@dataclass(frozen=True)
class Clip:
    """The value of a CLIP link: the hand that it belongs to and the LoRAs applied to it."""

    hand: str
    looks: Looks = ()


@dataclass(frozen=True)
class Vae:
    """The value of a VAE link: the hand that it belongs to."""

    hand: str


@dataclass(frozen=True)
class Conditioning:
    """The value of a CONDITIONING link: a prompt text and the CLIP that encoded it."""

    text: str
    clip: Clip


def _find_hand(name: str) -> str:
    if name not in _HANDS:
        raise ValueError(
            f"{name!r} can't run on the embedded server, which has no diffusion models: choose one of {list(_HANDS)}"
        )
    return _HANDS[name]


def _build_checkpoint_specs(folders: Folders) -> Specs:
    return {"ckpt_name": (folders.list_models("checkpoints"), {})}


@node(
    "CheckpointLoaderSimple",
    display_name="Load Checkpoint",
    category="model/loaders",
    required=_build_checkpoint_specs,
    returns=("MODEL", "CLIP", "VAE"),
)
def checkpoint_loader_simple(_: Context, ckpt_name: str) -> Output:
    """Load one of the built-in models."""
    hand = _find_hand(ckpt_name)
    return Output((Model(hand), Clip(hand), Vae(hand)))


def _build_lora_specs(folders: Folders) -> Specs:
    strength = ("FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01})
    return {
        "model": ("MODEL", {}),
        "clip": ("CLIP", {}),
        "lora_name": (folders.list_models("loras"), {}),
        "strength_model": strength,
        "strength_clip": strength,
    }


@node(
    "LoraLoader",
    display_name="Load LoRA (Model and CLIP)",
    category="model/loaders",
    required=_build_lora_specs,
    returns=("MODEL", "CLIP"),
)
def lora_loader(
    _: Context, model: Model, clip: Clip, lora_name: str, strength_model: float, strength_clip: float
) -> Output:
    """Change the painter's palette or brush; a strength of 0 changes nothing."""
    if lora_name not in _LOOKS:
        raise ValueError(f"{lora_name!r} can't run on the embedded server: choose one of {list(_LOOKS)}")
    look = _LOOKS[lora_name]
    if strength_model:
        model = replace(model, looks=(*model.looks, (look, strength_model)))
    if strength_clip:
        clip = replace(clip, looks=(*clip.looks, (look, strength_clip)))
    return Output((model, clip))


@node(
    "CLIPTextEncode",
    display_name="CLIP Text Encode (Prompt)",
    category="model/conditioning",
    required={"text": ("STRING", {"multiline": True, "dynamicPrompts": True}), "clip": ("CLIP", {})},
    returns=("CONDITIONING",),
)
def clip_text_encode(_: Context, text: str, clip: Clip) -> Output:
    """Encode a prompt text for the painter."""
    return Output((Conditioning(text, clip),))
