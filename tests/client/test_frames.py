"""Test that a frame of a video is the one that was encoded, and an input of another run."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError
from comfykit_jupyter.client.results.frames import find_frame
from comfykit_jupyter.client.results.video_frames import read_frame
from tests.client.workflows import inverted, picture

GRAYS = [10, 60, 110, 160, 210, 250, 90]
WORKFLOWS = Path(__file__).parents[2] / "notebooks/workflows"


@pytest.fixture(scope="module", params=["clip.mp4", "clip.webm"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of gray frames; its codec reorders frames."""
    path = tmp_path_factory.mktemp("clips") / str(request.param)
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("libx264" if path.suffix == ".mp4" else "libvpx-vp9", rate=Fraction(8))
        make_frame: Any = av.VideoFrame.from_image
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for gray in GRAYS:
            container.mux(stream.encode(make_frame(Image.new("RGB", (64, 32), (gray,) * 3))))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("index", [0, 1, 4, 6, -1, -3, -7])
def test_a_frame_is_the_one_that_was_encoded(clip: Path, index: int) -> None:
    found = read_frame(clip, index, 10_000)
    assert found.size == (64, 32)
    assert abs(found.getpixel((20, 20))[0] - GRAYS[index]) <= 6  # type: ignore[index]


@pytest.mark.parametrize(("index", "said"), [(7, "it has 7 frames: the last one is 6"), (-8, "it has 7 frames: -8")])
def test_a_frame_that_is_not_there_is_refused(clip: Path, index: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_frame(clip, index, 10_000)


@pytest.mark.parametrize(
    ("at", "index"), [(0, 0), (0.12, 0), (1 / 8, 1), (0.2, 1), (0.5, 4), (6 / 8, 6), (0.87, 6), (7 / 8, 6)]
)
def test_a_frame_at_a_time_is_the_one_that_a_player_shows(clip: Path, at: float, index: int) -> None:
    assert find_frame(clip, None, at).tobytes() == read_frame(clip, index, 10_000).tobytes()


@pytest.mark.parametrize(
    ("index", "at", "said"),
    [
        (None, 0.9, r"it lasts 0\.8\d* s: 0\.9 s is after its end"),
        (None, -1, "at must be a time in seconds from 0, not -1"),
        (None, float("nan"), "at must be a time in seconds from 0, not nan"),
        (None, 10**400, "at must be a time in seconds from 0, not 1000"),
        (None, "1", "at must be a time in seconds from 0, not '1'"),
        (1, 1, "either the number of a frame or at=, not both"),
        (1.5, None, r"index must be an integer, not 1\.5: give a time as at="),
    ],
)
def test_a_time_that_is_not_there_is_refused(clip: Path, index: Any, at: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        find_frame(clip, index, at)


@pytest.mark.parametrize("suffix", ["webp", "gif", "png"])
def test_frames_of_animated_images(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip.{suffix}"
    frames = [Image.new("RGB", (16, 8), (gray,) * 3) for gray in (10, 120, 240)]
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 300, 200], **options)
    for index, at, gray in ((0, 0.05, 10), (1, 0.1, 120), (1, 0.39, 120), (-1, 0.6, 240)):
        found = [find_frame(path, index, None), find_frame(path, None, at)]
        assert [(each.size, each.getpixel((3, 3))) for each in found] == [((16, 8), (gray,) * 3)] * 2
    missing: list[Any] = [(3, None), (-4, None), (None, 0.7)]
    for number, time in missing:
        with pytest.raises(ValueError, match=r"it has 3 frames|after its end"):
            find_frame(path, number, time)


def test_a_video_that_is_too_large_is_refused(clip: Path) -> None:
    with pytest.raises(ValueError, match="too large"):
        read_frame(clip, -1, 100)


def test_the_last_frame_of_a_film_is_an_input(kit: ComfyKit) -> None:
    film = kit.run(WORKFLOWS / "video.json", width=64, height=64, steps=2).video
    last = film.frame(-1)
    assert film.frame().tobytes() == last.tobytes()
    assert last.size == film.frame(0).size
    assert last.tobytes() != film.frame(0).tobytes()
    turned = kit.run(inverted(), image=last).image.pil().convert("RGB")
    there, here = turned.getpixel((3, 3)), last.getpixel((3, 3))
    assert all(abs(255 - each - other) <= 1 for each, other in zip(there, here, strict=True))  # type: ignore[arg-type]
    with pytest.raises(ComfyKitError, match="is not a video"):
        kit.run(picture()).image.frame()
