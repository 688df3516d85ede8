"""The video, audio and text nodes, on real files."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.node_run import NodeRun

RATE = 44100


def make_tone(seconds: float = 1.0, channels: int = 2, rate: int = RATE, pitch: float = 440.0) -> dict[str, Any]:
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    return {"waveform": np.tile(wave, (1, channels, 1)).astype(np.float32), "sample_rate": rate}


def make_frames(count: int = 8, width: int = 64, height: int = 48) -> Any:
    shades = np.linspace(0, 1, count, dtype=np.float32)
    return np.tile(shades[:, None, None, None], (1, height, width, 3))


def measure_pitch(audio: dict[str, Any]) -> float:
    wave = audio["waveform"][0, 0]
    return float(np.argmax(np.abs(np.fft.rfft(wave))) * audio["sample_rate"] / len(wave))


@pytest.fixture
def run(tmp_path: Path) -> NodeRun:
    return NodeRun(tmp_path)


@pytest.mark.parametrize("form", ["auto", "mp4", "mkv"])
def test_a_saved_video_has_its_frames_rate_audio_and_the_prompt(run: NodeRun, form: str) -> None:
    video = run.value("CreateVideo", images=make_frames(8, 65, 47), fps=8.0, audio=make_tone())
    output = run.run("SaveVideo", video=video, filename_prefix="video/clip", format=form, codec="auto")
    path = run.saved(output)[0]
    assert output.ui is not None
    assert output.ui["animated"] == [True]
    assert path.name == f"clip_00001_.{'mkv' if form == 'mkv' else 'mp4'}"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 8
        decoded = [frame.to_ndarray(format="rgb24").mean() / 255 for frame in container.decode(stream)]
        assert np.allclose(decoded, np.linspace(0, 1, 8), atol=0.05)
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert json.loads(tags["prompt"]) == run.prompt
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert sum(frame.samples for frame in container.decode(audio=0)) > 40_000


def test_the_inputs_added_by_a_format_choose_the_codec(run: NodeRun) -> None:
    video = run.value("CreateVideo", images=make_frames(), fps=8.0)
    run.prompt = {"1": {"inputs": {"format.codec": "av1", "format.codec.encoding.crf": 40}}}
    path = run.saved(run.run("SaveVideo", video=video, filename_prefix="v", format="mkv"))[0]
    with av.open(str(path)) as container:
        assert "av1" in container.streams.video[0].codec_context.name


@pytest.mark.parametrize(
    ("form", "brought"),
    [
        ("webm", {"format.codec": "h264"}),
        ("mp4", {"format.codec": ["1", 0]}),
        ("mp4", {"format.codec": "h264", "format.codec.encoding.crf": 52}),
        ("mp4", {"format.codec": "h264", "format.codec.encoding.crf": "x"}),
    ],
)
def test_a_codec_that_the_format_does_not_support_is_rejected(run: NodeRun, form: str, brought: dict[str, Any]) -> None:
    video = run.value("CreateVideo", images=make_frames(), fps=8.0)
    run.prompt = {"1": {"inputs": brought}}
    with pytest.raises(ValueError, match=r"codec of a .* must be one of|crf must be a number"):
        run.run("SaveVideo", video=video, filename_prefix="v", format=form)


def test_a_loaded_video_splits_into_its_original_parts(run: NodeRun) -> None:
    video = run.value("CreateVideo", images=make_frames(), fps=8.0, audio=make_tone())
    path = run.saved(run.run("SaveVideo", video=video, filename_prefix="v", format="auto", codec="auto"))[0]
    path.rename(run.folders.input / "v.mp4")
    loaded = run.value("LoadVideo", file="v.mp4")
    images, audio, fps, depth, _ = run.run("GetVideoComponents", video=loaded).values
    assert images.shape == (8, 48, 64, 3)
    assert np.allclose(images.mean(axis=(1, 2, 3)), np.linspace(0, 1, 8), atol=0.05)
    assert (fps, depth) == (8.0, 8)
    assert measure_pitch(audio) == pytest.approx(440, abs=3)
    copied = run.saved(run.run("SaveVideo", video=loaded, filename_prefix="c", format="mp4", codec="h264"))[0]
    with av.open(str(copied)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8
        assert json.loads(container.metadata["prompt"]) == run.prompt


def test_a_silent_video_has_no_audio(run: NodeRun) -> None:
    video = run.value("CreateVideo", images=make_frames(), fps=12.5)
    parts = run.run("GetVideoComponents", video=video).values
    assert parts[1] is None
    assert parts[2] == 12.5
    path = run.saved(run.run("SaveVideo", video=video, filename_prefix="v", format="auto", codec="auto"))[0]
    with av.open(str(path)) as container:
        assert not container.streams.audio
        assert container.streams.video[0].average_rate == Fraction(25, 2)


@pytest.mark.parametrize("codec", ["vp9", "av1"])
def test_a_saved_webm_decodes_to_its_frames(run: NodeRun, codec: str) -> None:
    output = run.run("SaveWEBM", images=make_frames(6), filename_prefix="w", codec=codec, fps=6.0, crf=32.0)
    with av.open(str(run.saved(output)[0])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


@pytest.mark.parametrize(
    ("class_type", "suffix", "more"),
    [
        ("SaveAudio", ".flac", {}),
        ("SaveAudioMP3", ".mp3", {"quality": "V0"}),
        ("SaveAudioMP3", ".mp3", {"quality": "128k"}),
        ("SaveAudioOpus", ".opus", {"quality": "96k"}),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_saved_audio_keeps_its_pitch_and_contains_the_prompt(
    run: NodeRun, class_type: str, suffix: str, more: dict[str, str], channels: int
) -> None:
    output = run.run(class_type, audio=make_tone(channels=channels), filename_prefix="audio/a", **more)
    path = run.saved(output, "audio")[0]
    assert path.suffix == suffix
    with av.open(str(path)) as container:
        tags = {**container.metadata, **container.streams.audio[0].metadata}
        assert json.loads({key.lower(): value for key, value in tags.items()}["prompt"]) == run.prompt
    path.rename(run.folders.input / f"a{suffix}")
    heard = run.value("LoadAudio", audio=f"a{suffix}")
    assert heard["waveform"].shape[:2] == (1, channels)
    assert heard["waveform"].shape[2] / heard["sample_rate"] == pytest.approx(1.0, abs=0.1)
    assert measure_pitch(heard) == pytest.approx(440, abs=5)
    assert np.abs(heard["waveform"]).max() == pytest.approx(0.5, abs=0.1)


def test_an_audio_preview_is_a_temporary_flac_file(run: NodeRun) -> None:
    output = run.run("PreviewAudio", audio=make_tone(0.1))
    assert output.ui is not None
    assert output.ui["audio"][0]["type"] == "temp"
    assert run.saved(output, "audio")[0].suffix == ".flac"


def test_a_file_without_audio_is_rejected(run: NodeRun) -> None:
    video = run.value("CreateVideo", images=make_frames(), fps=8.0)
    path = run.saved(run.run("SaveVideo", video=video, filename_prefix="v", format="auto", codec="auto"))[0]
    path.rename(run.folders.input / "v.mp4")
    with pytest.raises(ValueError, match=r"v\.mp4 has no audio"):
        run.value("LoadAudio", audio="v.mp4")


def test_empty_audio_is_silence_of_the_requested_length(run: NodeRun) -> None:
    audio = run.value("EmptyAudio", duration=1.5, sample_rate=8000, channels=1)
    assert audio["waveform"].shape == (1, 1, 12000)
    assert not audio["waveform"].any()
    with pytest.raises(ValueError, match="too many for the embedded server"):
        run.value("EmptyAudio", duration=1e12, sample_rate=44100, channels=2)


def test_trimming_audio(run: NodeRun) -> None:
    audio = make_tone(2.0)
    part = run.value("TrimAudioDuration", audio=audio, start_index=0.5, duration=1.0)
    assert np.array_equal(part["waveform"], audio["waveform"][:, :, RATE // 2 : RATE // 2 + RATE])
    end = run.value("TrimAudioDuration", audio=audio, start_index=-0.5, duration=60.0)
    assert end["waveform"].shape[2] == RATE // 2
    with pytest.raises(ValueError, match="the trimmed audio would be empty: it lasts 2 s"):
        run.value("TrimAudioDuration", audio=audio, start_index=5.0, duration=1.0)


def test_twenty_decibels_multiply_the_amplitude_by_ten(run: NodeRun) -> None:
    audio = make_tone(0.1)
    softer = run.value("AudioAdjustVolume", audio=audio, volume=-20)
    assert np.allclose(softer["waveform"], audio["waveform"] / 10)


def test_audio_of_different_rates_and_channels_can_be_joined(run: NodeRun) -> None:
    first, second = make_tone(0.5, 2, 44100, 440), make_tone(0.5, 1, 22050, 880)
    after = run.value("AudioConcat", audio1=first, audio2=second, direction="after")
    assert after["waveform"].shape == (1, 2, 44100)
    half = {"waveform": after["waveform"][:, :, 22050:], "sample_rate": after["sample_rate"]}
    assert measure_pitch(half) == pytest.approx(880, abs=5)
    before = run.value("AudioConcat", audio1=first, audio2=second, direction="before")
    assert np.array_equal(before["waveform"][:, :, 22050:], first["waveform"])


@pytest.mark.parametrize("method", ["add", "mean", "subtract", "multiply"])
def test_merged_audio_is_as_long_as_the_first_and_never_too_loud(run: NodeRun, method: str) -> None:
    loud = {**make_tone(0.5), "waveform": make_tone(0.5)["waveform"] * 2}
    mixed = run.value("AudioMerge", audio1=loud, audio2=make_tone(0.2, pitch=300), merge_method=method)
    assert mixed["waveform"].shape == loud["waveform"].shape
    assert np.abs(mixed["waveform"]).max() <= 1 + 1e-6


def test_splitting_and_joining_channels_restores_the_audio(run: NodeRun) -> None:
    audio = make_tone(0.1)
    audio["waveform"][:, 1] *= 0.5
    left, right = run.run("SplitAudioChannels", audio=audio).values
    joined = run.value("JoinAudioChannels", audio_left=left, audio_right=right)
    assert np.array_equal(joined["waveform"], audio["waveform"])
    with pytest.raises(ValueError, match="only stereo audio"):
        run.run("SplitAudioChannels", audio=left)


@given(value=st.one_of(st.integers(), st.floats(), st.text(), st.booleans()))
def test_primitives_return_their_value(value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    run = NodeRun(tmp_path_factory.getbasetemp())
    for class_type in (
        "PrimitiveInt",
        "PrimitiveFloat",
        "PrimitiveString",
        "PrimitiveStringMultiline",
        "PrimitiveBoolean",
    ):
        assert run.value(class_type, value=value) is value


@pytest.mark.parametrize(
    ("source", "text"),
    [("hello <b>", "hello <b>"), (7, "7"), (0.5, "0.5"), (True, "True"), (None, "None"), ([1], "[\n    1\n]")],
)
def test_any_value_is_displayed_as_text(run: NodeRun, source: object, text: str) -> None:
    output = run.run("PreviewAny", source=source)
    assert output.ui == {"text": [text]}
    assert output.values == (text,)


def test_a_value_that_is_not_json_is_displayed_too(run: NodeRun) -> None:
    assert "dtype" in run.value("PreviewAny", source=[np.zeros(1)]) or run.value("PreviewAny", source={1j: 2})


def test_texts_are_joined_with_the_delimiter(run: NodeRun) -> None:
    assert run.value("StringConcatenate", string_a="a", string_b="b", delimiter=", ") == "a, b"


@pytest.mark.parametrize(
    "content", ["#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {}\n"]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8"])
def test_a_playlist_is_not_followed(run: NodeRun, content: str, name: str) -> None:
    video = run.value("CreateVideo", images=make_frames(), fps=8.0, audio=make_tone())
    made = run.saved(run.run("SaveVideo", video=video, filename_prefix="v", format="auto", codec="auto"))[0]
    made.rename(run.folders.input / "other.mp4")
    (run.folders.input / name).write_text(content.format("other.mp4"))
    with pytest.raises(ValueError, match="is not a supported audio or video file"):
        run.value("LoadAudio", audio=name)
    with pytest.raises(ValueError, match="is not a supported audio or video file"):
        run.value("GetVideoComponents", video=run.value("LoadVideo", file=name))
