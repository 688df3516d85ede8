"""Test many runs of one form at once: they are counted, paused and cancelled together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from comfykit_jupyter.notebook.widget.stage import stage
from comfykit_jupyter.notebook.widget.stage.batch import Batch, Waiting

from .kernels import Model, Page
from .test_form import show_form, wait_for_run

SLOW = 'kit.form("text_to_image.json", steps=3000, width=256, height=256)'
FAST = 'kit.form("text_to_image.json", steps=2, width=64, height=64)'


def start(page: Page, model: Model, times: int) -> list[str]:
    """Start runs at once, and wait until the first one runs; return their IDs."""
    ids: list[str] = page.ask(model, "run", times=times, seed="random")[0]["prompt_ids"]
    page.wait(lambda: model.state["status"] == "running" and len(model.state["waiting"]) == times - 1)
    return ids


def is_empty(page: Page) -> bool:
    return page.value("(lambda s: (s.running, s.pending))(kit.server())") == "(0, 0)"


def test_runs_of_a_batch_are_counted_and_described(page: Page) -> None:
    model = show_form(page, SLOW)
    ids = start(page, model, 5)
    assert model.state["batch"] == {"done": 0, "total": 5, "paused": 0, "pausing": False, "seconds": None}
    assert [waiting["id"] for waiting in model.state["waiting"]] == ids[1:]
    assert all("random seed" in waiting["label"] for waiting in model.state["waiting"])
    page.ask(model, "cancel", prompt_id=None, all=True)
    page.wait(lambda: model.state["status"] == "cancelled" and model.state["batch"] == {})
    assert is_empty(page)


def test_paused_runs_leave_the_queue_and_return_to_it_in_order(page: Page) -> None:
    model = show_form(page, SLOW)
    ids = start(page, model, 4)
    labels = [waiting["label"] for waiting in model.state["waiting"]]
    page.ask(model, "pause")
    page.wait(lambda: model.state["batch"]["paused"] == 3)
    assert page.value("kit.server().pending") == "0"
    assert model.state["progress"]["prompt_id"] == ids[0]
    assert [waiting["label"] for waiting in model.state["waiting"]] == labels
    page.ask(model, "cancel", prompt_id=None)
    page.wait(lambda: model.state["status"] == "cancelled")
    assert model.state["batch"]["paused"] == 3
    page.ask(model, "pause", resume=True)
    page.wait(lambda: model.state["status"] == "running" and len(model.state["waiting"]) == 2)
    assert [waiting["label"] for waiting in model.state["waiting"]] == labels[1:]
    page.ask(model, "cancel", prompt_id=None, all=True)
    page.wait(lambda: model.state["batch"] == {})
    assert is_empty(page)


def test_paused_run_is_removed_alone(page: Page) -> None:
    model = show_form(page, SLOW)
    start(page, model, 3)
    page.ask(model, "pause")
    page.wait(lambda: model.state["batch"]["paused"] == 2)
    page.ask(model, "cancel", prompt_id=model.state["waiting"][0]["id"])
    page.wait(lambda: model.state["batch"]["paused"] == 1)
    assert model.state["status"] == "running"
    page.ask(model, "cancel", prompt_id=None, all=True)
    page.wait(lambda: model.state["batch"] == {} and model.state["waiting"] == [])


def test_stage_shows_the_newest_output_while_all_other_runs_are_paused(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json", steps=2, width=256, height=256)')
    first = page.ask(model, "run")[0]["prompt_id"]
    wait_for_run(page, model, "completed")
    page.run("form.values['steps'] = 3000\nother = kit.submit('text_to_image.json', steps=3000)")
    page.ask(model, "run", times=3, seed="random")
    page.run("form.stage._select = lambda runs: None")  # as if the run on the stage had ended in this moment
    page.ask(model, "pause")
    page.wait(lambda: model.state["batch"]["paused"] == 3)
    assert (model.state["status"], model.state["progress"]["prompt_id"]) == ("completed", first)
    page.run("del form.stage._select\nother.cancel()")
    page.ask(model, "cancel", prompt_id=None, all=True)
    page.wait(lambda: model.state["batch"] == {})


def test_paused_runs_keep_their_order_in_whichever_they_are_cancelled() -> None:
    batch = Batch()
    for id_ in "abcd":
        batch.add(Waiting(id_, submit=lambda: None))
    assert batch.pause("bcd") == ["b", "c", "d"]
    assert all(batch.end(id_, cancelled=True, seconds=None) for id_ in "cdb")
    assert [run.id for run in batch.take_paused()] == ["b", "c", "d"]


def test_finished_runs_give_the_time_of_the_next_ones(page: Page) -> None:
    model = show_form(page, FAST)
    model.history.clear()
    page.ask(model, "run", times=4, seed="random")
    wait_for_run(page, model, "completed")
    page.wait(lambda: model.state["batch"] == {})
    seen: list[dict[str, Any]] = [state["batch"] for state in model.history if state.get("batch")]
    assert [batch["total"] for batch in seen][-1] == 4
    assert any(batch["seconds"] is not None for batch in seen)


def test_run_that_was_cached_as_a_whole_makes_no_twin(page: Page) -> None:
    model = show_form(page, 'kit.form("picture.json", width=72)')
    first = page.ask(model, "run")[0]["prompt_id"]
    wait_for_run(page, model, "completed")
    (before,) = model.state["runs"]
    second = page.ask(model, "run")[0]["prompt_id"]
    page.wait(lambda: model.state["progress"].get("unchanged") is True)
    assert (model.state["runs"], model.state["status"]) == ([before], "completed")
    assert model.state["progress"]["prompt_id"] == first != second
    assert page.value(f"form.result.prompt_id == {second!r}") == "True"


def test_times_are_those_of_the_execution(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json", steps=40, width=128, height=128)')
    page.ask(model, "run", times=3, seed="random")
    page.wait(lambda: len(model.state["runs"]) == 3 and model.state["batch"] == {})
    page.run("runs = list(form.stage.results.values())")
    shown = [(run["seconds"], run["waited"]) for run in reversed(model.state["runs"])]
    assert str(shown) == page.value("[(run.seconds, run.waited) for run in runs]")
    nodes = page.ask(model, "times", run=model.state["runs"][0]["id"])[0]["nodes"]
    assert nodes[0]["node"] == "Sampler"
    assert nodes == sorted(nodes, key=lambda node: -node["seconds"])


def test_a_pause_leaves_alone_what_runs_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = list[str]()
    monkeypatch.setattr(stage, "_cancel_in_background", lambda runs: cancelled.extend(run.id for run in runs))
    monkeypatch.setattr(stage.Stage, "_refresh", lambda self: None)
    shown: Any = stage.Stage(SimpleNamespace(send=print))
    for id_, status in (("first", "running"), ("on another server", "running"), ("next", "queued")):
        shown._runs.append(SimpleNamespace(id=id_, status=status))
        shown._batch.add(Waiting(id_, submit=lambda: None))
    shown.pause()
    assert cancelled == ["next"]
