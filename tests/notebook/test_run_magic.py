"""Test `%comfykit run` in the cells of a real kernel, against a real server."""

from __future__ import annotations

import ast
import time

import pytest

from comfykit_jupyter.notebook.magic.commands import COMMANDS

from .kernels import WIDGET, Cell, Page

LONG = "%comfykit run text_to_image.json steps=3000 width=256 height=256"


def wait_until_running(page: Page, cell: Cell) -> None:
    """Wait until the run of a cell has reached its sampler."""
    model = page.model(cell)
    page.wait(lambda: model.state["status"] == "running" and model.state["progress"].get("step"))


def is_server_idle(page: Page) -> bool:
    """Return whether the server has nothing to do within ten seconds: a node ends its step before it is cancelled."""
    deadline = time.monotonic() + 10
    while page.value("(lambda s: (s.running, s.pending))(kit.server())") != "(0, 0)":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_run_binds_its_result_and_leaves_a_static_picture(page: Page) -> None:
    cell = page.run("%comfykit run picture.json width=32 -o cover")
    assert cell.status == "ok", cell.error
    assert page.value("cover.status, cover.image.pil().size") == "('completed', (32, 48))"
    (bundle,) = cell.bundles
    assert WIDGET not in bundle
    assert 'src="data:image/webp;base64,' in bundle["text/html"]
    assert "width = 32" in bundle["text/html"]
    assert "height = " not in bundle["text/html"]


def test_cell_shows_the_run_while_it_runs_and_previews_come(page: Page) -> None:
    cell = page.start("%comfykit run text_to_image.json steps=60 width=256 height=256")
    model = page.model(cell)
    assert model.state["view"] == "run"
    content, buffers = page.wait(lambda: next((m for m in model.messages if m[0]["kind"] == "preview"), None))
    assert content["mime"].startswith("image/")
    assert len(buffers[0]) > 100
    assert not cell.ended
    page.wait(lambda: cell.ended)
    assert cell.status == "ok", cell.error
    progress = [state["progress"] for state in model.history if state.get("progress")]
    seen = [each["fraction"] for each in progress if each["prompt_id"] == content["prompt_id"] and "fraction" in each]
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert "data:image/webp" in cell.html


def test_assigned_run_is_a_result_that_is_shown_once(page: Page) -> None:
    assigned = page.run("result = %comfykit run picture.json")
    assert page.value("result.status") == "'completed'"
    last = page.run("%comfykit run picture.json")
    for cell in (assigned, last):
        assert cell.html.count('class="ck-result"') == 1
    again = page.run("result")
    assert again.html.count('class="ck-result"') == 1


def test_values_keep_the_types_of_their_parameters(page: Page) -> None:
    page.run('%comfykit run text.json subject="{red|blue} cat costs $5" style=42 -o written')
    assert page.value("written.text") == "'{red|blue} cat costs $5, 42'"
    assert page.value("written.params['style']") == "'42'"


def test_object_is_passed_in_braces(page: Page) -> None:
    page.run("from PIL import Image\npicture = Image.linear_gradient('L').resize((96, 64)).convert('RGB')")
    cell = page.run("%comfykit run image_to_image.json image={picture} steps=2 seed={6 * 7} -o changed")
    assert cell.status == "ok", cell.error
    assert page.value("changed.seeds") == "{'seed': 42}"
    assert page.value("changed.image.pil().size, changed.params['image'].endswith('.png')") == "((512, 512), True)"


def test_output_of_an_earlier_run_is_passed_to_the_next(page: Page) -> None:
    page.run("%comfykit run picture.json width=80 height=40 -o first")
    cell = page.run("%comfykit run image_to_image.json image={first.image} steps=2 -o second")
    assert cell.status == "ok", cell.error
    assert page.value("second.params['image'] == first.image.server_name") == "True"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run picture.json widht=32", "did you mean 'width'?"),
        ("run picture.json width=none", "width (Canvas): 'none' is text: give an integer"),
        ("run picture.json width=0 height=x", "0 is below the minimum 1"),
        ("run pictur.json", "pictur.json"),
        ("run picture.json --tmieout 5", "did you mean --timeout?"),
        ("run picture.json --timeout soon", "--timeout must be a positive number of seconds, not 'soon'"),
        ("run picture.json -o 7up", "-o: '7up' is not a valid Python name"),
        ("run picture.json a cat", "unexpected argument 'a'"),
        ("run picture.json width={no_such_name}", "NameError"),
        ("run picture.json prompt=it's", "never closed"),
        ("run", "give a workflow"),
        ("rum picture.json", "did you mean run?"),
        ("run picture.json --url http://127.0.0.1:9", "no ComfyUI server at http://127.0.0.1:9"),
        ("cancel 123", "no unfinished run of this kernel"),
        ("connect", "give a URL"),
    ],
)
def test_wrong_line_is_reported_in_one_line_and_runs_nothing(page: Page, line: str, message: str) -> None:
    cell = page.run(f"%comfykit {line}")
    assert cell.status == "error"
    assert message in cell.error
    assert len(cell.error.strip().splitlines()) == 1
    assert not cell.bundles


