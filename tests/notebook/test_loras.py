"""Test the stack of LoRAs of a form in a real kernel: what it sends, keeps, restores and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import SHELF
from .kernels import Model, Page

BRUSH, GOLDEN, MOON = (
    f"procedural-{each} (no diffusion model).safetensors" for each in ("brush", "golden-hour", "moonlight")
)
STACK = "+loras"
SMALL = "width=64, height=64, steps=1, seed=1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder: a workflow with one model, one with two, one with a loader of its own, one without."""
    folder = tmp_path_factory.mktemp("loras")
    graph = json.loads((SHELF / "text_to_image.json").read_text())
    (folder / "portrait.json").write_text(json.dumps(graph))
    (folder / "video.json").write_bytes((SHELF / "video.json").read_bytes())
    (folder / "text.json").write_bytes((SHELF / "text.json").read_bytes())
    loader = next(node_id for node_id, node in graph.items() if node["class_type"] == "CheckpointLoaderSimple")
    own = {"model": [loader, 0], "clip": [loader, 1], "lora_name": MOON, "strength_model": 0.9, "strength_clip": 0.9}
    with_own = json.loads(
        json.dumps(graph).replace(f'["{loader}", 0]', '["90", 0]').replace(f'["{loader}", 1]', '["90", 1]')
    )
    with_own["90"] = {"class_type": "LoraLoader", "inputs": own, "_meta": {"title": "Mine, $strength_model"}}
    (folder / "own.json").write_text(json.dumps(with_own))
    two = {
        **with_own,
        "91": graph[loader],
        "92": {**graph["3"], "inputs": {**graph["3"]["inputs"], "model": ["91", 0]}},
    }
    two["93"] = {"class_type": "VAEDecode", "inputs": {"samples": ["92", 0], "vae": ["91", 2]}}
    two["94"] = {"class_type": "PreviewImage", "inputs": {"images": ["93", 0]}}
    (folder / "two.json").write_text(json.dumps(two))
    return folder


def show(page: Page, code: str = f"kit.form('portrait.json', {SMALL})") -> Model:
    cell = page.run(f"form = {code}\nform")
    assert cell.status == "ok", cell.error
    return page.model(cell)


def set_stack(page: Page, model: Model, *rows: Any) -> dict[str, Any]:
    answer: dict[str, Any] = page.ask(model, "set", name=STACK, value=[list(row) for row in rows])[0]
    return answer


def find_field(model: Model) -> Any:
    return next((field for field in model.state["fields"] if field["name"] == STACK), None)


def run(page: Page, model: Model) -> str:
    """Run the form, and return the ID of its run."""
    before = len(model.state["runs"])
    page.ask(model, "run")
    page.wait(lambda: len(model.state["runs"]) > before)
    return str(model.state["runs"][0]["id"])


LOADERS = (
    "[tuple(node['inputs'][name] for name in ('lora_name', 'strength_model', 'strength_clip')) "
    "for node in {}.prompt.values() if node['class_type'] == 'LoraLoader']"
)


