"""Test the kernel's side of the library of all runs: what it finds, shows, exports and runs again."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError
from comfykit_jupyter.explore.runs.query import parse_query, search_rows
from comfykit_jupyter.explore.sweeps.recording import record_sweep
from tests.client.workflows import picture
from tests.explore.conftest import wait_until_kept
from tests.explore.made_runs import make_runs
from tests.kits import MakeKit

pytest.importorskip("comfykit_jupyter.notebook.page.page_widget", reason="the widget's JavaScript is not built")
from comfykit_jupyter.notebook.explorer import runs_explorer
from comfykit_jupyter.notebook.explorer.differences import compare_images, compare_pixels, mark_words
from comfykit_jupyter.notebook.explorer.display import get_sweep_output
from comfykit_jupyter.notebook.explorer.run_lists import RunLists, build_filters, format_day
from comfykit_jupyter.notebook.explorer.runs_explorer import RunsExplorer
from tests.explore.test_explorer import Page

TODAY = date(2026, 11, 30)


class LibraryPage(Page):
    """A page that looks for runs."""

    def look(self) -> None:
        """Let the explorer look for what was added elsewhere."""
        assert isinstance(self.explorer, RunsExplorer)
        self.explorer.look()

    def find(self, text: str = "", *, stacked: bool = False, **filters: str) -> tuple[list[str], list[int]]:
        """Return the IDs of the runs that are found, and the sizes of the stacks."""
        content, _ = self.ask("find", text=text, filters=filters, stacked=stacked)
        assert "error" not in content, content
        stacks = [stack for _, found in content["days"] for stack in found]
        return [self.explorer.get_run_id(index) for stack in stacks for index in stack], list(map(len, stacks))


@pytest.fixture
def open_library() -> Iterator[Callable[[ComfyKit], LibraryPage]]:
    """A factory of pages of the library; their explorers are closed at the end."""
    explorers: list[RunsExplorer] = []

    def create(kit: ComfyKit) -> LibraryPage:
        explorers.append(RunsExplorer(kit.runs))
        page = LibraryPage(explorers[-1])
        page.ask("hello")
        return page

    yield create
    for explorer in explorers:
        explorer.close()


@pytest.mark.parametrize(
    ("text", "words", "values"),
    [
        ("", [], {}),
        ("fox  snow", ["fox", "snow"], {}),
        ('"red fox" cfg=4.5', ["red fox"], {"cfg": [4.5, "4.5"]}),
        ('prompt="in the', [], {"prompt": "in the"}),
        ("seed=7,8 name=x,7", [], {"seed": [7, "7", 8, "8"], "name": "x,7"}),
        ("star=1 rejected=no rating=4", [], {"star": True, "rejected": False, "rating": 4}),
        ("cfg= fast=true", [], {"fast": [True, "true"]}),
        ("a=b=c", [], {"a": "b=c"}),
    ],
)
def test_a_query_has_words_and_values(text: str, words: list[str], values: dict[str, Any]) -> None:
    assert parse_query(text) == (words, values)


def test_filters_become_keywords_of_where() -> None:
    assert build_filters({"marks": "4", "workflow": "fox", "unknown": "x"}) == {"rating": 4, "workflow": "fox"}
    assert build_filters({"marks": "unjudged"}) == {}
    month = build_filters({"date": "2026-12"})
    assert (month["since"].day, month["until"].month, month["until"].year) == (1, 1, 2027)
    week = build_filters({"date": "7"}, TODAY)["since"]
    assert (week.month, week.day, week.hour) == (11, 24, 0)
    yesterday = build_filters({"date": "yesterday"}, TODAY)
    assert (yesterday["since"].day, yesterday["until"].day) == (29, 30)
    with pytest.raises(ValueError, match="x"):
        build_filters({"date": "x"})


def test_days_have_names() -> None:
    days = [date(2026, 11, 30), date(2026, 11, 29), date(2026, 11, 23), date(2025, 5, 3), None]
    names = [format_day(day, TODAY) for day in days]
    assert names == ["Today", "Yesterday", "Mon 23 Nov", "Sat 3 May 2025", "No date"]


def test_runs_that_differ_only_in_the_seed_are_stacked(kit: ComfyKit) -> None:
    ledger = make_runs(kit, {"width": [8]})._ledger
    for number, (prompt, seed) in enumerate([("a", 1), ("b", 2), ("a", 3)]):
        sent = {
            "event": "sent",
            "id": f"run-{number}",
            "name": "fox",
            "template": "t",
            "at": f"2026-11-2{number}T12:00Z",
        }
        ledger.append({**sent, "params": {"prompt": prompt, "seed": seed}, "seeds": {"seed": seed}})
    lists = RunLists(ledger)
    ids = ["run-2", "run-1", "run-0"]
    assert lists.stack(ids) == [["run-2", "run-0"], ["run-1"]]
    assert [count for _, count in lists.list_days(ids)] == [1, 1, 1]


def test_the_library_finds_by_words_values_and_marks(
    kit: ComfyKit, open_library: Callable[[ComfyKit], LibraryPage]
) -> None:
    sweep = make_runs(kit, {"color": [0, 255], "width": [8, 9, 10]}, failing=6)
    record_sweep(sweep._ledger, sweep._prepared, "")
    kit.runs.where(color=255)[0].star = True
    page = open_library(kit)
    everything, sizes = page.find()
    assert everything == [row.id for row in kit.runs]
    assert sizes == [1] * 6
    assert page.states.count("failed") == 1
    assert page.find("width=9,10 color=0")[0] == [row.id for row in kit.runs.where(width=[9, 10], color=0)]
    assert page.find("PICT 255")[0] == [row.id for row in kit.runs.where(color=255)]
    assert len(page.find(marks="picked")[0]) == 1
    assert len(page.find(marks="unjudged", status="completed")[0]) == 5
    assert len(page.find(date="today")[0]) in (0, 6)  # 0 if midnight has just passed
    assert "did you mean width" in page.ask("find", text="widht=9")[0]["error"]
    assert "invalid message" in page.ask("find", filters={"date": "x"})[0]["error"]
    filters = {each["name"]: each for each in page.explorer.describe_header()["filters"]}
    assert [value for value, _ in filters["status"]["options"]] == ["completed", "failed"]
    assert "color, width" in filters["sweep"]["options"][0][1]
    assert "workflow" not in filters  # there is only one
    content, buffers = page.ask("thumbs", points=[0])
    assert (content["points"], buffers[0][:4]) == ([0], b"RIFF")
    details = page.ask("details", points=[0])[0]["details"][0]
    assert details["time"].count(":") == 1
    assert "http" not in str(page.explorer.get_state()["title"])
    assert search_rows(kit.runs, "color=0 width=8", picked=True).records() == []


def test_notes_and_tags_of_the_page_are_in_the_runs_at_once(
    kit: ComfyKit, open_library: Callable[[ComfyKit], LibraryPage]
) -> None:
    make_runs(kit, {"width": [8, 9]})
    page = open_library(kit)
    page.ask("mark", points=[0, 1], set={"note": "hands"}, add_tags=["cover", "two words"])
    page.ask("mark", points=[1], tags=["cover, two words", " two words,"])
    first, second = (kit.runs[page.explorer.get_run_id(index)] for index in (0, 1))
    assert (first.note, first.tags, second.tags) == (
        "hands",
        frozenset({"cover", "two words"}),
        frozenset({"two words"}),
    )
    assert page.find("tag=cover")[0] == [first.id]
    assert page.find('hands tag="two words"')[0] == [second.id, first.id]
    first.tags -= {"cover"}
    page.look()
    assert page.find("tag=cover")[0] == []


def test_new_runs_appear_and_old_ones_run_again(
    kit: ComfyKit, open_library: Callable[[ComfyKit], LibraryPage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_explorer, "WATCH_SECONDS", 0.05)
    kit.run(picture(), width=8, height=8)
    wait_until_kept(kit)
    page = open_library(kit)
    assert page.states == ["completed"]
    assert "error" not in page.ask("rerun", points=[0])[0]
    page.wait(lambda: page.states == ["completed"] * 2)
    assert kit.runs[0].params == kit.runs[1].params
    assert len(page.find()[0]) == 2
    code = page.ask("form", points=[0])[0]["code"]
    assert f"kit.runs[{page.explorer.get_run_id(0)[:8]!r}].workflow" in code
    assert kit.runs[-1].workflow.prompt == kit.runs[-1].prompt
    assert kit.runs[-1].id[:8] in page.ask("code", points=[0])[0]["code"]
    assert page.ask("sweep", points=[0])[0]["sweep"] == ""
    for path in kit.runs.folder.glob("*/*/*.png"), kit.runs.folder.glob("thumbs/*/*"):
        for each in path:
            each.unlink()
    page.ask("details", points=[0])
    page.wait(lambda: page.states[0] == "lost")
    kit.runs.forget(kit.runs[-1])
    page.look()
    assert "was forgotten" in page.ask("form", points=[0])[0]["error"]
    assert len(page.find()[0]) == 1


def test_a_run_is_shown_in_the_grid_of_its_sweep(
    kit: ComfyKit, open_library: Callable[[ComfyKit], LibraryPage]
) -> None:
    sweep = make_runs(kit, {"width": [8, 9, 10]})
    page = open_library(kit)
    run = page.explorer.get_run_id(2)
    assert page.ask("sweep", points=[2])[0] == {"sweep": sweep.id, "kind": "answer", "id": "page-2"}
    grid = Page(get_sweep_output(sweep).explorer)
    try:
        assert page.ask("sweep", points=[2])[0]["used"] == sweep.name
        point = next(index for index in range(3) if grid.explorer.get_run_id(index) == run)
        assert {"kind": "reveal", "point": point} in [content for content, _ in grid.received]
    finally:
        grid.explorer.close()


def test_what_differs_is_listed(kit: ComfyKit, open_library: Callable[[ComfyKit], LibraryPage]) -> None:
    make_runs(kit, {"color": [0], "width": [8, 9, 10]})
    page = open_library(kit)
    content = page.ask("differ", points=[0, 1, 2])[0]
    assert content["rows"] == [("width", [[("8", True)], [("9", True)], [("10", True)]])]
    assert content["pixels"][:1] == [""]
    assert content["pixels"][2].startswith("100 % of the pixels differ, by ")
    assert "error" in page.ask("differ", points=[0, 1, 2, 0, 1])[0]


def test_words_that_differ_are_marked() -> None:
    marked = mark_words(["a red fox in snow", "a blue fox in snow", ""])
    assert [[text for text, differs in parts if differs] for parts in marked] == [["red"], ["blue"], []]
    assert ["".join(text for text, _ in parts) for parts in marked] == ["a red fox in snow", "a blue fox in snow", ""]
    assert mark_words(["euler", "dpm 2"]) == [[("euler", True)], [("dpm 2", True)]]


def test_pixels_are_compared() -> None:
    one, other = (Image.new("RGB", (10, 10), color) for color in ("black", "black"))
    assert compare_pixels(one, other) == "all pixels are the same"
    other.putpixel((0, 0), (4, 8, 0))
    assert compare_pixels(one, other) == "1 % of the pixels differ, by 8.0 of 255 on average"
    assert compare_pixels(one, other.resize((5, 5))) == "the sizes differ: 10 × 10 and 5 × 5"
    assert compare_images([None, b"x"]) == ["", ""]


def test_picked_runs_are_exported(
    kit: ComfyKit,
    open_library: Callable[[ComfyKit], LibraryPage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_runs(kit, {"width": [8, 9]})
    kit.runs[0].note = "<b>hands"
    page = open_library(kit)
    kinds = {"zip": b"PK", "sheet": b"RIFF", "html": b"<!do"}
    for kind, start in kinds.items():
        answer, _ = page.ask("export", points=[0, 1], format=kind)
        assert answer["name"].startswith("runs.")
        data = page.ask("media", run="export", key=answer["key"])[1][0]
        assert data.startswith(start)
        if kind == "zip":
            archive = zipfile.ZipFile(io.BytesIO(data))
            assert sorted(archive.namelist()) == ["picture-0.png", "picture-1.png", "runs.json"]
            assert {each["note"] for each in json.loads(archive.read("runs.json"))} == {"", "<b>hands"}
            assert b"gpu-a" not in archive.read("runs.json")
        if kind == "html":
            assert b"<b>hands" not in data
            assert b"gpu-a" not in data
    first = page.explorer.find_file("export", "1")[0]
    assert first.suffix == ".zip"  # another page may still request it
    for _ in range(2):
        page.ask("export", points=[0], format="zip")
    assert not first.parent.exists()
    assert "error" in page.ask("media", run="export", key="1")[0]
    for folder in ("exports/runs", "exports/runs-2"):
        assert page.ask("export", points=[1], format="folder")[0]["folder"] == folder
    assert sorted(path.name for path in Path("exports/runs").iterdir()) == ["picture-0.png", "runs.json"]
    assert "error" in page.ask("export", points=[0], format="exe")[0]
    with pytest.raises(ComfyKitError, match="there are no runs"):
        kit.runs.where(star=True).sheet(tmp_path / "sheet.png")
    with Image.open(kit.runs.sheet(tmp_path / "sheet.png", side=64)) as sheet:
        assert sheet.size == (2 * 70 + 6, 64 + 18 + 12)


def test_a_run_is_shown_that_came_while_another_was_forgotten(
    kit: ComfyKit, open_library: Callable[[ComfyKit], LibraryPage]
) -> None:
    make_runs(kit, {"width": [8, 9]})
    page = open_library(kit)
    kit.runs.forget(kit.runs[0])
    page.explorer._ledger.append({"event": "sent", "id": "new"})
    page.look()
    assert "new" in page.find()[0]


def test_a_mark_that_was_not_kept_is_taken_back(
    kit: ComfyKit, open_library: Callable[[ComfyKit], LibraryPage], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_runs(kit, {"width": [8, 9]})
    page = open_library(kit)
    page.marks[0] = 1  # the page shows it at once

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page.explorer._ledger, "append", fail)
    answer, _ = page.ask("mark", points=[0], set={"star": True})
    assert "No space left" in answer["error"]
    assert page.marks[0] == 0


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone can't be set here")
def test_yesterday_has_all_its_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "Europe/Berlin")
        time.tzset()
        found = build_filters({"date": "yesterday"}, date(2026, 10, 26))
    time.tzset()
    assert found["until"] - found["since"] == timedelta(hours=25)


def test_a_run_whose_files_are_not_kept_has_ended(
    make_kit: MakeKit, open_library: Callable[[ComfyKit], LibraryPage]
) -> None:
    kit = make_kit(keep="links")
    kit.run(picture())
    wait_until_kept(kit)
    assert open_library(kit).states == ["completed"]


def test_a_run_has_ended_though_the_clock_was_set_back(
    kit: ComfyKit, open_library: Callable[[ComfyKit], LibraryPage]
) -> None:
    ledger = kit.sweep(picture(), over={"width": [8]})._ledger
    ledger.append({"event": "sent", "id": "1"})
    outputs = [{"name": "a.png", "node": "1", "var": "v"}]
    ledger.append(
        {"event": "end", "id": "1", "status": "completed", "outputs": outputs, "at": "2999-01-01T00:00:00.000000Z"}
    )
    assert open_library(kit).states == ["completed"]