def test_run_that_fails_binds_its_result_and_fails_the_cell_with_one_line(page: Page) -> None:
    cell = page.run("%comfykit run broken.json -o poor")
    assert cell.status == "error"
    assert len(cell.error.strip().splitlines()) == 1
    assert cell.error.startswith("RunFailed: broken: ")
    assert page.value("poor.status") == "'failed'"
    (bundle,) = cell.bundles
    assert "failed" in bundle["text/html"]
    assert page.value("poor.error.message[:20]").strip("'\"") not in bundle["text/html"]  # the error says it
    assert WIDGET not in bundle


def test_missing_required_value_fails_the_cell_before_it_shows_a_run(page: Page) -> None:
    text = "open('picture.json').read().replace('$width', '$width!')"
    cell = page.run(f"open('needs.json', 'w').write({text})\n%comfykit run needs.json")
    assert cell.error.strip() == "UsageError: width (Canvas): required, and no value was given"
    assert not cell.bundles


def test_run_that_is_not_sent_has_the_name_of_its_workflow(page: Page) -> None:
    cell = page.run("%comfykit run image_to_image.json image=nowhere.png")
    assert cell.error.startswith("RunFailed: image_to_image: image (")
    assert "nowhere.png" in cell.error
    assert cell.bundles[-1]["text/plain"].startswith("image_to_image: failed")


def test_failed_run_can_be_caught(page: Page) -> None:
    cell = page.run(
        "from comfykit_jupyter import RunFailed\n"
        "try:\n    %comfykit run broken.json\n"
        "except RunFailed as error:\n    print('caught', error.result.status)"
    )
    assert cell.status == "ok", cell.error
    assert cell.stdout.strip() == "caught failed"


def test_stop_button_cancels_on_the_server_and_shows_it(page: Page) -> None:
    cell = page.start(LONG + " -o stopped")
    wait_until_running(page, cell)
    page.interrupt()
    page.wait(lambda: cell.ended)
    assert cell.status == "error"
    assert cell.error.strip() == "RunFailed: text_to_image: cancelled"
    assert "cancelled" in cell.html
    assert page.value("stopped.error.kind") == "'cancelled'"
    assert is_server_idle(page)


def test_cancel_in_the_page_stops_a_busy_cell_with_the_same_line(page: Page) -> None:
    cell = page.start(LONG)
    wait_until_running(page, cell)
    page.cancel(page.model(cell))
    page.wait(lambda: cell.ended)
    assert cell.status == "error"
    assert cell.error.strip() == "RunFailed: text_to_image: cancelled"
    assert "cancelled" in cell.html
    assert is_server_idle(page)


def test_run_that_exceeds_its_timeout_is_cancelled(page: Page) -> None:
    cell = page.run(LONG + " --timeout 0.5 -o late")
    assert cell.status == "error"
    assert "not done within 0.5 s" in cell.error
    assert page.value("late.error.kind") == "'timeout'"
    assert is_server_idle(page)


def test_runs_of_many_cells_share_one_model(page: Page) -> None:
    before = set(page.models)
    for width in (8, 9, 10):
        page.run(f"%comfykit run picture.json width={width}")
    made = [page.models[id_] for id_ in set(page.models) - before]
    assert [model for model in made if "_esm" in model.state] == []


def test_status_lists_runs_and_cancel_ends_them(page: Page) -> None:
    page.run('form = kit.form("text_to_image.json", steps=3000, width=256, height=256)\nrun = form.run()')
    cell = page.run("%comfykit status")
    assert "ComfyUI" in cell.stdout
    assert "GB memory free" in cell.stdout
    prompt_id = page.value("run.prompt_id").strip("'")
    assert prompt_id in cell.stdout
    cell = page.run(f"%comfykit cancel {prompt_id[:8]}")
    assert prompt_id in cell.stdout
    caught = page.run("try:\n    run.result()\nexcept Exception as error:\n    print(error.result.error.kind)")
    assert caught.stdout.strip() == "cancelled"
    assert "nothing to cancel" in page.run("%comfykit cancel").stdout


def test_runs_that_a_kit_submitted_are_listed_and_cancelled_too(page: Page) -> None:
    page.run('run = kit.submit("text_to_image.json", steps=3000, width=256, height=256)')
    prompt_id = page.value("run.prompt_id").strip("'")
    assert prompt_id in page.run("%comfykit status").stdout
    assert prompt_id in page.run("%comfykit cancel").stdout
    caught = page.run("try:\n    run.result()\nexcept Exception as error:\n    print(error.result.error.kind)")
    assert caught.stdout.strip() == "cancelled"
    assert "nothing to cancel" in page.run("%comfykit cancel").stdout