def test_stack_is_sent_kept_and_restored(page: Page) -> None:
    page.run("kit = ComfyKit(runs='lora-runs')")
    model = show(page)
    field = find_field(model)
    assert (field["choice_count"], field["has_clip"], field["problem"], field["own"]) == (3, True, "", [])
    assert model.state["values"][STACK] == []
    assert page.ask(model, "loras")[0]["choices"] == [BRUSH, GOLDEN, MOON]
    set_stack(page, model, [BRUSH, 0.7, 0.7, True], [GOLDEN, 0.4, 0.2, True], [MOON, 0.3, 0.3, False])
    page.wait(lambda: len(model.state["values"][STACK]) == 3)
    stack = f"{{{BRUSH!r}: 0.7, {GOLDEN!r}: (0.4, 0.2), {MOON!r}: {{'off': 0.3}}}}"
    assert page.value("form.loras") == stack
    assert page.value("'+loras' in form.values, len(form.values) == len(form.get_fields())") == "(False, True)"
    first = run(page, model)
    assert page.value(LOADERS.format("form.result")) == f"[({BRUSH!r}, 0.7, 0.7), ({GOLDEN!r}, 0.4, 0.2)]"
    assert page.value("form.result.loras == kit.runs[0].loras == form.loras") == "True"
    assert model.state["runs"][0]["changed"]["LoRAs"].startswith("procedural-brush")
    code = page.ask(model, "code", run=first)[0]["code"]
    assert "workflow = kit.load('portrait.json').with_loras(" in code
    assert "kit.run(workflow, width=64" in code
    again = page.run(code.replace("ComfyKit()", "ComfyKit(runs='lora-runs')"))
    assert again.status == "ok", again.error
    assert page.value("result.prompt == form.result.prompt, len({row.key for row in kit.runs})") == "(True, 1)"

    set_stack(page, model, [BRUSH, 0.8, 0.8, True])
    run(page, model)
    assert page.value("len({row.key for row in kit.runs})") == "2"
    page.ask(model, "apply", run=first)
    page.wait(lambda: len(model.state["values"][STACK]) == 3)
    assert page.value("form.loras") == stack
    page.ask(model, "undo")
    page.wait(lambda: model.state["values"][STACK] == [[BRUSH, 0.8, 0.8, True]])
    page.ask(model, "reset_all")
    page.wait(lambda: model.state["values"][STACK] == [])
    page.ask(model, "undo")
    page.wait(lambda: model.state["values"][STACK] == [[BRUSH, 0.8, 0.8, True]])
    page.ask(model, "set", name=STACK, reset=True)
    page.wait(lambda: model.state["values"][STACK] == [])


def test_stack_is_set_in_python(page: Page) -> None:
    model = show(page)
    page.run(
        f"changes = []\nform.observe(changes.append, names='values')\nform.loras = {{{BRUSH!r}: 0.7, 'moon': None}}"
    )
    page.wait(lambda: model.state["values"][STACK] == [[BRUSH, 0.7, 0.7, True], ["moon", 1, 1, False]])
    page.wait(lambda: "no LoRA 'moon'" in model.state["errors"].get(STACK, ""))
    assert page.value("len(changes), '+loras' in changes[-1].new") == "(1, False)"
    page.run("form.values = {'steps': 2}")
    assert page.value("len(form.loras), form.values['steps']") == "(2, 2)"
    page.run("del form.values['steps']")
    assert page.value("len(form.loras)") == "2"
    cell = page.run("form.loras = {'a': 'much'}")
    assert "the strength of a must be a number" in cell.error
    page.run("form.loras = {}")
    page.wait(lambda: not model.state["errors"])
    assert "procedural-brush" in page.run(f"form.loras = {{{BRUSH!r}: 0.5}}\nprint(repr(form))").stdout


def test_form_begins_with_the_stack_of_its_workflow(page: Page) -> None:
    model = show(page, f"kit.form(kit.load('portrait.json').with_loras({{{BRUSH!r}: 0.7}}), {SMALL})")
    assert model.state["values"][STACK] == find_field(model)["default"] == [[BRUSH, 0.7, 0.7, True]]
    run(page, model)
    assert page.value(LOADERS.format("form.result")) == f"[({BRUSH!r}, 0.7, 0.7)]"
    set_stack(page, model)
    run(page, model)
    assert page.value(LOADERS.format("form.result")) == "[]"
    magic = page.run(f"%comfykit form portrait.json --loras moon:0.5 {SMALL.replace(', ', ' ')}")
    assert "no LoRA 'moon'" in page.model(magic).state["errors"][STACK], magic.error


