"""Turn the names of inputs and the titles of nodes into labels, and labels into names for Python."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

_LABEL_LENGTH = 80
_NAME_LENGTH = 60

_LABELS: Final[Mapping[str, str]] = {
    "ckpt_name": "Checkpoint",
    "unet_name": "Diffusion model",
    "clip_name": "Text encoder",
    "CLIPVisionLoader.clip_name": "CLIP vision model",
    "UpscaleModelLoader.model_name": "Upscale model",
    "LatentUpscaleModelLoader.model_name": "Upscale model",
    "vae_name": "VAE",
    "lora_name": "LoRA",
    "control_net_name": "ControlNet",
    "bg_removal_name": "Background removal model",
    "noise_seed": "Seed",
    "sampler_name": "Sampler",
    "filename_prefix": "File name prefix",
    "weight_dtype": "Weight type",
    "strength_model": "Model strength",
    "strength_clip": "CLIP strength",
    "string": "Text",
    "string_a": "Text A",
    "string_b": "Text B",
    "img_compression": "Image compression",
    "timesignature": "Time signature",
    "keyscale": "Key",
    "n": "Number of images",
    "r": "Red",
    "g": "Green",
    "b": "Blue",
    "text_g": "Prompt (CLIP G)",
    "text_l": "Prompt (CLIP L)",
    "frame_idx": "Frame index",
    "dotall": "Dot matches line breaks",
}
"""The labels of inputs whose names are not words, by name, or by class and name."""

_SPELLINGS: Final[Mapping[str, str]] = {
    **{word: word.upper() for word in (
        "vae", "clip", "cfg", "fps", "id", "url", "ai", "hdr", "bpm", "pbr", "fov", "ssml", "rgb", "rgba", "svg", "glb",
        "llm", "3d", "2d", "sam", "sam2", "sam3", "dpo", "sd", "api", "hd", "uhd", "dpi", "cfg1", "cfg2",
    )},
    "lora": "LoRA", "loras": "LoRAs", "controlnet": "ControlNet", "dtype": "type", "num": "number of",
    "img": "image", "bg": "background", "lcm": "LCM", "vram": "VRAM", "clipvision": "CLIP vision",
}  # fmt: skip
"""How words of names are written in a label."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NUMBERED = re.compile(r"(.*?\D)_?(\d{1,3})")
_TYPE_TITLE = re.compile(
    r"(?:text string|string|text|int|integer|float|number|boolean|bool|primitive)\s*"
    r"(?:[(:-]\s*)(?:multiline\s*[-:,]?\s*)?(.+?)\)?",
    re.IGNORECASE,
)
_KNOWN_NUMBERS = frozenset({"sam2", "sam3", "cfg1", "cfg2"})


def to_label(name: str, class_type: str = "") -> str:
    """Return the label of an input: `noise_seed` is "Seed", `resize_type.longer_size` is "Longer size".

    Args:
        name: The input's name. Of a nested one, the last part counts.
        class_type: The class of its node, where a name means different things.

    >>> to_label("clip_name2"), to_label("enable_turbo_mode"), to_label("model.prompt")
    ('Text encoder 2', 'Enable turbo mode', 'Prompt')
    """
    last = name.rpartition(".")[2] or name
    known = _LABELS.get(f"{class_type}.{last}") or _LABELS.get(last)
    if known is not None:
        return known
    numbered = _NUMBERED.fullmatch(last)
    if numbered is not None and last.lower() not in _KNOWN_NUMBERS and not numbered[1].endswith(" "):
        base, number = numbered.groups()
        if base.rpartition("_")[2].lower() + number not in _KNOWN_NUMBERS:
            return f"{to_label(base.rstrip('_'), class_type)} {number}"
    return to_words(last)


def to_words(text: str) -> str:
    """Return an author's text as a label: an identifier becomes words, everything else stays.

    >>> to_words("positive_prompt"), to_words("Material_Type"), to_words("My LoRA (strong)")
    ('Positive prompt', 'Material type', 'My LoRA (strong)')
    """
    plain = " ".join(text.split())[:_LABEL_LENGTH]
    if not plain or " " in plain:
        return plain[:1].upper() + plain[1:] if plain[1:2].islower() else plain
    stem = plain[:-5] if plain.endswith("_name") and len(plain) > 5 else plain
    if "_" not in stem and not stem.islower() and not _HUMP.search(stem):
        return plain  # "CFG", "Größe"
    parts = [word for part in re.split("[_]+", stem) for word in _HUMP.split(part) if word]
    words = ["-".join(_SPELLINGS.get(each.lower(), each.lower()) for each in part.split("-")) for part in parts]
    joined = " ".join(words) or plain
    return joined[:1].upper() + joined[1:] if joined[:1].islower() else joined


def split_class(class_type: str) -> str:
    """Return a class as words, for a heading: `EmptySD3LatentImage` is "Empty SD3 Latent Image".

    >>> split_class("EmptySD3LatentImage"), split_class("KSampler"), split_class("Load Image")
    ('Empty SD3 Latent Image', 'KSampler', 'Load Image')
    """
    if " " in class_type or not class_type.isascii():
        return class_type
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z\d])(?=[A-Z][a-z]{2})", " ", class_type)
    return " ".join(words.replace("_", " ").replace("K Sampler", "KSampler").split())


def unwrap_type(title: str) -> str:
    """Return the title of a node that holds a value, without its type: "Text (User Prompt)" is "User Prompt".

    >>> unwrap_type("String (Multiline - Prompt)"), unwrap_type("Int: steps"), unwrap_type("Zoom")
    ('Prompt', 'steps', 'Zoom')
    """
    match = _TYPE_TITLE.fullmatch(title.strip())
    return match[1].strip() if match is not None and match[1].strip().lower() != "multiline" else title


def to_name(label: str) -> str:
    """Return the name of a label in Python: a lower-case identifier, or "" if nothing of it can be one.

    >>> to_name("Enable prompt enhancement?"), to_name("3D model"), to_name("From"), to_name("Größe")
    ('enable_prompt_enhancement', 'n3d_model', 'from_', 'größe')
    """
    # Python reads identifiers in this form, so that `kit.run(größe=5)` is found however it was typed.
    text = unicodedata.normalize("NFKC", label).lower()  # casefold would write "ß" as "ss"
    name = re.sub(r"\W+", "_", text).strip("_")[:_NAME_LENGTH].strip("_")
    name = re.sub(r"__+", "_", unicodedata.normalize("NFKC", name))
    if name[:1].isdigit():
        name = f"n{name}"
    if not name.isidentifier():
        return ""
    return f"{name}_" if keyword.iskeyword(name) else name
