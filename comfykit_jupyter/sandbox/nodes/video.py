"""Nodes that create, load, split and save videos, with the prompt inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from comfykit_jupyter.sandbox.interface.hashing import hash_file
from comfykit_jupyter.sandbox.interface.node import Context, Folders, Output, Spec, Specs, node
from comfykit_jupyter.sandbox.interface.values import Audio, Floats, check_pixels
from comfykit_jupyter.sandbox.nodes.audio_files import encode_audio, read_audio
from comfykit_jupyter.sandbox.nodes.image_files import find_missing_file
from comfykit_jupyter.sandbox.nodes.media import create_media, open_media
from comfykit_jupyter.sandbox.nodes.saving import Files, build_metadata

_IMAGES: Spec = ("IMAGE", {})
_VIDEO: Spec = ("VIDEO", {})
_AUDIO_RATE = 48000
"""Sample rate of the audio in saved videos, in Hz."""
_QUALITIES = {"h264": (23.0, 51.0), "av1": (30.0, 63.0)}
"""The default and the largest constant rate factor of each codec. The first codec is the default."""


@dataclass(frozen=True)
class Components:
    """The parts of a video: images of shape (frames, height, width, 3), frames per second and audio."""

    images: Floats
    fps: Fraction
    audio: Audio | None = None
    bit_depth: int = 8


class Video(Protocol):
    """The value of a VIDEO link."""

    def get_components(self) -> Components:
        """Return the video's images, frame rate and audio."""

    def save_to(self, path: Path, form: str, codec: str, crf: float, texts: Mapping[str, str]) -> None:
        """Write the video to a file.

        Args:
            path: Path of the file.
            form: Container format: `mp4`, `matroska` or `webm`.
            codec: Codec: `h264`, `vp9` or `av1`.
            crf: The encoder's constant rate factor; lower means better quality.
            texts: Metadata by key.
        """


def _pad_to_even(images: Floats) -> Floats:
    """Repeat the last row or column where needed to make both sides even, as the encoders require."""
    odd_height, odd_width = images.shape[1] % 2, images.shape[2] % 2
    return np.pad(images, ((0, 0), (0, odd_height), (0, odd_width), (0, 0)), mode="edge")


