"""Test the form in a real kernel, driven from Python and by the messages of a page."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter.sandbox import Sandbox
from tests.ports import find_free_port

from .kernels import WIDGET, Model, Page, kernel


def show_form(page: Page, code: str) -> Model:
    """Run a cell that makes and shows a form; the kernel calls it `form`."""
    cell = page.run(f"form = {code}\nform")
    assert cell.status == "ok", cell.error
    return page.model(cell)


def wait_for_run(page: Page, model: Model, status: str) -> dict[str, object]:
    """Wait for the newest run to end with a status; return its summary in the page."""
    page.wait(lambda: model.state["status"] == status and not model.state["waiting"])
    run: dict[str, object] = model.state["runs"][0]
    return run


def make_png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "PNG")
    return out.getvalue()


def test_form_has_a_field_for_each_parameter_with_the_bounds_of_the_server(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json", steps=12)')
    fields = {field["name"]: field for field in model.state["fields"]}
    assert fields["steps"]["min"] == 1
    assert fields["seed"]["kind"] == "seed"
    assert fields["seed"]["max"] == str(2**64 - 1)
    assert "euler" in fields["sampler_name"]["choices"]
    assert model.state["values"]["steps"] == 12
    assert model.state["values"]["seed"] == "random"
    assert model.state["server"]["state"] == "ready"
    assert (model.state["view"], model.state["status"]) == ("form", "idle")


def test_value_set_in_python_shows_in_the_page_and_a_value_set_in_the_page_in_python(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json")')
    assert page.run("form.values['steps'] = 7\nform.values['seed'] = 2**64 - 3").status == "ok"
    page.wait(lambda: model.state["values"]["steps"] == 7)
    assert model.state["values"]["seed"] == str(2**64 - 3)
    page.ask(model, "set", name="seed", value=str(2**64 - 2))
    page.ask(model, "set", name="cfg", value=5)
    assert page.value("form.values['seed'] == 2**64 - 2, form.values['cfg'], form.values['steps']") == "(True, 5.0, 7)"
    assert model.state["values"]["seed"] == str(2**64 - 2)


def test_several_values_are_set_all_or_none(page: Page) -> None:
    show_form(page, 'kit.form("picture.json", width=10)')
    cell = page.run("form.values.update(width=20, height=-1, colour=3)")
    assert cell.status == "error"
    assert "below the minimum" in cell.error
    assert "did you mean" in cell.error
    assert page.value("form.values") == "{'width': 10, 'height': 48, 'color': 255}"
    page.run("form.values = {'height': 30}")
    assert page.value("form.values") == "{'width': 64, 'height': 30, 'color': 255}"
    page.run("del form.values['height']")
    assert page.value("form.values['height']") == "48"
    page.run("form.values['height'] = '30'")
    assert page.value("form.values['height']") == "30"
    page.run("form.values['height'] = None")  # the workflow's own value
    assert page.value("form.values['height']") == "48"


def test_observers_get_the_new_and_the_old_values(page: Page) -> None:
    model = show_form(page, 'kit.form("picture.json")')
    page.run("seen = []")
    page.run("form.observe(lambda change: seen.append((change.old['width'], change.new['width'])), 'values')")
    page.run("form.values['width'] = 11\nform.values['width'] = 11")
    page.ask(model, "set", name="width", value=12)
    page.ask(model, "set", name="width", reset=True)
    assert page.value("seen") == "[(64, 11), (11, 12), (12, 64)]"


def test_wrong_value_from_the_page_is_rejected_shown_at_its_field_and_never_run(page: Page) -> None:
    model = show_form(page, 'kit.form("picture.json")')
    answer, _ = page.ask(model, "set", name="width", value="many")
    assert "give an integer" in answer["error"]
    assert "give an integer" in model.state["errors"]["width"]
    answer, _ = page.ask(model, "run")
    assert "give an integer" in answer["error"]
    assert page.value("form.values['width']") == "64"
    page.ask(model, "set", name="width", value=20)
    assert model.state["errors"] == {}
    assert "error" not in page.ask(model, "run")[0]
    wait_for_run(page, model, "completed")


def test_run_from_the_page_ends_with_outputs_in_page_python_and_notebook(page: Page) -> None:
    cell = page.run('form = kit.form("picture.json", width=40)\nform')
    model = page.model(cell)
    assert [WIDGET in bundle for bundle in cell.bundles] == [True, False]
    assert cell.bundles[0]["text/plain"] == ""  # it would be out of date in the saved notebook
    answer, _ = page.ask(model, "run")
    run = wait_for_run(page, model, "completed")
    assert run["id"] == answer["prompt_id"]
    assert run["changed"] == {"width": 40}
    (item,) = model.state["runs"][0]["items"]
    assert (item["kind"], item["var"], item["mime"]) == ("image", "picture", "image/png")
    thumb, (data,) = page.ask(model, "media", run=run["id"], key=item["key"], size="thumb", offset=0)
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    assert (thumb["width"], thumb["height"]) == (40, 48)
    full, (data,) = page.ask(model, "media", run=run["id"], key=item["key"], size="full", offset=0)
    assert full["total"] == len(data)
    assert Image.open(io.BytesIO(data)).size == (40, 48)
    assert page.value("form.status, form.result.image.pil().size") == "('completed', (40, 48))"
    page.wait(lambda: "data:image/webp" in cell.html)
    assert 'class="ck-static"' in cell.html
    page.ask(model, "discard", run=run["id"])
    assert model.state["runs"] == []
    page.ask(model, "discard", run=run["id"], restore=True)
    assert model.state["runs"][0]["items"] == [item]
    answer, _ = page.ask(model, "media", run="another", key=item["key"], size="full", offset=0)
    assert "no longer available" in answer["error"]


def test_run_is_cancelled_before_the_form_shows_it(page: Page) -> None:
    show_form(page, 'kit.form("text_to_image.json", steps=3000, width=256, height=256)')
    page.run("from threading import Event; from comfykit_jupyter.notebook.page.writer import writer; held = Event()")
    cell = page.run("writer.post(held.wait)\nrun = form.run()\nform.cancel()\nheld.set()\nrun.result(20)")
    page.run("run.cancel()")
    assert "RunFailed" in cell.error
    assert "cancelled" in cell.error


def test_cell_that_waits_for_a_run_ends_with_its_static_output(page: Page) -> None:
    cell = page.run('form = kit.form("picture.json", width=40)\nform')
    slow = (
        "import time; from comfykit_jupyter.notebook.page import display; build = display.build_result_bundle\n"
        "display.build_result_bundle = lambda *given: (time.sleep(0.3), build(*given))[1]\n"
    )
    try:
        assert page.run(f"{slow}form.run().result()").status == "ok"
        assert "data:image/webp" in cell.html  # nbclient drops what is displayed between two cells
    finally:
        page.run("display.build_result_bundle = build")


def test_large_outputs_are_sent_in_pieces(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json", width=1024, height=1024, steps=1, seed=1)')
    page.ask(model, "run")
    run = wait_for_run(page, model, "completed")
    data, total = b"", 1
    while len(data) < total:
        answer, (piece,) = page.ask(model, "media", run=run["id"], key="0", size="full", offset=len(data))
        total = answer["total"]
        assert 0 < len(piece) <= 1024 * 1024
        data += piece
    assert total > 1024 * 1024
    assert Image.open(io.BytesIO(data)).size == (1024, 1024)


def test_python_runs_what_the_page_shows_and_the_page_follows(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json", steps=20, width=128, height=128, seed=1)')
    page.run("seen = []\nform.observe(lambda change: seen.append((change.new, form.result)), 'status')")
    page.run("result = form.run().result()")
    wait_for_run(page, model, "completed")
    assert page.value("result.status, result.seeds") == "('completed', {'seed': 1})"
    assert any(message[0]["kind"] == "preview" for message in model.messages)
    assert page.value("seen[0][0] in ('queued', 'running'), seen[-1][0]") == "(True, 'completed')"
    assert page.value("seen[-1][1] is result, form.progress['fraction']") == "(True, 1.0)"


def test_runs_wait_behind_the_one_on_the_stage_and_are_cancelled_alone(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json", steps=3000, width=256, height=256)')
    first = page.ask(model, "run")[0]["prompt_id"]
    page.wait(lambda: model.state["status"] == "running")
    second = page.ask(model, "run")[0]["prompt_id"]
    page.wait(lambda: [waiting["id"] for waiting in model.state["waiting"]] == [second])
    assert model.state["progress"]["prompt_id"] == first
    page.ask(model, "cancel", prompt_id=second)
    page.wait(lambda: not model.state["waiting"])
    assert model.state["status"] == "running"
    assert (model.state["runs"][0]["id"], model.state["runs"][0]["status"]) == (second, "cancelled")
    page.ask(model, "cancel", prompt_id=None)
    run = wait_for_run(page, model, "cancelled")
    assert run["id"] == first
    assert page.value("(lambda s: (s.running, s.pending))(kit.server())") == "(0, 0)"


def test_view_that_loads_later_gets_the_newest_preview(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json", steps=3000, width=256, height=256)')
    page.ask(model, "run")
    page.wait(lambda: any(message[0]["kind"] == "preview" for message in model.messages))
    page.wait(lambda: model.state["server"]["state"] == "busy")
    model.messages.clear()
    page.ask(model, "hello")
    assert {"server", "preview"} <= {content["kind"] for content, _ in model.messages}
    page.ask(model, "cancel", prompt_id=None)
    wait_for_run(page, model, "cancelled")
    page.wait(lambda: model.state["server"]["state"] == "ready")


def test_image_is_uploaded_in_pieces_and_used(page: Page, folder: Path) -> None:
    data = make_png(300, 200) + b"\0" * (2 * 1024 * 1024)
    model = show_form(page, 'kit.form("image_to_image.json", steps=2)')
    value = None
    for offset in (0, 2 * 1024 * 1024, 1024 * 1024):
        piece = data[offset : offset + 1024 * 1024]
        answer, _ = page.ask(
            model, "upload", [piece], name="image", file="../my photo.png", size=len(data), offset=offset, upload="u1"
        )
        assert "error" not in answer, answer
        value = answer.get("value", value)
    page.wait(lambda: model.state["values"].get("image") == value)
    assert Path(str(value)).name == "my photo.png"
    assert Path(str(value)).read_bytes() == data
    answer, _ = page.ask(model, "media", run="input", key="image", size="thumb", offset=0)
    assert (answer["width"], answer["height"]) == (300, 200)
    page.ask(model, "run")
    wait_for_run(page, model, "completed")


def test_image_set_in_python_becomes_a_file_that_the_page_can_show(page: Page) -> None:
    page.run("from PIL import Image\npicture = Image.linear_gradient('L').resize((90, 60))")
    model = show_form(page, 'kit.form("image_to_image.json", image=picture, steps=2)')
    answer, _ = page.ask(model, "media", run="input", key="image", size="thumb", offset=0)
    assert (answer["width"], answer["height"]) == (90, 60)
    page.run("form.run().result()")
    wait_for_run(page, model, "completed")


def test_image_on_the_server_is_shown_by_its_name_there(page: Page) -> None:
    page.run("from PIL import Image\nred = Image.new('RGB', (90, 60), 'red')")
    page.run("name = kit.run('image_to_image.json', image=red, steps=1).params['image']")
    model = show_form(page, 'kit.form("image_to_image.json", image=name)')
    answer, _ = page.ask(model, "media", run="input", key="image", size="thumb", offset=0)
    assert (answer["width"], answer["height"]) == (90, 60)
    for name in ("no such file.png", "../secret.png", "http://127.0.0.1:9/x.png"):
        page.ask(model, "set", name="image", value=name)
        answer, buffers = page.ask(model, "media", run="input", key="image", size="thumb", offset=0)
        assert answer["error"]
        assert buffers == []


def test_form_that_has_not_run_has_a_static_description(page: Page) -> None:
    cell = page.run('form = kit.form("picture.json", width=40)\nform')
    static = cell.bundles[1]
    for text in (static["text/plain"], static["text/html"]):
        assert "picture · width = 40 · height = 48 · color = 255" in text
        assert (
            "No form above? This page shows no widgets. Run the workflow with: %comfykit run picture.json NAME=VALUE"
            in text
        )
    assert "width = 41" in page.run("form.values['width'] = 41\nform").bundles[1]["text/plain"]
    assert "width = 42" in page.run("%comfykit form picture.json width=42").bundles[1]["text/plain"]


def test_no_local_folder_is_sent_to_the_page(page: Page) -> None:
    model = show_form(page, 'kit.form("image_to_image.json")')
    data = b"this is not an image"
    page.ask(model, "upload", [data], name="image", file="my photo.png", size=len(data), offset=0, upload="u9")
    page.wait(lambda: "image" in model.state["values"])
    answer, _ = page.ask(model, "media", run="input", key="image", size="thumb", offset=0)
    assert answer["error"] == "my photo.png: the image can't be read: it is not an image in a known format"
    page.run("import pathlib\npathlib.Path(form.values['image']).unlink()")
    page.ask(model, "run")
    page.wait(lambda: "image" in model.state["errors"])
    assert "my photo.png" in model.state["errors"]["image"]
    assert "/tmp" not in json.dumps([model.state["errors"], model.state["runs"]])


def test_result_of_a_form_can_be_read_when_its_run_has_ended(page: Page) -> None:
    show_form(page, 'kit.form("picture.json")')
    assert page.value("[form.run().result() is form.result for _ in range(20)]") == repr([True] * 20)


@pytest.mark.parametrize("raises", [True, False])
def test_missing_file_is_reported_at_its_field(page: Page, raises: bool) -> None:
    form = f'kit.options(raise_on_error={raises}).form("image_to_image.json", image="no such file.png")'
    model = show_form(page, form)
    page.ask(model, "run")
    page.wait(lambda: "image" in model.state["errors"])
    assert "no such file.png" in model.state["errors"]["image"]
    page.wait(lambda: model.state["status"] == "idle")
    # Nothing was sent, so no run has failed, not even for a moment.
    assert "failed" not in [change.get("status") for change in model.history]
    assert model.state["runs"] == []


def test_missing_required_value_is_reported_at_its_field(page: Page) -> None:
    model = show_form(page, 'kit.form("image_to_image.json")')
    page.ask(model, "run")
    page.wait(lambda: "image" in model.state["errors"])
    # Nothing was sent, so no run has failed.
    page.wait(lambda: model.state["status"] == "idle")
    assert model.state["runs"] == []


def test_file_of_another_kind_is_rejected(page: Page) -> None:
    model = show_form(page, 'kit.form("image_to_image.json")')
    for file, error in (("notes.txt", "notes.txt is not an image file"), ("photo.unknown", None)):
        answer, _ = page.ask(model, "upload", [b"x"], name="image", file=file, size=1, offset=0, upload=file)
        assert answer.get("error") == error


def test_ping_is_answered(page: Page) -> None:
    model = show_form(page, 'kit.form("picture.json")')
    assert page.ask(model, "ping")[0].keys() == {"kind", "id"}


def test_local_file_that_only_the_workflow_names_is_not_read(page: Page, folder: Path) -> None:
    secret = folder / "secret.png"
    secret.write_bytes(make_png(8, 8))
    workflow = json.loads((folder / "image_to_image.json").read_text())
    loader = next(node for node in workflow.values() if node["class_type"] == "LoadImage")
    loader["inputs"]["image"], loader["_meta"]["title"] = str(secret), "$image.~image"
    (folder / "nosy.json").write_text(json.dumps(workflow))
    model = show_form(page, 'kit.form("nosy.json")')
    answer, buffers = page.ask(model, "media", run="input", key="image", size="full", offset=0)
    assert "is not a valid file name on the server" in answer["error"]
    assert buffers == []


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "set", "name": "no such field", "value": 1},
        {"kind": "set", "name": "width"},
        {"kind": "media", "run": "?", "key": "0"},
        {"kind": "media", "run": "input", "key": "width"},
        {"kind": "media", "run": "input", "key": "?"},
        {"kind": "media"},
        {"kind": "upload", "name": "width", "file": "x", "size": 1, "offset": 0, "upload": "u"},
        {"kind": "upload"},
        {"kind": "discard"},
        {"kind": "choices"},
    ],
)
def test_invalid_message_is_answered_with_an_error(page: Page, message: dict[str, Any]) -> None:
    model = show_form(page, 'kit.form("picture.json")')
    body = {name: value for name, value in message.items() if name != "kind"}
    answer, _ = page.ask(model, str(message["kind"]), **body)
    assert answer["error"]


@pytest.mark.parametrize("kind", ["[]", "{}", "None", "7", "'no such kind'", "['hello']"])
def test_message_of_an_unknown_kind_is_ignored(page: Page, kind: str) -> None:
    show_form(page, 'kit.form("picture.json")')
    cell = page.run(f"form._on_message(form, {{'kind': {kind}, 'id': '1'}}, [])")
    assert cell.status == "ok", cell.error


def test_page_cannot_set_traits(page: Page) -> None:
    model = show_form(page, 'kit.form("picture.json")')
    page.update(model, {"values": {"width": -1}, "status": "completed", "title": "<b>"})
    page.ask(model, "hello")
    assert page.value("form.values['width'], form.status, form.title") == "(64, 'idle', 'picture')"


def test_closed_form_leaves_its_runs_in_the_notebook(page: Page) -> None:
    cell = page.run('form = kit.form("picture.json")\nform')
    model = page.model(cell)
    page.run("form.run().result()")
    page.wait(lambda: "data:image/webp" in cell.html)
    page.run("form.close()")
    page.wait(lambda: model.closed)
    again = page.run("form")
    assert not any(WIDGET in bundle for bundle in again.bundles)
    assert "data:image/webp" in again.html


def test_form_without_a_server_says_so_and_finds_it_when_it_starts(folder: Path) -> None:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    with kernel(folder, COMFYUI_BASE_URL=url) as page:
        model = show_form(page, '__import__("comfykit_jupyter").ComfyKit().form("text_to_image.json", steps=3)')
        assert model.state["server"]["state"] == "unreachable"
        assert url in model.server["message"]
        assert url.partition("://")[2] not in str(model.state)
        fields = {field["name"]: field for field in model.state["fields"]}
        assert fields["steps"]["default"] == 20
        page.ask(model, "set", name="steps", value=4)
        with Sandbox(port=port):
            page.ask(model, "hello")
            page.wait(lambda: model.state["server"]["state"] == "ready")
            page.wait(lambda: {field["name"]: field for field in model.state["fields"]}["steps"]["min"] == 1)
            assert model.state["values"]["steps"] == 4


SLOW = """
import time
from pathlib import Path
from comfykit_jupyter.notebook.page import display as shown
from comfykit_jupyter.notebook.widget.form.parameters import FormParameters
quick, load = shown.WAIT_SECONDS, FormParameters.load
def load_slowly(self):
    while not Path("answer").exists():
        time.sleep(0.01)
    return load(self)
shown.WAIT_SECONDS, FormParameters.load = 0, load_slowly
"""


def test_cell_says_that_it_waits_for_a_slow_server_until_the_form_is_there(page: Page, folder: Path) -> None:
    page.run(SLOW)
    cell = page.start("kit.form('picture.json')")
    page.wait(lambda: "Asking the server" in cell.html)
    (folder / "answer").touch()
    page.wait(lambda: cell.ended)
    assert page.model(cell).state["fields"]
    assert "Asking the server" not in cell.html
    page.run("shown.WAIT_SECONDS, FormParameters.load = quick, load")
