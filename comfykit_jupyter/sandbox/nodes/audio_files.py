"""Nodes that load audio, and save FLAC, MP3 and Opus files with the prompt inside."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import av
import numpy as np

from comfykit_jupyter.sandbox.interface.hashing import hash_file
from comfykit_jupyter.sandbox.interface.node import Context, Folders, Output, Spec, Specs, node
from comfykit_jupyter.sandbox.interface.values import MAX_PIXELS, Audio, Floats
from comfykit_jupyter.sandbox.nodes.image_files import find_missing_file
from comfykit_jupyter.sandbox.nodes.media import create_media, open_media
from comfykit_jupyter.sandbox.nodes.saving import Files, build_metadata

_AUDIO: Spec = ("AUDIO", {})
_PREFIX: Spec = ("STRING", {"default": "audio/ComfyUI", "multiline": False})
_CODECS = {"flac": "flac", "mp3": "libmp3lame", "opus": "libopus"}
# Sample rates, in Hz, of the codecs that do not support any rate.
_RATES = {
    "opus": (8000, 12000, 16000, 24000, 48000),
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
_BLOCK = 4096
"""Samples encoded at a time."""

MAX_SAMPLES = MAX_PIXELS
"""Largest size of a batch of audio, in samples, all channels together."""


def check_samples(samples: int) -> None:
    """Reject audio that would exhaust the memory.

    Raises:
        ValueError: There are more than `MAX_SAMPLES` samples.
    """
    if samples > MAX_SAMPLES:
        raise ValueError(
            f"{samples:,} audio samples are too many for the embedded server: use a shorter duration"
            f" (at most {MAX_SAMPLES:,} samples in all channels)"
        )


def read_audio(path: Path) -> Audio:
    """Read the first audio stream of a file, at its own sample rate.

    Raises:
        ValueError: The file has no audio, or too much of it.
        av.FFmpegError: The file is damaged.
    """
    blocks: list[Floats] = []
    with open_media(path) as container:
        if not container.streams.audio:
            raise ValueError(f"{path.name} has no audio")
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp")
        read = 0
        for frame in chain(container.decode(stream), [None]):
            for block in resampler.resample(frame):
                blocks.append(block.to_ndarray().astype(np.float32, copy=False))
                read += blocks[-1].size
                check_samples(read)
        rate, channels = stream.rate, stream.channels
    waveform = np.concatenate(blocks, axis=1) if blocks else np.zeros((channels, 0), dtype=np.float32)
    return {"waveform": waveform[None], "sample_rate": rate}


def encode_audio(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    waveform: Floats,
    sample_rate: int,
) -> None:
    """Write a waveform of shape (channels, samples) to a stream, in the stream's own rate and format."""
    layout = "mono" if len(waveform) == 1 else "stereo"
    codec = stream.codec_context
    resampler = av.AudioResampler(
        format=codec.format, layout=layout, rate=codec.sample_rate, frame_size=codec.frame_size or _BLOCK
    )
    for start in range(0, waveform.shape[1], _BLOCK):
        block = np.ascontiguousarray(waveform[:2, start : start + _BLOCK].clip(-1, 1))
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate = sample_rate
        frame.pts = start
        for resampled in resampler.resample(frame):
            container.mux(stream.encode(resampled))
    for resampled in resampler.resample(None):
        container.mux(stream.encode(resampled))
    container.mux(stream.encode(None))


def _choose_rate(ending: str, wanted: int) -> int:
    rates = _RATES.get(ending)
    if rates is None:
        return wanted
    return min((rate for rate in rates if rate >= wanted), default=rates[-1])


