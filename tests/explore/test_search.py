"""Test searches on the embedded server: what is proposed, learned, rated and resumed."""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, Row
from comfykit_jupyter.explore.search.proposals import propose
from comfykit_jupyter.explore.search.space import Choices, Range, Space
from comfykit_jupyter.sandbox import Sandbox
from tests.client.nodes import Gate
from tests.client.workflows import failing, gated, picture
from tests.kits import MakeKit

pytest.importorskip("optuna")


@pytest.fixture
def fresh(make_kit: MakeKit) -> Any:
    """A kit on a server of its own, whose jobs can be counted."""
    with Sandbox() as server:
        yield make_kit(server.url)


def count_jobs(kit: ComfyKit) -> int:
    return len(kit.history(1000)) + len(kit.queue())


def rate_width(row: Row) -> float:
    return -abs(int(row.params["width"]) - 20)


def test_a_search_runs_n_points_and_continues_in_a_new_kernel(fresh: ComfyKit) -> None:
    over: dict[str, Any] = {"width": (8, 40), "color": [0, 255]}
    search = fresh.search(picture(), height=4, over=over).by(rate_width, n=6)
    assert "0 of 6 done" in repr(search)
    assert count_jobs(fresh) == 0  # nothing is sent before it is started
    assert search.wait() is search
    assert (len(search), len(search.done), count_jobs(fresh)) == (6, 6, 6)
    assert search.best.score == max(row.score or 0 for row in search.done)
    assert list(search.df.index.names) == ["width", "color"]
    assert "best" in search._repr_mimebundle_()["text/html"]
    again = fresh.search(picture(), height=4, over=over).by(rate_width, n=10)
    assert again.best.id == search.best.id  # before anything is run
    again.wait()
    assert (len(again), count_jobs(fresh)) == (10, 10)
    assert [row.id for row in again.done][:6] == [row.id for row in search.done]
    again.wait()
    assert count_jobs(fresh) == 10
    assert fresh.search(picture(), over=over).by(rate_width, n=1, minimize=True).wait().best.params["height"] == 16


def test_points_of_a_killed_kernel_are_followed(fresh: ComfyKit, gate: tuple[str, Gate]) -> None:
    over = {"width": (8, 40)}
    search = fresh.search(gated(gate[0]), over=over).by(rate_width, n=4).start()
    gate[1].wait()
    again = fresh.search(gated(gate[0]), over=over).by(rate_width, n=4)
    assert [point.labels for point in again.points] == [point.labels for point in search.points]
    assert again.plan.count("attach") >= 1
    search.pause()
    gate[1].open()
    search.wait()
    again.wait()
    assert (len(again.done), count_jobs(fresh)) == (4, 4)


def test_a_search_by_rating_waits_for_the_user(kit: ComfyKit, capsys: pytest.CaptureFixture[str]) -> None:
    search = kit.search(picture(), height=5, over={"width": (8, 64)}).by("rating", n=10).wait()
    assert len(search.done) == 8
    assert "rate search[0] to search[7] from 1 to 5" in capsys.readouterr().out
    with pytest.raises(ComfyKitError, match="rate those in"):
        _ = search.best
    for row in search.unrated[:6]:
        row.rating = 1 + row.params["width"] % 5
    search.wait()
    assert len(search.done) == 8  # two are left
    assert "rate search[6] to search[7]" in repr(search)
    search[6].rejected, search[7].rating = True, 5
    again = kit.search(picture(), height=5, over={"width": (8, 64)}).by("rating", n=10).wait()
    assert len(again.done) == 10
    assert again.best.rating == 5
    assert "8" in again._repr_mimebundle_()["text/html"]
    assert len(again.unrated) == 2


async def test_a_search_can_be_awaited(kit: ComfyKit) -> None:
    search = await kit.search(picture(), height=6, over={"color": [1, 2, 3]}).by(rate_width, n=40)
    assert search.summary.startswith("3 of 3 done")  # the space has no more