@dataclass(frozen=True)
class VideoFromComponents:
    """A video in memory, as images and audio."""

    parts: Components

    def get_components(self) -> Components:
        """Return the video's images, frame rate and audio."""
        return self.parts

    def save_to(self, path: Path, form: str, codec: str, crf: float, texts: Mapping[str, str]) -> None:
        """Encode the video; see `Video.save_to`."""
        encoder = {"h264": "libx264", "vp9": "libvpx-vp9", "av1": "libsvtav1"}[codec]
        options = {
            "h264": {"crf": str(crf), "preset": "veryfast"},
            "vp9": {"crf": str(round(crf)), "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
            "av1": {"crf": str(round(crf)), "preset": "10"},
        }[codec]
        images = _pad_to_even(self.parts.images)
        with create_media(path, form) as container:
            container.metadata.update(texts)
            stream = container.add_stream(encoder, rate=self.parts.fps, options=options)
            stream.height, stream.width = images.shape[1:3]
            stream.pix_fmt = "yuv420p10le" if self.parts.bit_depth == 10 and codec != "vp9" else "yuv420p"
            audio_stream = None
            if self.parts.audio is not None:
                channels = self.parts.audio["waveform"].shape[1]
                audio_stream = container.add_stream("libopus" if form == "webm" else "aac", rate=_AUDIO_RATE)
                audio_stream.layout = "mono" if channels == 1 else "stereo"
            for image in images:
                pixels = np.rint(image * 255).clip(0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
            if audio_stream is not None and self.parts.audio is not None:
                rate = self.parts.audio["sample_rate"]
                longest = round(len(images) / self.parts.fps * rate)
                encode_audio(container, audio_stream, self.parts.audio["waveform"][0, :, :longest], rate)


@dataclass(frozen=True)
class VideoFromFile:
    """A video file, which is decoded only when its images are needed."""

    path: Path

    def get_components(self) -> Components:
        """Decode the video's images and audio.

        Raises:
            ValueError: The file has no images, or too many of them.
            av.FFmpegError: The file is damaged.
        """
        frames: list[Floats] = []
        with open_media(self.path) as container:
            if not container.streams.video:
                raise ValueError(f"{self.path.name} has no images")
            stream = container.streams.video[0]
            fps = stream.average_rate or stream.guessed_rate or Fraction(1)
            for frame in container.decode(stream):
                check_pixels(frame.width, frame.height, len(frames) + 1)
                frames.append(frame.to_ndarray(format="rgb24").astype(np.float32) / 255)
            has_audio = bool(container.streams.audio)
            bit_depth = 10 if "10" in (stream.pix_fmt or "") else 8
        if not frames:
            raise ValueError(f"{self.path.name} has no images")
        audio = read_audio(self.path) if has_audio else None
        return Components(np.stack(frames), fps, audio, bit_depth)

    def save_to(self, path: Path, form: str, codec: str, crf: float, texts: Mapping[str, str]) -> None:
        """Copy the streams if format and codec allow it, otherwise encode them; see `Video.save_to`."""
        with open_media(self.path) as source:
            streams = [*source.streams.video[:1], *source.streams.audio[:1]]
            names = [stream.codec_context.name for stream in streams]
            if names[:1] == [codec] and set(names[1:]) <= {"aac", "mp3"} and form in ("mp4", "matroska"):
                with create_media(path, form) as target:
                    target.metadata.update(texts)
                    copies = {stream: target.add_stream_from_template(stream) for stream in streams}
                    for packet in source.demux(streams):
                        if packet.dts is not None:  # the packet that ends a stream has none
                            packet.stream = copies[packet.stream]
                            target.mux(packet)
                return
        VideoFromComponents(self.get_components()).save_to(path, form, codec, crf, texts)


@node(
    "CreateVideo",
    display_name="Create Video",
    category="video",
    required={"images": _IMAGES, "fps": ("FLOAT", {"default": 30.0, "min": 1.0, "max": 120.0, "step": 1.0})},
    optional={
        "audio": ("AUDIO", {}),
        "bit_depth": ("INT", {"default": 8, "min": 8, "max": 10, "step": 2, "display": "number"}),
    },
    returns=("VIDEO",),
)
def create_video(_: Context, images: Floats, fps: float, audio: Audio | None = None, bit_depth: int = 8) -> Output:
    """Create a video from a batch of images, with or without audio."""
    rate = Fraction(fps).limit_denominator(1000)
    return Output((VideoFromComponents(Components(images, rate, audio, bit_depth)),))


@node(
    "GetVideoComponents",
    display_name="Get Video Components",
    category="video",
    required={"video": _VIDEO},
    returns=("IMAGE", "AUDIO", "FLOAT", "INT", "COMBO"),
    return_names=("images", "audio", "fps", "bit_depth", "color_space"),
)
def get_video_components(_: Context, video: Video) -> Output:
    """Split a video into its images, audio and other properties."""
    parts = video.get_components()
    return Output((parts.images, parts.audio, float(parts.fps), parts.bit_depth, "sRGB"))


def _fingerprint(folders: Folders, file: str) -> str:
    return hash_file(folders.find_file(file))


def _validate(folders: Folders, file: str) -> str | None:
    return find_missing_file(folders, file, "video")


def _build_load_video_specs(folders: Folders) -> Specs:
    return {"file": ("COMBO", {"multiselect": False, "options": folders.list_files("video"), "video_upload": True})}


@node(
    "LoadVideo",
    display_name="Load Video",
    category="video",
    required=_build_load_video_specs,
    returns=("VIDEO",),
    fingerprint=_fingerprint,
    validate=_validate,
)
def load_video(context: Context, file: str) -> Output:
    """Load a video file."""
    return Output((VideoFromFile(context.folders.find_file(file)),))


def _build_dynamic_choice(*choices: tuple[str, dict[str, Any]], **options: Any) -> Spec:
    """Build an input whose choices add more inputs, each its own `required` and `optional` ones."""
    keyed = [{"key": key, "inputs": {"required": {}, **inputs}} for key, inputs in choices]
    return "COMFY_DYNAMICCOMBO_V3", {**options, "options": keyed}


def _build_codec_choice(codec: str) -> tuple[str, dict[str, Any]]:
    """Build the choice of a codec, which adds how it encodes."""
    crf, most = _QUALITIES[codec]
    quality: Spec = ("FLOAT", {"default": crf, "min": 0.0, "max": most, "step": 1.0})
    spaces: Spec = (
        "COMBO",
        {
            "display_name": "color space",
            "default": "auto",
            "multiselect": False,
            "options": ["auto", "sRGB", "HDR", "HDR PQ"],
        },
    )
    again = ("re-encode", {"required": {"crf": quality, "color_space": spaces}})
    return codec, {"optional": {"encoding": _build_dynamic_choice(("auto", {}), again, display_name="encoding mode")}}


_H264 = _build_codec_choice("h264")
_AV1 = _build_codec_choice("av1")
_CODECS = _build_dynamic_choice(("auto", {}), _H264, _AV1)
_FORMATS = _build_dynamic_choice(
    *((form, {"required": {"codec": _CODECS}}) for form in ("auto", "mp4", "mkv")),
    ("webm", {"required": {"codec": _build_dynamic_choice(("auto", {}), _AV1)}}),
)


@node(
    "SaveVideo",
    display_name="Save Video",
    category="video",
    required={
        "video": _VIDEO,
        "filename_prefix": ("STRING", {"default": "video/ComfyUI", "multiline": False}),
        "format": _FORMATS,
    },
    optional={"codec": _build_dynamic_choice(("auto", {}), _H264, _AV1, hidden=True)},
    returns=("VIDEO",),
    return_names=("video",),
    output_node=True,
)
def save_video(
    context: Context,
    video: Video,
    filename_prefix: str,
    format: str = "auto",  # noqa: A002 - the input's name
    codec: str = "auto",
) -> Output:
    """Save a video as one file in `output`."""
    form = "mp4" if format == "auto" else format
    codec, crf = _choose_encoding(context, form, codec)
    files = Files(context, filename_prefix)
    muxer = "matroska" if form == "mkv" else form
    video.save_to(files.add(f"_.{form}"), muxer, codec, crf, build_metadata(context))
    return Output((video,), {"images": files.saved, "animated": [True]})


def _choose_encoding(context: Context, form: str, codec: str) -> tuple[str, float]:
    """Return the codec and its quality, from the inputs that the format adds, such as `format.codec`.

    They are not the node's own inputs, so they are looked up in the prompt and checked here.

    Raises:
        ValueError: The format does not support the codec, or the quality is out of bounds.
    """
    given = context.prompt.get(context.node_id, {}).get("inputs", {})
    codec = given.get("format.codec", codec)
    codecs = ["av1"] if form == "webm" else list(_QUALITIES)
    if codec == "auto":
        codec = codecs[0]
    if not isinstance(codec, str) or codec not in codecs:
        allowed = ", ".join(["auto", *codecs])
        raise ValueError(f"codec of a {form} file must be one of {allowed}, not {str(codec)[:40]!r}")
    usual, most = _QUALITIES[codec]
    crf = given.get("format.codec.encoding.crf", usual)
    if not isinstance(crf, (int, float)) or not 0 <= crf <= most:
        raise ValueError(f"crf must be a number between 0 and {most:g}, not {str(crf)[:40]!r}")
    return codec, float(crf)


@node(
    "SaveWEBM",
    display_name="Save WEBM",
    category="video",
    required={
        "images": _IMAGES,
        "filename_prefix": ("STRING", {"default": "ComfyUI", "multiline": False}),
        "codec": ("COMBO", {"multiselect": False, "options": ["vp9", "av1"]}),
        "fps": ("FLOAT", {"default": 24.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
        "crf": ("FLOAT", {"default": 32.0, "min": 0, "max": 63.0, "step": 1}),
    },
    returns=("IMAGE",),
    return_names=("images",),
    output_node=True,
    options={"experimental": True},
)
def save_webm(context: Context, images: Floats, filename_prefix: str, codec: str, fps: float, crf: float) -> Output:
    """Save images as one WebM video in `output`."""
    files = Files(context, filename_prefix, images.shape[2], images.shape[1])
    video = VideoFromComponents(Components(images, Fraction(fps).limit_denominator(1000)))
    video.save_to(files.add("_.webm"), "webm", codec, crf, build_metadata(context))
    return Output((images,), {"images": files.saved, "animated": [True]})
