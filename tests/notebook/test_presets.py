"""Test presets, undo and earlier prompts in the forms of a real kernel, and presets in its magics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import PICTURE, SHELF
from .kernels import Model, Page, hold_writer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder: an old and a new version of a workflow, both called `portrait`."""
    folder = tmp_path_factory.mktemp("presets")
    old = json.loads((SHELF / "text_to_image.json").read_text())
    (folder / "portrait.json").write_text(json.dumps(old))
    newer = json.loads(json.dumps(old).replace("$cfg", "$guidance"))
    (folder / "newer").mkdir()
    (folder / "newer/portrait.json").write_text(json.dumps(newer))
    (folder / "picture.json").write_text(json.dumps(PICTURE))
    (folder / "wildcards/more").mkdir(parents=True)
    for name in ("animals.txt", "more/trees.txt", "no.md", ".hidden.txt"):
        (folder / "wildcards" / name).write_text("fox\n")
    return folder


@pytest.fixture(autouse=True)
def _no_presets(page: Page) -> None:
    page.run("import shutil; shutil.rmtree('presets', ignore_errors=True)")


def show(page: Page, workflow: str = "picture.json", **values: Any) -> Model:
    given = "".join(f", {name}={value!r}" for name, value in values.items())
    cell = page.run(f"form = kit.form({workflow!r}{given})\nform")
    assert cell.status == "ok", cell.error
    return page.model(cell)


def wait_for(page: Page, model: Model, **values: Any) -> None:
    page.wait(lambda: values.items() <= model.state["values"].items())


def test_form_saves_uses_renames_and_deletes_presets(page: Page) -> None:
    model = show(page, width=32)
    assert page.ask(model, "presets")[0]["presets"] == []
    page.ask(model, "preset_save", name="small")
    page.wait(lambda: model.state["preset"] == {"name": "small", "changed": False, "left_out": []})
    page.ask(model, "set", name="height", value=16)
    page.wait(lambda: model.state["preset"]["changed"])
    page.ask(model, "set", name="height", value=48)
    page.wait(lambda: not model.state["preset"]["changed"])
    page.ask(model, "set", name="height", value=16)
    assert page.ask(model, "preset_save", name="small")[0]["exists"] is True
    page.ask(model, "preset_save", name="small", replace=True)
    page.ask(model, "set", name="width", value=20)
    page.ask(model, "preset_use", name="small")
    wait_for(page, model, width=32, height=16)
    page.ask(model, "preset_rename", name="small", new="tiny")
    page.wait(lambda: model.state["preset"]["name"] == "tiny")
    (listed,) = page.ask(model, "presets")[0]["presets"]
    assert listed == {"name": "tiny", "own": True, "workflow": "picture", "error": ""}
    page.ask(model, "preset_delete", name="tiny")
    page.wait(lambda: model.state["preset"] == {})
    assert model.state["values"]["width"] == 32
    assert page.ask(model, "presets")[0]["presets"] == []


def test_preset_has_what_was_sent_before_it_and_nothing_that_was_sent_after_it(page: Page) -> None:
    model = show(page, width=32)
    with hold_writer(page, model):
        page.send(model, "set", name="width", value=20)
        page.send(model, "preset_save", name="small")
        page.send(model, "set", name="width", value=24)
    page.wait(lambda: model.state["preset"] == {"name": "small", "changed": True, "left_out": []})
    page.ask(model, "preset_use", name="small")
    wait_for(page, model, width=20)


def test_list_is_read_again_and_names_broken_files(page: Page) -> None:
    model = show(page)
    page.run("""
from pathlib import Path
Path('presets').mkdir()
Path('presets/broken.toml').write_text('format = 9')
kit.load('portrait.json').save_preset('other', cfg=3)
""")
    broken, other = page.ask(model, "presets")[0]["presets"]
    assert "newer than this version" in broken["error"]
    assert (other["own"], other["workflow"]) == (False, "portrait")
    for name, message in (("broken", "newer than"), ("none", "there is no preset"), ("../x", "letters")):
        assert message in page.ask(model, "preset_use", name=name)[0]["error"]
    assert "device" in page.ask(model, "preset_save", name="con")[0]["error"]
    assert "saved for the workflow 'portrait'" in page.ask(model, "preset_save", name="other", replace=True)[0]["error"]


def test_preset_of_another_version_says_what_no_longer_fits_everywhere(page: Page) -> None:
    page.run("_ = kit.load('portrait.json').save_preset('soft', cfg=3, steps=2, seed=5, prompt='soft light')")
    line = "cfg: portrait has no such parameter"
    model = show(page, "newer/portrait.json")
    page.ask(model, "preset_use", name="soft")
    wait_for(page, model, steps=2, seed=5, prompt="soft light")
    (left_out,) = model.state["preset"]["left_out"]
    assert left_out.startswith(line)
    page.ask(model, "run")
    page.wait(lambda: model.state["runs"])
    magic = page.run("%comfykit run newer/portrait.json --preset soft steps=3 -o by_magic")
    assert magic.status == "ok", magic.error
    assert line in magic.html
    page.run("""
import warnings
with warnings.catch_warnings(record=True) as caught:
    by_hand = kit.run(kit.load('newer/portrait.json').use_preset('soft'), steps=3)
by_form = form.result
""")
    assert page.value("[line in str(each.message) for each in caught]".replace("line", repr(line))) == "[True]"
    assert page.value("by_hand.params == by_magic.params") == "True"
    assert page.value("{**by_form.params, 'steps': 3} == by_magic.params") == "True"
    assert page.value("by_hand.warnings == by_magic.warnings, len(by_hand.warnings)") == "(True, 1)"


