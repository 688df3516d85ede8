"""Audio nodes: create silence, trim, adjust, join and mix audio."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from comfykit_jupyter.sandbox.interface.node import Context, Output, Spec, node
from comfykit_jupyter.sandbox.interface.values import Audio, Floats
from comfykit_jupyter.sandbox.nodes.audio_files import check_samples

_AUDIO: Spec = ("AUDIO", {})
_MIXES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "add": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
}


def resample(waveform: Floats, old_rate: int, new_rate: int) -> Floats:
    """Resample a waveform to another rate (Hz) by linear interpolation, smoothing it first if the rate falls."""
    if old_rate == new_rate or not waveform.shape[-1]:
        return waveform
    length = max(1, round(waveform.shape[-1] * new_rate / old_rate))
    check_samples(length * int(np.prod(waveform.shape[:-1])))
    at = (np.arange(length, dtype=np.float64) + 0.5) * old_rate / new_rate - 0.5
    flat = waveform.reshape(-1, waveform.shape[-1])
    width = old_rate // new_rate
    if width > 1:
        kernel = np.full(width, 1 / width)
        flat = np.stack([np.convolve(channel, kernel, "same") for channel in flat])
    places = np.arange(waveform.shape[-1])
    moved = np.stack([np.interp(at, places, channel) for channel in flat])
    return moved.reshape(*waveform.shape[:-1], length).astype(np.float32)


def _match(first: Audio, second: Audio) -> tuple[Floats, Floats, int]:
    """Bring two audio values to the higher sample rate, and to the larger number of channels and batch size."""
    rate = max(first["sample_rate"], second["sample_rate"])
    a, b = (resample(audio["waveform"], audio["sample_rate"], rate) for audio in (first, second))
    batch, channels = max(len(a), len(b)), max(a.shape[1], b.shape[1])
    for size in (len(a), len(b)):
        if size not in (1, batch):
            raise ValueError(f"audio batches of {len(a)} and {len(b)} can't be combined: use equal sizes, or one of 1")
    return (
        np.broadcast_to(a, (batch, channels, a.shape[2])),
        np.broadcast_to(b, (batch, channels, b.shape[2])),
        rate,
    )


@node(
    "EmptyAudio",
    display_name="Empty Audio",
    category="audio",
    required={
        "duration": ("FLOAT", {"default": 60.0, "min": 0.0, "max": 0xFFFFFFFFFFFFFFFF, "step": 0.01}),
        "sample_rate": ("INT", {"advanced": True, "default": 44100, "min": 1, "max": 192000}),
        "channels": ("INT", {"advanced": True, "default": 2, "min": 1, "max": 2}),
    },
    returns=("AUDIO",),
)
def empty_audio(_: Context, duration: float, sample_rate: int, channels: int) -> Output:
    """Create silence of a duration in seconds."""
    samples = round(duration * sample_rate)
    check_samples(samples * channels)
    waveform = np.zeros((1, channels, samples), dtype=np.float32)
    return Output((Audio(waveform=waveform, sample_rate=sample_rate),))


@node(
    "TrimAudioDuration",
    display_name="Trim Audio Duration",
    category="audio",
    required={
        "audio": _AUDIO,
        "start_index": (
            "FLOAT",
            {"default": 0.0, "min": -0xFFFFFFFFFFFFFFFF, "max": 0xFFFFFFFFFFFFFFFF, "step": 0.01},
        ),
        "duration": ("FLOAT", {"default": 60.0, "min": 0.0, "step": 0.01}),
    },
    returns=("AUDIO",),
)
def trim_audio_duration(_: Context, audio: Audio, start_index: float, duration: float) -> Output:
    """Trim audio to a part, in seconds; a negative start counts from the end."""
    rate, length = audio["sample_rate"], audio["waveform"].shape[2]
    first = round(start_index * rate) + (length if start_index < 0 else 0)
    first = max(0, min(first, length))
    last = min(first + round(duration * rate), length)
    if last <= first:
        raise ValueError(
            f"the trimmed audio would be empty: it lasts {length / rate:g} s, and a part of {duration:g} s"
            f" starting at {start_index:g} s was requested"
        )
    return Output((Audio(waveform=audio["waveform"][:, :, first:last], sample_rate=rate),))


@node(
    "AudioAdjustVolume",
    display_name="Adjust Audio Volume",
    category="audio",
    required={"audio": _AUDIO, "volume": ("INT", {"default": 1, "min": -100, "max": 100})},
    returns=("AUDIO",),
)
def audio_adjust_volume(_: Context, audio: Audio, volume: int) -> Output:
    """Change the volume by a number of decibels."""
    waveform = audio["waveform"] * np.float32(10 ** (volume / 20))
    return Output((Audio(waveform=waveform, sample_rate=audio["sample_rate"]),))


@node(
    "AudioConcat",
    display_name="Concatenate Audio",
    category="audio",
    required={
        "audio1": _AUDIO,
        "audio2": _AUDIO,
        "direction": ("COMBO", {"default": "after", "multiselect": False, "options": ["after", "before"]}),
    },
    returns=("AUDIO",),
)
def audio_concat(_: Context, audio1: Audio, audio2: Audio, direction: str) -> Output:
    """Join two audio values, the second after or before the first."""
    first, second, rate = _match(audio1, audio2)
    check_samples(first.size + second.size)
    parts = (first, second) if direction == "after" else (second, first)
    return Output((Audio(waveform=np.concatenate(parts, axis=2), sample_rate=rate),))


@node(
    "AudioMerge",
    display_name="Merge Audio",
    category="audio",
    required={
        "audio1": _AUDIO,
        "audio2": _AUDIO,
        "merge_method": ("COMBO", {"multiselect": False, "options": list(_MIXES)}),
    },
    returns=("AUDIO",),
)
def audio_merge(_: Context, audio1: Audio, audio2: Audio, merge_method: str) -> Output:
    """Mix two audio values to the length of the first, scaled down if too loud."""
    first, second, rate = _match(audio1, audio2)
    length = first.shape[2]
    silence = ((0, 0), (0, 0), (0, max(0, length - second.shape[2])))
    second = np.pad(second[:, :, :length], silence)
    mixed = _MIXES[merge_method](first, second)
    peak = float(np.abs(mixed).max(initial=0))
    return Output((Audio(waveform=mixed / peak if peak > 1 else mixed, sample_rate=rate),))


@node(
    "SplitAudioChannels",
    display_name="Split Audio Channels",
    category="audio",
    required={"audio": _AUDIO},
    returns=("AUDIO", "AUDIO"),
    return_names=("left", "right"),
)
def split_audio_channels(_: Context, audio: Audio) -> Output:
    """Split stereo audio into two mono ones."""
    waveform, rate = audio["waveform"], audio["sample_rate"]
    if waveform.shape[1] != 2:
        raise ValueError(f"only stereo audio can be split: this has {waveform.shape[1]} channel(s)")
    return Output(tuple(Audio(waveform=waveform[:, side : side + 1], sample_rate=rate) for side in (0, 1)))


@node(
    "JoinAudioChannels",
    display_name="Join Audio Channels",
    category="audio",
    required={"audio_left": _AUDIO, "audio_right": _AUDIO},
    returns=("AUDIO",),
    return_names=("audio",),
)
def join_audio_channels(_: Context, audio_left: Audio, audio_right: Audio) -> Output:
    """Join two audio values into a stereo one, as long as the shorter."""
    left, right, rate = _match(audio_left, audio_right)
    length = min(left.shape[2], right.shape[2])
    sides = [side.mean(axis=1, keepdims=True)[:, :, :length] for side in (left, right)]
    return Output((Audio(waveform=np.concatenate(sides, axis=1), sample_rate=rate),))