def test_presets_keep_the_stack(page: Page) -> None:
    page.run("import shutil; shutil.rmtree('presets', ignore_errors=True)")
    model = show(page)
    rows = [[BRUSH, 0.7, 0.7, True], [GOLDEN, 0.4, 0.2, False]]
    set_stack(page, model, *rows)
    page.ask(model, "preset_save", name="stacked")
    page.wait(lambda: model.state["preset"].get("name") == "stacked")
    set_stack(page, model, rows[0])
    page.wait(lambda: model.state["preset"]["changed"])
    set_stack(page, model, *rows)
    page.wait(lambda: not model.state["preset"]["changed"])
    assert page.value("open('presets/stacked.toml').read().split('[loras]')[1].strip().splitlines()[0]") == repr(
        f'"{BRUSH}" = 0.7'
    )
    set_stack(page, model)
    page.ask(model, "preset_use", name="stacked")
    page.wait(lambda: model.state["values"][STACK] == rows)
    page.run("""text = open('presets/stacked.toml').read()
_ = open('presets/old.toml', 'w').write(text.replace('[loras]', '[loras]\\ngone = 1'))""")
    page.ask(model, "preset_use", name="old")
    page.wait(lambda: model.state["preset"]["name"] == "old")
    assert "no LoRA 'gone'" in model.state["preset"]["left_out"][0]
    assert model.state["values"][STACK] == rows
    used = show(page, f"kit.form(kit.load('portrait.json').use_preset('stacked'), {SMALL})")
    assert (used.state["values"][STACK], used.state["preset"]["name"]) == (rows, "stacked")
    page.ask(used, "reset_all")
    page.wait(lambda: used.state["values"][STACK] == [])


def test_strengths_are_swept_from_the_form_as_from_python(page: Page) -> None:
    page.run("kit = ComfyKit(runs='lora-sweeps')")
    model = show(page)
    set_stack(page, model, *([each, 0.5, 0.5, True] for each in (BRUSH, GOLDEN, MOON)))
    page.ask(model, "list", name=f"{STACK}/{BRUSH}", list="0.2, 0.8", times=1)
    page.ask(model, "list", name=f"{STACK}/{MOON}", list="0..1:0.5", times=1)
    page.wait(lambda: model.state["plan"] == "Run 6 points")
    page.ask(model, "sweep")
    grid = page.wait(lambda: page.models.get(model.state["grids"][0]))
    assert page.value("form.sweep.wait().summary") == "'6 of 6 done'"
    page.run(f"""
from comfykit_jupyter import lora
stacked = kit.load('portrait.json').with_loras(dict.fromkeys({[BRUSH, GOLDEN, MOON]!r}, 0.5))
sweep = kit.sweep(stacked, {SMALL}, over={{'a': lora({BRUSH!r}, [0.2, 0.8]), 'b': lora({MOON!r}, [0, 0.5, 1])}})
""")
    assert (
        page.value("sweep.plan.count('have'), [r.key for r in sweep.done] == [r.key for r in form.sweep.done]")
        == "(6, True)"
    )
    assert page.value(f"form.sweep.done[5].loras == {{{BRUSH!r}: 0.8, {GOLDEN!r}: 0.5, {MOON!r}: 1.0}}") == "True"
    code = page.ask(grid, "code", points=[5])[0]["code"]
    assert f".with_loras({{\n    {BRUSH!r}: 0.8," in code
    page.run(code.replace("ComfyKit()", "ComfyKit(runs='lora-sweeps')"))
    assert page.value("result.prompt == form.sweep.done[5].prompt, len({row.key for row in kit.runs})") == "(True, 6)"
    page.ask(grid, "form", points=[5])
    page.wait(lambda: [row[1] for row in model.state["values"][STACK]] == [0.8, 0.5, 1])
    assert model.state["lists"] == {}
    page.ask(model, "list", name=f"{STACK}/{BRUSH}", list="0.2, much", times=1)
    page.wait(lambda: "give numbers" in model.state["errors"].get(f"{STACK}/{BRUSH}", ""))
    assert "not in the stack" in page.ask(model, "list", name=f"{STACK}/none", list="1, 2", times=1)[0]["error"]
    page.ask(model, "list", name=f"{STACK}/{BRUSH}", list="0.2, 0.8", times=1)
    page.wait(lambda: model.state["plan"] == "Show 2 points")
    set_stack(page, model, [BRUSH, 0.5, 0.5, False], [GOLDEN, 0.5, 0.5, True])  # the list is kept, and not used
    page.wait(lambda: model.state["plan"] == "")
    assert len(model.state["lists"]) == 1
    page.ask(model, "sweep", times=2)
    page.wait(lambda: len(model.state["runs"]) == 2)
    assert page.value("form.result.loras") == f"{{{BRUSH!r}: {{'off': 0.5}}, {GOLDEN!r}: 0.5}}"
    set_stack(page, model)
    page.wait(lambda: model.state["lists"] == {})