def test_form_begins_with_the_preset_of_its_workflow(page: Page) -> None:
    page.run("_ = kit.load('picture.json').save_preset('small', width=16, height=16)")
    for code in (
        "form = kit.form(kit.load('picture.json').use_preset('small'), height=24)\nform",
        "%comfykit form picture.json --preset small height=24",
    ):
        cell = page.run(code)
        assert cell.status == "ok", cell.error
        model = page.model(cell)
        assert (model.state["values"]["width"], model.state["values"]["height"]) == (16, 24)
        assert model.state["preset"]["name"] == "small"
        page.ask(model, "reset_all")
        wait_for(page, model, width=64, height=48)


def test_magics_list_and_use_presets(page: Page) -> None:
    page.run("_ = kit.load('picture.json').save_preset('small', width=16, height=16)")
    assert "presets: small" in page.run("%comfykit params picture.json").html
    assert "16" in page.run("%comfykit run picture.json --preset small --dry-run").html
    swept = page.run("%comfykit sweep picture.json --preset small width=8,12 -o swept")
    assert swept.status == "ok", swept.error
    assert page.value("[point.values for point in swept.points], swept.wait().rows[0].params['height']") == (
        "([{'width': 8}, {'width': 12}], 16)"
    )
    failed = page.run("%comfykit run picture.json --preset smal")
    assert "did you mean 'small'" in str(failed.error)


def test_seed_that_is_random_stays_random(page: Page) -> None:
    model = show(page, "portrait.json", steps=2)
    page.ask(model, "preset_save", name="dice")
    page.ask(model, "set", name="seed", value=7)
    page.ask(model, "preset_use", name="dice")
    wait_for(page, model, seed="random", steps=2)
    assert page.value("open('presets/dice.toml').read().count('seed = \"random\"')") == "1"


def test_undo_takes_back_changes_of_many_values_and_keeps_later_edits(page: Page) -> None:
    page.run("_ = kit.load('picture.json').save_preset('small', width=16, height=16)")
    model = show(page, width=100, color=7)
    page.ask(model, "preset_use", name="small")
    page.wait(lambda: model.state["undo"] == "preset small")
    page.ask(model, "set", name="height", value=17)
    page.ask(model, "reset_all")
    page.wait(lambda: model.state["undo"] == "reset all")
    assert (model.state["values"]["width"], model.state["preset"]) == (64, {})
    page.ask(model, "undo")
    wait_for(page, model, width=16, height=17)
    assert model.state["preset"] == {"name": "small", "changed": True, "left_out": []}
    page.ask(model, "undo")
    wait_for(page, model, width=100, height=17, color=7)
    assert (model.state["undo"], model.state["preset"]) == ("", {})
    assert "nothing to undo" in page.ask(model, "undo")[0]["error"]


def test_undo_is_gone_when_nothing_of_the_change_is_left(page: Page) -> None:
    page.run("_ = kit.load('picture.json').save_preset('small', width=16)")
    model = show(page)
    page.ask(model, "preset_use", name="small")
    page.wait(lambda: model.state["undo"])
    page.ask(model, "set", name="width", value=17)
    page.wait(lambda: not model.state["undo"])


def test_undo_brings_lists_back_and_counts_reused_values(page: Page) -> None:
    model = show(page, width=20)
    page.ask(model, "run")
    page.wait(lambda: model.state["runs"])
    page.ask(model, "list", name="width", list="20, 24", times=1)
    page.ask(model, "apply", run=model.state["runs"][0]["id"])
    page.wait(lambda: model.state["undo"] == "values of a run" and not model.state["lists"])
    page.ask(model, "undo")
    page.wait(lambda: model.state["lists"] == {"width": "20, 24"})


def test_earlier_prompts_are_those_of_the_form_and_of_the_ledger(page: Page) -> None:
    page.run("kept = kit.options(runs='kept')")
    page.run(
        "for text in ('one', 'two', 'one', 'Ünï\\nlines'): kept.run('portrait.json', prompt=text, steps=1, seed=1)"
    )
    cell = page.run("form = kept.form('portrait.json', steps=1, prompt='of this form')\nform")
    model = page.model(cell)
    page.ask(model, "run")
    page.wait(lambda: model.state["runs"])
    prompts = page.ask(model, "prompts", name="prompt")[0]["prompts"]
    assert prompts == ["of this form", "Ünï\nlines", "one", "two"]
    assert "no text" in page.ask(model, "prompts", name="steps")[0]["error"]
    other = page.model(page.run("kit.form('portrait.json')"))
    assert page.ask(other, "prompts", name="prompt")[0]["prompts"] == []


def test_wildcards_are_the_files_of_their_folder(page: Page) -> None:
    model = show(page)
    assert page.ask(model, "wildcards")[0]["names"] == ["animals", "more/trees"]
