"""Videos made of images and sound, read from `input`, taken apart, and saved, with the prompt inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from comfykit_jupyter.sandbox.node import Context, Folders, Output, Spec, Specs, node
from comfykit_jupyter.sandbox.nodes.audio_files import encode_audio, read_audio
from comfykit_jupyter.sandbox.nodes.image_files import content_hash, find_missing_file
from comfykit_jupyter.sandbox.nodes.media import create_media, open_media
from comfykit_jupyter.sandbox.nodes.saving import Files, build_metadata
from comfykit_jupyter.sandbox.nodes.values import Audio, Floats, check_pixels

_IMAGES: Spec = ("IMAGE", {})
_VIDEO: Spec = ("VIDEO", {})
_AUDIO_RATE = 48000


@dataclass(frozen=True)
class Components:
    """What a video is made of: images of shape (frames, height, width, 3), frames a second, sound."""

    images: Floats
    fps: Fraction
    audio: Audio | None = None
    bit_depth: int = 8


class Video(Protocol):
    """The value of a VIDEO link."""

    def get_components(self) -> Components:
        """The video taken apart."""

    def save_to(self, path: Path, form: str, codec: str, crf: float, texts: Mapping[str, str]) -> None:
        """Write it as a file.

        Args:
            path: of the file.
            form: the container's format: `mp4`, `matroska` or `webm`.
            codec: `h264`, `vp9` or `av1`.
            crf: the encoder's quality; lower is better.
            texts: metadata, by key.
        """


def _pad_to_even(images: Floats) -> Floats:
    """Frames whose sides are even, as the encoders want them: an odd last row or column is repeated."""
    odd_height, odd_width = images.shape[1] % 2, images.shape[2] % 2
    return np.pad(images, ((0, 0), (0, odd_height), (0, odd_width), (0, 0)), mode="edge")


@dataclass(frozen=True)
class VideoFromComponents:
    """A video that exists only as images and sound."""

    parts: Components

    def get_components(self) -> Components:
        """The video taken apart."""
        return self.parts

    def save_to(self, path: Path, form: str, codec: str, crf: float, texts: Mapping[str, str]) -> None:
        """Encode it; see `Video.save_to`."""
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
            sound = None
            if self.parts.audio is not None:
                channels = self.parts.audio["waveform"].shape[1]
                sound = container.add_stream("libopus" if form == "webm" else "aac", rate=_AUDIO_RATE)
                sound.layout = "mono" if channels == 1 else "stereo"
            for image in images:
                pixels = np.rint(image * 255).clip(0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
            if sound is not None and self.parts.audio is not None:
                rate = self.parts.audio["sample_rate"]
                longest = round(len(images) / self.parts.fps * rate)
                encode_audio(container, sound, self.parts.audio["waveform"][0, :, :longest], rate)


@dataclass(frozen=True)
class VideoFromFile:
    """A video that is a file; it is read when its images are wanted."""

    path: Path

    def get_components(self) -> Components:
        """The video taken apart.

        Raises:
            ValueError: the file has no images, or too many of them.
            av.FFmpegError: the file is damaged.
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
            with_sound = bool(container.streams.audio)
            deep = "10" in (stream.pix_fmt or "")
        if not frames:
            raise ValueError(f"{self.path.name} has no images")
        audio = read_audio(self.path) if with_sound else None
        return Components(np.stack(frames), fps, audio, 10 if deep else 8)

    def save_to(self, path: Path, form: str, codec: str, crf: float, texts: Mapping[str, str]) -> None:
        """Copy its streams where the format and the codec allow it, otherwise encode it; see `Video.save_to`."""
        with open_media(self.path) as source:
            streams = [*source.streams.video[:1], *source.streams.audio[:1]]
            names = [stream.codec_context.name for stream in streams]
            if names[:1] == [codec] and set(names[1:]) <= {"aac", "mp3"} and form in ("mp4", "matroska"):
                with create_media(path, form) as target:
                    target.metadata.update(texts)
                    copies = {stream: target.add_stream_from_template(stream) for stream in streams}
                    for packet in source.demux(streams):
                        if packet.dts is not None:  # what ends a stream has none
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
    """A video of a batch of images, with or without sound."""
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
    """The images of a video, its sound, and what else there is to know of it."""
    parts = video.get_components()
    return Output((parts.images, parts.audio, float(parts.fps), parts.bit_depth, "sRGB"))


def _fingerprint(folders: Folders, file: str) -> str:
    return content_hash(folders.find_file(file))


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
    """The video of a file."""
    return Output((VideoFromFile(context.folders.find_file(file)),))


def _build_dynamic_choice(*choices: tuple[str, dict[str, Any]], **options: Any) -> Spec:
    """A choice that brings further inputs with it: each choice with its own `required` and `optional`."""
    listed = [{"key": key, "inputs": {"required": {}, **inputs}} for key, inputs in choices]
    return "COMFY_DYNAMICCOMBO_V3", {**options, "options": listed}


def _build_codec_choice(codec: str, crf: float, most: float) -> tuple[str, dict[str, Any]]:
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


_H264, _AV1 = _build_codec_choice("h264", 23.0, 51.0), _build_codec_choice("av1", 30.0, 63.0)
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
    format: str = "auto",  # noqa: A002  # the input's name
    codec: str = "auto",
) -> Output:
    """One file below `output`."""
    form = "mp4" if format == "auto" else format
    codec, crf = _choose_encoding(context, form, codec)
    files = Files(context, filename_prefix)
    muxer = "matroska" if form == "mkv" else form
    video.save_to(files.next(f"_.{form}"), muxer, codec, crf, build_metadata(context))
    return Output((video,), {"images": files.saved, "animated": [True]})


def _choose_encoding(context: Context, form: str, codec: str) -> tuple[str, float]:
    """The codec and its quality, from the inputs that the choice of a format brings, such as `format.codec`.

    Those are no inputs of the node's own, so that they are looked up in the prompt, and checked here.

    Raises:
        ValueError: there is no such codec in such a file, or the quality is out of bounds.
    """
    brought = context.prompt.get(context.node_id, {}).get("inputs", {})
    codec = brought.get("format.codec", codec)
    qualities = {"av1": (30.0, 63.0)} if form == "webm" else {"h264": (23.0, 51.0), "av1": (30.0, 63.0)}
    if codec == "auto":
        codec = next(iter(qualities))
    if not isinstance(codec, str) or codec not in qualities:
        raise ValueError(f"a {form} file cannot be encoded as {str(codec)[:40]!r}: choose auto, {', '.join(qualities)}")
    usual, most = qualities[codec]
    crf = brought.get("format.codec.encoding.crf", usual)
    if not isinstance(crf, (int, float)) or not 0 <= crf <= most:
        raise ValueError(f"crf is {str(crf)[:40]!r}, but has to be a number from 0 to {most:g}")
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
    """One WebM below `output`."""
    files = Files(context, filename_prefix, images.shape[2], images.shape[1])
    video = VideoFromComponents(Components(images, Fraction(fps).limit_denominator(1000)))
    video.save_to(files.next("_.webm"), "webm", codec, crf, build_metadata(context))
    return Output((images,), {"images": files.saved, "animated": [True]})