def test_a_search_pauses_as_sweeps_do(kit: ComfyKit) -> None:
    search = kit.search(failing(), over={"width": (8, 64)}).by(rate_width, n=8).wait()
    assert "the first point failed" in search.paused
    count = len(search.failed)
    assert count >= 1
    search.wait()
    assert len(search.failed) > count  # it continues; those that failed are known as failed


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda row: "high", r"point \d, <Row .* score must be a number, not 'high'"),
        (lambda row: float("nan"), r"point \d, <Row .* score must be a number, not nan"),
        (lambda row: 10**400, r"point \d, <Row .* score must be a number, not 1000"),
        (lambda row: None, r"point \d, <Row .* score must be a number, not None"),
        (lambda row: 1 / 0, r"the score of point \d, <Row .* failed: ZeroDivisionError"),
    ],
)
def test_a_wrong_score_names_its_row(kit: ComfyKit, score: Any, message: str) -> None:
    with pytest.raises(ComfyKitError, match=message):
        kit.search(picture(), height=7, over={"width": (8, 64)}).by(score).wait()


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"width": (64, 8)}, r"width: the range \(64, 8\) is reversed: write \(8, 64\)"),
        ({"width": (8, 8)}, "has one value: give width=8"),
        ({"width": (8, float("inf"))}, "must be finite numbers"),
        ({"width": (8, 10**400)}, "must be finite numbers"),
        ({"width": (8, 9.5)}, "must be integers"),
        ({"width": (0, 9)}, "0 is below the minimum 1"),
        ({"widht": (8, 9)}, "did you mean 'width'"),
        ({"width": 8}, "give a range, .*, or a list"),
        ({"width": []}, "the list of choices is empty"),
        ({}, "over is a dict of ranges and choices"),
        ([{"width": 8}], "over is a dict of ranges and choices"),
    ],
)
def test_wrong_ranges_are_refused_before_anything_is_sent(kit: ComfyKit, over: Any, message: str) -> None:
    with pytest.raises(ComfyKitError, match=message):
        kit.search(picture(), over=over)


def test_wrong_criteria_and_a_missing_optuna_are_said(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    space = kit.search(picture(), over={"width": (8, 64)})
    with pytest.raises(ComfyKitError, match='give a function of a row, or "rating"'):
        space.by("stars")  # type: ignore[arg-type]
    with pytest.raises(ComfyKitError, match="n must be an integer"):
        space.by(rate_width, n=0)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ComfyKitError, match=r"needs Optuna: pip install 'comfykit-jupyter\[search\]'"):
        space.by(rate_width)


def test_proposals_in_threads_leave_the_process_as_it_was(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    optuna = pytest.importorskip("optuna")
    space, level, create = Space((Range("cfg", 3.0, 9.0),)), optuna.logging.get_verbosity(), optuna.create_study
    created, ended, others = threading.Event(), threading.Event(), list[threading.Thread]()
    filters = warnings.filters

    def create_study(**options: Any) -> Any:
        """Let another thread propose before this one has ended, and until after that."""
        assert warnings.filters is filters
        if others:
            created.set()
            ended.wait(10)
        else:
            others.append(threading.Thread(target=propose, args=(space, {}, 1), kwargs={"seed": 2, "startup": 8}))
            others[0].start()
            created.wait(0.05)
        return create(**options)

    monkeypatch.setattr(optuna, "create_study", create_study)
    propose(space, {}, 1, seed=1, startup=8)
    ended.set()
    others[0].join()
    assert created.is_set()
    assert optuna.logging.get_verbosity() == level
    assert not recwarn.list


def test_proposals_are_new_within_bounds_and_learn() -> None:
    space = Space((Range("cfg", 3.0, 9.0), Range("steps", 10, 30, 5), Choices("sampler", ("euler", "ddim"))))
    known: dict[tuple[float, ...], float | None] = {}
    for _ in range(12):
        for place in propose(space, known, 4, seed=len(known), startup=8):
            assert place not in known
            values = space.to_values(place)
            assert 3 <= values["cfg"] <= 9
            assert values["steps"] in (10, 15, 20, 25, 30)
            assert space.find(values) == place
            known[place] = (
                None if values["steps"] == 30 else -abs(values["cfg"] - 5) - 9 * (values["sampler"] == "euler")
            )
    assert sum(index == 1 for _, _, index in list(known)[24:]) > 14
    small = Space((Choices("a", (1, 2)), Range("b", 0, 2, 1)))
    assert len(propose(small, {(0, 0): 1.0}, 10, seed=1, startup=8)) == 5
    assert space.find({"cfg": 2, "steps": 10, "sampler": "euler"}) is None
