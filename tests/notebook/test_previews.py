"""Test previews: the newest wins, acknowledgements set the pace, and all previews share a budget."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter.client.backends.preview import Preview
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.widget.stage import previews as module
from comfykit_jupyter.notebook.widget.stage.previews import ACKNOWLEDGED_BYTES, UNACKNOWLEDGED_BYTES, Previews


class Page:
    """A page that receives previews."""

    def __init__(self) -> None:
        self.frames: list[tuple[dict[str, Any], bytes]] = []
        self._changed = threading.Condition()

    def __call__(self, content: dict[str, Any], buffers: Sequence[Any] | None) -> None:
        assert buffers is not None
        with self._changed:
            self.frames.append((content, buffers[0]))
            self._changed.notify_all()

    def wait(self, count: int) -> dict[str, Any]:
        """Wait for a number of previews, and return the content of the last."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.frames) >= count, 20)
            return self.frames[count - 1][0]


def make_frame(step: int, data: bytes = b"x", mime: str = "image/jpeg") -> Preview:
    return Preview("id", "3", mime, data, step)


def make_noise(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), random.Random(1).randbytes(width * height * 3)).save(out, "PNG")
    return out.getvalue()


def paint(previews: Previews, sequence: int) -> None:
    writer.post(lambda: previews.acknowledge(sequence))
    assert writer.drain(20)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable what is sent without an acknowledgement."""
    monkeypatch.setattr(module, "PATIENCE", 1000.0)
    monkeypatch.setattr(module, "UNACKNOWLEDGED_SECONDS", 1000.0)
    monkeypatch.setattr(module, "ACKNOWLEDGED_SECONDS", 0.001)


@pytest.mark.usefixtures("patient")
def test_page_that_paints_gets_the_newest_each_time_and_is_never_more_than_two_behind() -> None:
    page = Page()
    previews = Previews(page)
    previews.offer(make_frame(1))
    assert page.wait(1) == {
        "kind": "preview",
        "prompt_id": "id",
        "node_id": "3",
        "step": 1,
        "mime": "image/jpeg",
        "seq": 1,
    }
    for step in (2, 3, 4):
        previews.offer(make_frame(step))
    assert writer.drain(20)
    assert len(page.frames) == 1
    paint(previews, 1)
    assert page.wait(2)["step"] == 4
    previews.offer(make_frame(5))
    assert page.wait(3)["seq"] == 3
    for step in (6, 7):
        previews.offer(make_frame(step))
    assert writer.drain(20)
    assert len(page.frames) == 3
    paint(previews, 3)
    assert page.wait(4)["step"] == 7
    previews.end()


@pytest.mark.usefixtures("patient")
def test_page_that_paints_what_was_never_sent_sets_no_pace() -> None:
    page = Page()
    previews = Previews(page)
    previews.offer(make_frame(1))
    page.wait(1)
    for sequence in (-1, 0, 2, 10**9):
        paint(previews, sequence)
    previews.offer(make_frame(2))
    assert writer.drain(20)
    assert len(page.frames) == 1
    previews.end()


def test_page_that_no_longer_paints_still_gets_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    page = Page()
    previews = Previews(page)
    previews.offer(make_frame(1))
    page.wait(1)
    paint(previews, 1)
    for step in range(2, 6):
        previews.offer(make_frame(step))
        assert page.wait(step)["step"] == step
    previews.end()


def test_view_that_loads_later_gets_the_newest_and_after_the_end_nothing_is_sent() -> None:
    page = Page()
    previews = Previews(page)
    previews.offer(make_frame(1))
    page.wait(1)
    previews.send_newest()
    assert page.frames[0] == page.frames[1]
    previews.end()
    previews.offer(make_frame(2))
    assert writer.drain(20)
    assert len(page.frames) == 2


@pytest.mark.parametrize("many", [1, 4, 40])
def test_previews_of_all_runs_together_keep_the_budget(many: int) -> None:
    data = make_noise(900, 600)
    pages = [Page() for _ in range(many)]
    offered = [Previews(page) for page in pages]
    for previews in offered:  # all of them at once, before the first is sent
        writer.post(lambda previews=previews: previews.offer(make_frame(1, data, "image/png")))  # type: ignore[misc]
    for page, previews in zip(pages, offered, strict=True):
        page.wait(1)
        paint(previews, 1)
    for page, previews in zip(pages, offered, strict=True):
        previews.offer(make_frame(2, data, "image/png"))
        page.wait(2)
    for page in pages:
        blind, painted = (len(sent) for _, sent in page.frames[:2])
        assert blind <= UNACKNOWLEDGED_BYTES
        assert painted <= ACKNOWLEDGED_BYTES
        assert painted <= max(module.MIN_BYTES, module.BYTES_PER_SECOND * module.UNACKNOWLEDGED_SECONDS / many)
        assert max(Image.open(io.BytesIO(page.frames[1][1])).size) <= 512
    for previews in offered:
        previews.end()


def test_data_that_is_not_an_image_is_not_sent() -> None:
    page = Page()
    previews = Previews(page)
    previews.offer(make_frame(1, b"?" * 100_000))
    assert writer.drain(20)
    previews.offer(make_frame(2))
    assert page.wait(1)["step"] == 2
    previews.end()


def test_form_in_sight_goes_first_and_a_hidden_one_gets_a_trickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_active", set())
    monkeypatch.setattr(module, "UNACKNOWLEDGED_SECONDS", 0.0)
    monkeypatch.setattr(module, "HIDDEN_SECONDS", 1000.0)
    in_sight, hidden = Page(), Page()
    shown, other = Previews(in_sight), Previews(hidden, in_sight=False)
    noise = make_noise(256, 256)
    for step in range(1, 4):
        for each in (shown, other):
            each.offer(make_frame(step, noise, "image/png"))
        in_sight.wait(step)
    hidden.wait(1)
    assert len(hidden.frames) == 1
    assert len(hidden.frames[0][1]) <= module.HIDDEN_BYTES < len(in_sight.frames[0][1])
    other.set_sight(True)
    assert hidden.wait(2)["step"] == 3
    shown.end()
    other.end()


def test_hidden_forms_leave_their_share_to_the_one_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone: set[Previews] = set()
    monkeypatch.setattr(module, "_active", everyone)
    shown, *others = (Previews(Page()) for _ in range(4))
    everyone.update([shown, *others])
    assert module._get_share() == module.BYTES_PER_SECOND / 4
    for each in others:
        each.set_sight(False)
    assert module._get_share() > 0.9 * module.BYTES_PER_SECOND