def test_several_runs_have_the_stack(page: Page) -> None:
    model = show(page)
    set_stack(page, model, [BRUSH, 0.7, 0.7, True])
    page.ask(model, "run", times=2, seed="random")
    page.wait(lambda: len(model.state["runs"]) == 2)
    assert page.value(LOADERS.format("form.result")) == f"[({BRUSH!r}, 0.7, 0.7)]"


def test_own_loaders_are_set_by_the_stack(page: Page) -> None:
    model = show(page, f"kit.form('own.json', {SMALL})")
    assert find_field(model)["own"] == [MOON]
    set_stack(page, model, [MOON, 0.2, 0.2, True])
    page.ask(model, "set", name="strength_model", value=0.6)
    first = run(page, model)
    assert page.value(LOADERS.format("form.result")) == f"[({MOON!r}, 0.2, 0.2)]"
    set_stack(page, model, [MOON, 0.2, 0.2, False])
    run(page, model)
    assert page.value(LOADERS.format("form.result")) == f"[({MOON!r}, 0.0, 0.0)]"
    page.ask(model, "apply", run=first)
    page.wait(lambda: model.state["values"][STACK] == [[MOON, 0.2, 0.2, True]])


def test_what_prevents_a_run_stands_at_the_stack(page: Page) -> None:
    model = show(page)
    rows = [[BRUSH, 0.7, 0.7, True], ["golden", 1, 1, True]]
    set_stack(page, model, *rows)
    page.wait(lambda: "the server has no LoRA 'golden'" in model.state["errors"].get(STACK, ""))
    page.ask(model, "run")
    page.wait(lambda: model.state["status"] != "queued" and STACK in model.state["errors"])
    assert (model.state["runs"], model.state["values"][STACK]) == ([], rows)
    assert "is given twice" in set_stack(page, model, rows[0], rows[0])["error"]
    assert "must be a number" in set_stack(page, model, ["a", "<b>", 1, True])["error"]
    assert model.state["values"][STACK] == rows
    two = show(page, f"kit.form('two.json', {SMALL})")
    assert "several nodes load a model" in find_field(two)["problem"]
    set_stack(page, two, [MOON, 0.2, 0.2, True])
    run(page, two)
    set_stack(page, two, [BRUSH, 0.7, 0.7, True])
    page.wait(lambda: "several nodes load a model" in two.state["errors"].get(STACK, ""))


def test_workflows_without_a_model_have_no_section(page: Page) -> None:
    assert find_field(show(page, "kit.form('text.json')")) is None
    away = show(page, "ComfyKit('http://127.0.0.1:9').form('portrait.json')")
    assert find_field(away)["is_known"] is False


def test_trigger_words_come_from_the_file(page: Page) -> None:
    model = show(page)
    assert page.ask(model, "lora_words", name=GOLDEN)[0]["words"] == ["golden hour", "warm light"]
    assert page.ask(model, "lora_words", name=MOON.removesuffix(".safetensors"))[0]["words"] == [
        "moonlit night",
        "moon",
    ]
    for name in ("none", "../../x.safetensors", "x" * 100_000):
        assert page.ask(model, "lora_words", name=name)[0]["words"] == []
