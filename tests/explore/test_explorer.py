"""Test the kernel's side of a sweep's page: its messages, what they change, and what they never contain."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.explore.ledger.entries import Marks
from comfykit_jupyter.explore.sweeps.sweep import PAUSE_CALLED, Sweep
from tests.client.workflows import failing, inverted, picture
from tests.explore.made_runs import make_runs

pytest.importorskip("comfykit_jupyter.notebook.page.page_widget", reason="the widget's JavaScript is not built")
from comfykit_jupyter.notebook.explorer.explorer import ARRANGEMENT_BYTES, Explorer
from comfykit_jupyter.notebook.explorer.point_bytes import ANOTHER_RUN, STATES, PointBytes
from comfykit_jupyter.notebook.explorer.sweep_explorer import SweepExplorer


class Page:
    """A page that sends messages to an explorer and keeps what it gets."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.received: list[tuple[dict[str, Any], list[bytes]]] = []
        self.states: list[str] = []
        self.marks: list[int] = []
        self._changed = threading.Condition()
        self._count = 0
        explorer.send = self._receive

    def _receive(self, content: Any, buffers: Sequence[Any] | None = None) -> None:
        with self._changed:
            self.received.append((content, [bytes(each) for each in buffers or ()]))
            if content["kind"] == "points":
                self._apply(content, self.received[-1][1])
            self._changed.notify_all()

    def _apply(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        packed, states, marks = buffers
        if content["base"] is None:
            self.states, self.marks = [STATES[each & 15] for each in states], list(marks)
        for at, index in enumerate(struct.unpack(f"<{len(packed) // 4}I", packed)):
            self.states[index], self.marks[index] = STATES[states[at] & 15], marks[at]

    def wait(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 20)

    def ask(self, kind: str, **body: Any) -> tuple[dict[str, Any], list[bytes]]:
        """Send a message and return the answer."""
        self._count += 1
        id_ = f"page-{self._count}"
        self.explorer._on_message(None, {**body, "kind": kind, "id": id_}, [])
        self.wait(lambda: self._find_answer(id_))
        found = self._find_answer(id_)
        assert found is not None
        return found

    def _find_answer(self, id_: str) -> tuple[dict[str, Any], list[bytes]] | None:
        return next((each for each in self.received if each[0].get("id") == id_), None)


@pytest.fixture
def open_page() -> Iterator[Callable[[Sweep], Page]]:
    """A factory of pages; their explorers are closed at the end."""
    explorers: list[SweepExplorer] = []

    def create(sweep: Sweep) -> Page:
        explorers.append(SweepExplorer(sweep))
        return Page(explorers[-1])

    yield create
    for explorer in explorers:
        explorer.close()


def test_changes_are_numbered_and_many_are_sent_as_all() -> None:
    points = PointBytes()
    points.replace(["waiting"] * 8, [Marks()] * 8, [f"run {index}" for index in range(8)])
    assert points.take_changes() == ({"revision": 1, "base": None}, [b"", bytes(8), bytes(8)])
    points.set_state(6, "completed", "run 6")
    points.set_marks(2, Marks({"star": True, "rating": 5}, {"cover"}))
    content, (packed, states, marks) = points.take_changes()
    assert content == {"revision": 2, "base": 1}
    assert (struct.unpack("<2I", packed), list(states), list(marks)) == ((2, 6), [0, 2], [1 | 5 << 2 | 64, 0])
    for index in range(6):
        points.set_state(index, "failed", f"run {index}")
    content, buffers = points.take_changes()
    assert (content["base"], buffers[1][:6]) == (None, bytes([3] * 6))


def test_another_run_in_the_same_state_is_told_from_other_marks() -> None:
    points = PointBytes()
    points.replace(["completed"] * 8, [Marks()] * 8, ["first"] * 8)
    points.take_changes()
    points.set_marks(1, Marks({"star": True}))
    points.set_state(2, "completed", "second")
    states = points.take_changes()[1][1]
    assert list(states) == [STATES.index("completed"), STATES.index("completed") | ANOTHER_RUN]
    points.replace(["completed"] * 3, [Marks()] * 3, ["first", "third", "second"])
    assert [byte & ANOTHER_RUN for byte in points.take_changes()[1][1]] == [0, ANOTHER_RUN, ANOTHER_RUN]


def test_a_sweep_is_started_and_followed(kit: ComfyKit, open_page: Callable[[Sweep], Page]) -> None:
    sweep = kit.sweep(picture(), height=8, over={"color": [0, 255], "width": [8, 9]})
    page = open_page(sweep)
    page.ask("hello")
    # A change that came before the page may be sent before its answer, which describes the axes.
    content = next(each for each, _ in page.received if each["kind"] == "points" and "about" in each)
    assert [axis["labels"] for axis in content["about"]["axes"]] == [["0", "255"], ["8", "9"]]
    assert page.states == ["waiting"] * 4
    assert "error" not in page.ask("start")[0]
    page.wait(lambda: page.states == ["completed"] * 4)
    answer, buffers = page.ask("thumbs", points=[0, 3])
    assert answer["points"] == [0, 3]
    assert all(each[:4] == b"RIFF" for each in buffers)
    details = page.ask("details", points=[3])[0]["details"][0]
    assert details["changed"]["width"] == 9
    assert details["items"][0]["kind"] == "image"
    answer, (data,) = page.ask("media", run=details["id"], key="0")
    assert data[:4] == b"\x89PNG"
    assert "width=9" in page.ask("code", points=[3])[0]["code"]
    answer, _ = page.ask("sheet")
    assert answer["name"].endswith(".webp")
    assert page.ask("media", run="export", key=answer["key"])[1][0][:4] == b"RIFF"


def test_header_says_how_a_sweep_has_ended(
    kit: ComfyKit, monkeypatch: pytest.MonkeyPatch, open_page: Callable[[Sweep], Page]
) -> None:
    sweep = kit.sweep(picture(), height=8, over={"width": [8, 9]})
    page = open_page(sweep)
    describe = page.explorer.describe_header
    assert (describe()["status"], describe()["summary"]) == ("idle", "0 of 2 done · 2 left")
    sweep.wait()
    assert (describe()["status"], describe()["summary"]) == ("completed", "2 of 2 done")
    for paused, status in ((PAUSE_CALLED, "cancelled"), (f"{kit.comfyui_url} is full", "paused")):
        monkeypatch.setattr(sweep._engine, "paused", paused)
        assert describe()["status"] == status
        assert "127.0.0.1" not in describe()["summary"]
    failed = kit.sweep(failing(), over={"width": [8, 9]})
    failed.wait()
    monkeypatch.setattr(failed._engine, "paused", "")
    monkeypatch.setattr(failed._engine, "states", ["failed", "completed"])
    assert open_page(failed).explorer.describe_header()["status"] == "failed"


def test_marks_of_the_page_and_of_python_are_the_same(kit: ComfyKit, open_page: Callable[[Sweep], Page]) -> None:
    sweep = kit.sweep(picture(), height=8, over={"width": [8, 9, 10]}).wait()
    page = open_page(sweep)
    page.ask("hello")
    page.ask("mark", points=[0, 2], set={"star": True})
    page.ask("mark", points=[2], set={"rating": 4, "note": "hands"}, add_tags=["cover"])
    assert [row.params["width"] for row in sweep.picked] == [8, 10]
    assert (sweep[2].rating, sweep[2].note, sweep[2].tags) == (4, "hands", frozenset({"cover"}))
    assert page.marks == [1, 0, 1 | 4 << 2 | 32 | 64]
    sweep[1].rejected = True
    page.explorer.follow_marks()
    page.wait(lambda: page.marks[1] == 2)
    assert "error" in page.ask("mark", points=[0], set={"rating": 9})[0]


def test_axes_are_edited_in_the_page(kit: ComfyKit, open_page: Callable[[Sweep], Page]) -> None:
    sweep = kit.sweep(picture(), height=8, over={"color": [0, 255], "width": [8, 9]}).wait()
    page = open_page(sweep)
    page.ask("hello")
    assert "error" not in page.ask("edit", axis=1, add="10, 11")[0]
    page.wait(lambda: len(page.states) == 8)
    assert page.states.count("completed") == 4
    assert "error" not in page.ask("edit", axis=0, remove=[0])[0]
    page.wait(lambda: len(page.states) == 4)
    assert "is not an integer" in page.ask("edit", axis=1, add="x")[0]["error"]


def test_failed_points_say_why_without_the_servers_address(
    kit: ComfyKit, open_page: Callable[[Sweep], Page], tmp_path: Path
) -> None:
    sweep = kit.sweep(failing(), over={"width": [8, 9]}).wait()
    page = open_page(sweep)
    page.ask("hello")
    assert "failed" in page.states
    reason = page.ask("details", points=[page.states.index("failed")])[0]["details"][0]["reason"]
    assert "bomb" in reason
    state = page.explorer.get_state()
    kept = {name: value for name, value in state.items() if name not in ("_esm", "_css")}
    assert "127.0.0.1" not in str(kept)
    assert len(str(kept)) < 64_000


def test_wrong_messages_change_nothing(kit: ComfyKit, open_page: Callable[[Sweep], Page]) -> None:
    page = open_page(kit.sweep(picture(), height=8, over={"width": [8, 9]}))
    for kind, body in (
        ("details", {"points": [2]}),
        ("thumbs", {"points": [-1]}),
        ("mark", {"points": "x", "set": {}}),
        ("media", {"run": "../../etc", "key": "0"}),
        ("arrange", {"arrangement": {"x": "y" * ARRANGEMENT_BYTES}}),
        ("edit", {"axis": 7, "add": "1"}),
        ("rerun", {}),
    ):
        assert "error" in page.ask(kind, **body)[0], kind
    page.ask("arrange", arrangement={"columns": [0]})
    assert page.explorer.arrangement == {"columns": [0]}


def test_of_two_files_of_one_name_one_is_left_out(
    kit: ComfyKit, tmp_path: Path, open_page: Callable[[Sweep], Page]
) -> None:
    paths = [tmp_path / name for name in ("a/x.png", "b/x.png", "y.png")]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    page = open_page(sweep := kit.map(inverted(), image=paths))
    page.ask("edit", axis=0, remove=[0])
    assert [point.values["image"] for point in sweep.points] == paths[1:]


def test_a_point_that_was_removed_just_now_is_passed_over(kit: ComfyKit, open_page: Callable[[Sweep], Page]) -> None:
    sweep = make_runs(kit, {"width": [8, 9, 10]})
    page = open_page(sweep)
    sweep._watchers.clear()  # the explorer has not noticed it yet
    sweep.remove_values("width", 9, 10)
    assert page.explorer.find_state(2) == "waiting"
    page.explorer._noted.append(2)
    page.explorer._send_changes()
    assert len(page.explorer.points) == 3
