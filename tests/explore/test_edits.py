"""Test changes of a sweep: more and fewer values on its axes, points run again, and the order of points."""

from __future__ import annotations

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, seeds
from comfykit_jupyter.explore.points.plan import find_rank
from comfykit_jupyter.explore.sweeps.edits import read_values
from comfykit_jupyter.explore.sweeps.sweep import RELOADED
from tests.client.workflows import picture


def test_values_are_added_and_removed_and_what_was_run_is_there(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), height=8, over={"color": [0, 255], "width": range(8, 10)}).wait()
    seen: list[int] = []
    sweep.watch(seen.append)
    before = {(row.params["color"], row.params["width"]): row.id for row in sweep.done}
    sweep.add_values("width", 12)
    assert RELOADED in seen
    assert sweep.states.count("completed") == 4
    sweep.wait()
    assert len(sweep.done) == 6
    sweep.remove_values("color", 0)
    assert [point.labels for point in sweep.points] == [{"color": 255, "width": width} for width in (8, 9, 12)]
    assert sweep[0].id == before[255, 8]
    assert len(kit.runs) == 6
    with pytest.raises(ComfyKitError, match="the last value of an axis can't be removed"):
        sweep.remove_values("color", 255)
    with pytest.raises(ComfyKitError, match="there is no axis 'colour'"):
        sweep.add_values("colour", 3)


def test_more_seeds_keep_the_first_ones(kit: ComfyKit) -> None:
    sweep = kit.sweep("notebooks/workflows/text_to_image.json", over={"seed": seeds(2)})
    first = [point.labels["seed"] for point in sweep.points]
    (axis,) = sweep.axes
    sweep.add_values("seed", *read_values(axis, seeds(2), "*2"))
    assert [point.labels["seed"] for point in sweep.points][:2] == first
    assert len(sweep.points) == 4


def test_typed_values_have_the_types_of_the_axis(kit: ComfyKit) -> None:
    (whole,) = kit.sweep(picture(), over={"width": [8, 9]}).axes
    assert read_values(whole, [8, 9], "10..14:2, 20") == [10, 12, 14, 20]
    with pytest.raises(ComfyKitError, match=r"width: '1\.5' is not an integer"):
        read_values(whole, [8, 9], "1.5")
    with pytest.raises(ComfyKitError, match="give at least one value"):
        read_values(whole, [8, 9], " ")
    (text,) = kit.sweep("notebooks/workflows/text_to_image.json", over={"prompt": ["a fox", "a cat"]}).axes
    assert read_values(text, ["a fox", "a cat"], "a dog, a cow") == ["a dog, a cow"]


def test_a_point_runs_again_and_the_others_wait(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), height=8, over={"width": [8, 9, 10]})
    sweep.rerun(1)
    sweep._job.outcome.result(20)  # type: ignore[union-attr]
    assert sweep.states == ["waiting", "completed", "waiting"]
    first = sweep[1].id
    sweep.rerun(1)
    sweep._job.outcome.result(20)  # type: ignore[union-attr]
    assert sweep[1].id != first
    assert sweep.states == ["waiting", "completed", "waiting"]


def test_coarse_first_sends_every_second_value_before_those_between() -> None:
    ranks = [find_rank((row, column)) for row in range(5) for column in range(5)]
    assert ranks[0] == 0
    assert sorted(set(ranks)) == [0, 1, 2, 3]
    assert [index for index, rank in enumerate(ranks) if rank <= 1] == [0, 4, 20, 24]