def test_keep_applies_to_all_runs(page: Page) -> None:
    try:
        assert page.run("%comfykit keep links").stdout.strip() == "links"
        html = page.run("%comfykit run picture.json").html
        assert "data:" not in html
        assert "/view?filename=" in html
        assert page.run("%comfykit keep off").stdout.strip() == "off"
        (bundle,) = page.run("kit.run('picture.json')").bundles
        assert set(bundle) == {"text/plain", "text/html"}
        assert "href" not in bundle["text/html"]
        assert "must be one of off, links, thumbnails" in page.run("%comfykit keep pictures").error
        assert "kilobytes" in page.run("%comfykit keep thumbnails many").error
    finally:
        assert page.run("%comfykit keep thumbnails 150").stdout.strip() == "thumbnails, 150 kB a run"
    (magic,), (value,) = page.run("%comfykit run picture.json -o kept").bundles, page.run("kept").bundles
    assert magic == value
    assert magic["image/png"]


def test_params_are_a_table(page: Page) -> None:
    (bundle,) = page.run("%comfykit params picture.json").bundles
    rows = [line.split() for line in bundle["text/plain"].splitlines()]
    assert ["width", "integer", "64", "1", "…", "16384", "Canvas"] in rows
    assert ">width</div></td>" in bundle["text/html"]


def test_params_fit_a_page_of_text_and_count_the_choices(page: Page) -> None:
    (bundle,) = page.run("%comfykit params text_to_image.json").bundles
    lines = bundle["text/plain"].splitlines()
    assert max(map(len, lines)) <= 100
    names = {line.split()[0]: line for line in lines[2:]}
    count = page.value("len(next(f for f in kit.fields('text_to_image.json') if f.name == 'sampler_name').choices)")
    assert f"{count} choices: " in names["sampler_name"]
    assert "0 … 2⁶⁴−1" in names["seed"]
    assert "no diffusion model" in bundle["text/html"]


def test_workflow_can_be_an_object(page: Page) -> None:
    page.run("import json\ngraph = json.load(open('picture.json'))\n%comfykit run {graph} width=24 -o made")
    (bundle,) = page.run("%comfykit params {graph}").bundles
    assert "width" in bundle["text/plain"]
    page.run("%comfykit run {made.image} -o again")
    assert page.value("again.image.pil().size") == "(24, 48)"
    assert "{graph}" in page.run("%comfykit -h").stdout


def test_help_names_every_command(page: Page) -> None:
    for line in ("%comfykit", "%comfykit -h", "%comfykit run --help"):
        text = page.run(line).stdout
        assert all(f"%comfykit {name}" in text for name in COMMANDS)
    for line in ("%comfykit?", "%%comfykit?"):
        (page_,) = (page.run(line).reply or {})["payload"]
        assert all(f"%comfykit {name}" in page_["data"]["text/plain"] for name in COMMANDS)


def test_choices_in_a_text_are_drawn_for_each_run_of_a_magic_and_a_form(page: Page) -> None:
    size = "width=64, height=64, steps=1"
    page.run(f'%comfykit run text_to_image.json prompt="a {{red|blue}} fox" {size.replace(",", "")} -o drawn')
    page.run(f'form = kit.form("text_to_image.json", prompt="a {{red|blue}} fox", {size})')
    page.run("again = form.run().result()\nplain = kit.options(expand_choices=False)")
    for name in ("drawn", "again"):
        assert page.value(f"{name}.params['prompt'] in ('a red fox', 'a blue fox')") == "True"
        assert page.value(f"{name}.prompt['6']['inputs']['text'] == {name}.params['prompt']") == "True"
    assert page.value("form.values['prompt']") == "'a {red|blue} fox'"
    page.run(f'form = plain.form("text_to_image.json", prompt="a {{red|blue}} fox", {size})')
    assert page.value("form.run().result().params['prompt']") == "'a {red|blue} fox'"


def test_loras_are_put_in_and_wrong_ones_are_named(page: Page) -> None:
    names = [name.removesuffix(".safetensors") for name in ast.literal_eval(page.value("kit.models('loras')"))]
    stack = f"'{names[0]}:0.7,{names[1]}:0.4/0.2'"
    cell = page.run(f"%comfykit run text_to_image.json width=64 height=64 steps=2 --loras {stack} -o stacked")
    assert cell.status == "ok", cell.error
    expression = (
        "[node['inputs']['strength_clip'] for node in stacked.prompt.values() if 'lora_name' in node['inputs']]"
    )
    assert page.value(expression) == "[0.7, 0.2]"
    assert "'style' must be NAME:STRENGTH" in page.run("%comfykit run text_to_image.json --loras style").error
    assert "no LoRA 'style'" in page.run("%comfykit run text_to_image.json --loras style:1").error
