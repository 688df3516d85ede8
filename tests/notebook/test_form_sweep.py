"""Test lists of values in a form's fields: what they describe, the sweep that Run makes of them, and the way back."""

from __future__ import annotations

from typing import Any

import pytest

from .kernels import Model, Page, hold_writer
from .test_form import show_form

FORM = 'kit.form("picture.json", height=32)'


def make_form(page: Page) -> Model:
    page.run("kit = ComfyKit(runs='form-runs')")
    return show_form(page, FORM)


def set_lists(page: Page, model: Model, lists: dict[str, Any], times: int = 1) -> str:
    """Give fields several values, and return what the Run button says, or the errors."""
    for name, values in lists.items():
        page.ask(model, "list", name=name, list=values, times=times)
    page.wait(lambda: model.state["plan"] or model.state["errors"])
    return model.state["plan"] or str(model.state["errors"])


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"width": "16, 24", "color": "1..9:4"}, "Run 6 points"),
        ({"width": "1..100", "color": "1..100"}, "Run 10,000 points"),
        ({"width": "16, many"}, "'many'"),
        ({"width": "9..1"}, "width: 9..1 is not a range: write FIRST..LAST, or FIRST..LAST:STEP"),
        ({"width": "16,,24"}, "a value between two commas is missing"),
        ({"width": "16, 99999999"}, "99999999"),
        ({"width": "1..9000", "color": "1..90"}, "100,000"),
    ],
)
def test_lists_are_described_before_they_run(page: Page, lists: Any, said: str) -> None:
    assert said in set_lists(page, make_form(page), lists)


def test_list_ends_with_one_value(page: Page) -> None:
    model = make_form(page)
    for end in (
        {"kind": "list", "list": None},
        {"kind": "set", "value": 9},
        {"kind": "set", "value": 9, "reset": True},
    ):
        set_lists(page, model, {"width": "16, 24"})
        page.ask(model, name="width", **end)
        page.wait(lambda: not model.state["lists"] and not model.state["plan"])
    assert "takes one value" in page.ask(model, "list", name="<b>", list="1,2")[0]["error"]


def test_run_makes_a_sweep_whose_grid_is_below_the_form(page: Page) -> None:
    model = make_form(page)
    set_lists(page, model, {"width": "16, 24", "color": [1, 2, 3]})
    page.ask(model, "sweep")
    grid = page.wait(lambda: page.models.get(model.state["grids"][0]))
    assert grid.state["view"] == "sweep"
    assert page.value("form.sweep.wait().summary") == "'6 of 6 done'"
    page.wait(lambda: model.state["plan"] == "Show 6 points")
    assert page.value("form.sweep.at(width=24, color=3).params") == "{'width': 24, 'height': 32, 'color': 3}"

    assert "Run 3 of 9 points · ~0:0" in set_lists(page, model, {"width": "16, 24, 40"})  # what was run is there
    page.ask(model, "sweep")
    page.run("form.sweep.wait()")
    assert page.value("len(form.sweep.done), len(form.grids)") == "(9, 1)"

    grid = page.wait(lambda: page.models.get(model.state["grids"][0]))
    assert page.ask(grid, "form", points=[4])[0]["form"] == "picture"
    assert page.value("[form.values[name] for name in ('width', 'color', 'height')], form.lists") == "([24, 2, 32], {})"


def test_sweep_runs_what_was_sent_before_it_and_nothing_that_was_sent_after_it(page: Page) -> None:
    model = make_form(page)
    with hold_writer(page, model):
        page.send(model, "set", name="height", value=40)
        page.send(model, "list", name="width", list="16, 24")
        sweep = page.send(model, "sweep")
        page.send(model, "set", name="height", value=48)
    answer = page.wait(lambda: next((each for each, _ in model.messages if each.get("id") == sweep), None))
    assert "error" not in answer, answer
    assert page.value("form.sweep.wait().summary") == "'2 of 2 done'"
    assert page.value("form.sweep.at(width=24).params['height'], form.values['height']") == "(40, 48)"
    page.send(model, "list", name="width", list="")
    page.ask(model, "sweep", times=1)  # no list is left
    page.wait(lambda: model.state["status"] == "completed")
    assert page.value("form.result.params['height']") == "48"


def test_several_runs_of_a_list_differ_in_the_seed(page: Page) -> None:
    model = show_form(page, "kit.form('text_to_image.json')")
    assert set_lists(page, model, {"steps": "8, 9", "sampler_name": ["euler", "heun"]}, 3) == "Run 12 points"
    assert set_lists(page, model, {"sampler_name": None, "seed": "*4"}) == "Run 8 points"
    assert "no seed" in set_lists(page, make_form(page), {"width": "16,24"}, 3)


def test_point_without_a_form_becomes_a_cell_with_one(page: Page) -> None:
    cell = page.run("kit.sweep('video.json', over={'steps': [8, 9]})")
    assert cell.status == "ok", cell.error
    code = page.ask(page.model(cell), "form", points=[1])[0]["code"]
    assert "form = kit.form('video.json', " in code
    assert "steps=9" in code