def write_audio(path: Path, audio: Audio, index: int, quality: str, texts: Mapping[str, str]) -> None:
    """Write one item of a batch to a file.

    Args:
        path: Path whose suffix decides the format: `.flac`, `.mp3` or `.opus`.
        audio: The batch.
        index: Index in the batch.
        quality: Bits per second such as `128k`, `V0` for the best variable rate of MP3, or empty for FLAC.
        texts: Metadata by key.
    """
    ending = path.suffix[1:]
    waveform = audio["waveform"][index]
    options = {"q": "0"} if quality == "V0" else {}
    with create_media(path, "ogg" if ending == "opus" else ending) as container:
        container.metadata.update(texts)
        stream = container.add_stream(_CODECS[ending], rate=_choose_rate(ending, audio["sample_rate"]), options=options)
        stream.layout = "mono" if len(waveform) == 1 else "stereo"
        if quality.endswith("k"):
            stream.bit_rate = int(quality[:-1]) * 1000
        encode_audio(container, stream, waveform, audio["sample_rate"])


def _save(context: Context, audio: Audio, prefix: str | None, ending: str, quality: str = "") -> Output:
    files = Files(context, prefix)
    for index in range(len(audio["waveform"])):
        write_audio(files.add(f".{ending}"), audio, index, quality, build_metadata(context))
    return Output((audio,), {"audio": files.saved})


def _fingerprint(folders: Folders, audio: str) -> str:
    return hash_file(folders.find_file(audio))


def _validate(folders: Folders, audio: str) -> str | None:
    return find_missing_file(folders, audio, "audio")


def _build_load_audio_specs(folders: Folders) -> Specs:
    names = sorted({*folders.list_files("audio"), *folders.list_files("video")})
    return {"audio": ("COMBO", {"multiselect": False, "options": names, "audio_upload": True})}


@node(
    "LoadAudio",
    display_name="Load Audio",
    category="audio",
    required=_build_load_audio_specs,
    returns=("AUDIO",),
    fingerprint=_fingerprint,
    validate=_validate,
)
def load_audio(context: Context, audio: str) -> Output:
    """Load the audio of an audio or video file."""
    return Output((read_audio(context.folders.find_file(audio)),))


@node(
    "SaveAudio",
    display_name="Save Audio (FLAC) (DEPRECATED)",
    category="audio",
    required={"audio": _AUDIO, "filename_prefix": _PREFIX},
    returns=("AUDIO",),
    return_names=("audio",),
    output_node=True,
    options={"deprecated": True},
)
def save_audio(context: Context, audio: Audio, filename_prefix: str) -> Output:
    """Save audio as FLAC files in `output`."""
    return _save(context, audio, filename_prefix, "flac")


@node(
    "SaveAudioMP3",
    display_name="Save Audio (MP3) (DEPRECATED)",
    category="audio",
    required={
        "audio": _AUDIO,
        "filename_prefix": _PREFIX,
        "quality": ("COMBO", {"default": "V0", "multiselect": False, "options": ["V0", "128k", "320k"]}),
    },
    returns=("AUDIO",),
    return_names=("audio",),
    output_node=True,
    options={"deprecated": True},
)
def save_audio_mp3(context: Context, audio: Audio, filename_prefix: str, quality: str) -> Output:
    """Save audio as MP3 files in `output`."""
    return _save(context, audio, filename_prefix, "mp3", quality)


@node(
    "SaveAudioOpus",
    display_name="Save Audio (Opus) (DEPRECATED)",
    category="audio",
    required={
        "audio": _AUDIO,
        "filename_prefix": _PREFIX,
        "quality": (
            "COMBO",
            {"default": "128k", "multiselect": False, "options": ["64k", "96k", "128k", "192k", "320k"]},
        ),
    },
    returns=("AUDIO",),
    return_names=("audio",),
    output_node=True,
    options={"deprecated": True},
)
def save_audio_opus(context: Context, audio: Audio, filename_prefix: str, quality: str) -> Output:
    """Save audio as Opus files in `output`."""
    return _save(context, audio, filename_prefix, "opus", quality)


@node(
    "PreviewAudio",
    display_name="Preview Audio",
    category="audio",
    required={"audio": _AUDIO},
    returns=("AUDIO",),
    return_names=("audio",),
    output_node=True,
)
def preview_audio(context: Context, audio: Audio) -> Output:
    """Save audio as FLAC files in `temp`."""
    return _save(context, audio, None, "flac")
