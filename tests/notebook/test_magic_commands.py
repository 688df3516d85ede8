"""Test `%%comfykit` with a body, `--dry-run`, and the commands about a server, in the cells of a real kernel."""

from __future__ import annotations

import re

import pytest

from .kernels import WIDGET, Page

BEGUN = """
import threading
begun = threading.Event()
stop = run.subscribe(progress=lambda progress: progress.status == 'running' and begun.set())
assert run.status == 'running' or begun.wait(20)
"""
"""Waits for `run` to begin."""


def split_rows(text: str) -> list[list[str]]:
    """Split the rows of a table in text into columns."""
    return [re.split(r"  +", line) for line in text.splitlines()]


def test_body_of_lines_gives_values(page: Page) -> None:
    cell = page.run(
        "%%comfykit run text.json -o written\n# what to write\nsubject: |\n    a {red|blue} cat,\n    seen twice: 1\n"
        "style: {6 * 7 and 'oil'}"
    )
    assert cell.status == "ok", cell.error
    assert page.value("written.params") == repr(
        {"subject": "a {red|blue} cat,\nseen twice: 1", "style": "oil", "delimiter": ", "}
    )


def test_body_of_json_gives_values_in_their_types(page: Page) -> None:
    cell = page.run('%%comfykit run picture.json height=33 -o sized\n{"width": 32}')
    assert cell.status == "ok", cell.error
    assert page.value("sized.image.pil().size") == "(32, 33)"
    assert "give an integer" in page.run('%%comfykit run picture.json\n{"width": "wide"}').error


def test_form_accepts_a_body(page: Page) -> None:
    cell = page.run("%%comfykit form picture.json -o form\nwidth: 40\n")
    assert cell.status == "ok", cell.error
    assert page.value("form.values['width']") == "40"
    page.run("form.close()")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("run picture.json\nwidth 3", "line 2: expected `name: value`, not 'width 3'"),
        ("run picture.json width=3\nwidth: 3", "'width' is given both in the first line and below it"),
        ("run picture.json\nwidht: 3", "did you mean 'width'?"),
        ("status\nwidth: 3", "status takes no values"),
        ("run picture.json --dry-run=yes", "--dry-run takes no value"),
        ("history many", "'many'"),
        ("history 0", "1000"),
        ("models chekpoints", "did you mean checkpoints?"),
        ("attach", "give a prompt ID"),
    ],
)
def test_wrong_cell_is_reported_in_one_line(page: Page, cell: str, message: str) -> None:
    ran = page.run(f"{'%%' if chr(10) in cell else '%'}comfykit {cell}")
    assert ran.status == "error"
    assert message in ran.error
    assert len(ran.error.strip().splitlines()) == 1


def test_dry_run_shows_what_differs_from_the_file_and_sends_nothing(page: Page) -> None:
    before = page.value("len(kit.history(1000)), len(kit.queue())")
    (bundle,) = page.run("%comfykit run picture.json width=32 height=48 --dry-run").bundles
    title, head, *changes = split_rows(bundle["text/plain"])
    assert "nothing was sent: picture would go to the server" in title[0]
    assert "with 1 input changed" in title[0]
    assert head == ["node", "input", "in the file", "would be sent"]
    assert changes == [["Canvas", "width", "64", "32"]]
    assert re.findall(r"<td><div[^>]*>(.*?)</div></td>", bundle["text/html"])[1:4] == ["width", "64", "32"]
    assert page.value("len(kit.history(1000)), len(kit.queue())") == before


def test_dry_run_names_files_and_seeds_and_fails_where_the_run_would(page: Page) -> None:
    page.run("%comfykit run picture.json -o first\nfirst.image.save('given.png')")
    (bundle,) = page.run("%comfykit run image_to_image.json image=given.png seed=random --dry-run").bundles
    assert re.search(r"image +.*upload of given.png, [\d,]+ bytes", bundle["text/plain"])
    assert re.search(r"seed +.*a seed drawn for each run", bundle["text/plain"])
    (bundle,) = page.run("%comfykit run image_to_image.json image={first.image} --dry-run").bundles
    assert "which the server has" in bundle["text/plain"]
    assert "no file 'gone.png'" in page.run("%comfykit run image_to_image.json image=gone.png --dry-run").error


def test_variables_with_a_dollar_are_explained_and_dollars_in_prompts_are_text(page: Page) -> None:
    error = page.run("graph = 'picture.json'\n%comfykit run $graph --dry-run").error
    assert "no file $graph in" in error
    assert error.strip().endswith("(for the variable graph, write {graph})")
    assert "(for" not in page.run("%comfykit run $nowhere --dry-run").error
    assert page.run("%comfykit run text_to_image.json prompt=$graph --dry-run").error == ""


def test_queue_the_history_and_the_models_are_tables(page: Page) -> None:
    page.run(
        "%comfykit run picture.json width=33 -o first\nrun = kit.submit('text_to_image.json', steps=3000)\n" + BEGUN
    )
    ended, going = (page.value(f"{name}.prompt_id").strip("'") for name in ("first", "run"))
    queue = page.run("%comfykit queue").bundles[0]
    assert "1 running, 0 queued" in queue["text/plain"]
    assert ["running", going] in [row[:2] for row in split_rows(queue["text/plain"])]
    page.run("run.cancel()")
    history = page.run("%comfykit history 5").bundles[0]
    (row,) = [row for row in split_rows(history["text/plain"]) if ended in row]
    assert row[1] == "completed"
    assert "width = 33" in row[-1]
    assert len(page.run("%comfykit history 1").bundles[0]["text/plain"].splitlines()) == 3
    folders = page.run("%comfykit models").bundles[0]["text/plain"]
    assert "checkpoints" in folders.splitlines()
    models = page.run("%comfykit models checkpoints").bundles[0]
    assert page.value("kit.models('checkpoints')[0]").strip("'") in models["text/plain"]


def test_attach_shows_a_run_that_has_ended_and_binds_it(page: Page) -> None:
    page.run("%comfykit run picture.json width=34 -o first")
    prompt_id = page.value("first.prompt_id").strip("'")
    cell = page.run(f"%comfykit attach {prompt_id} -o again")
    assert cell.status == "ok", cell.error
    assert page.value("again.image == first.image, again.params['width']") == "(True, 34)"
    (bundle,) = cell.bundles
    assert WIDGET not in bundle
    assert "data:image/webp" in bundle["text/html"]
    gone = page.run("%comfykit attach no-such-run")
    assert "RunFailed: run no-such…: " in gone.error
    assert "does not know the job" in gone.error


def test_stop_button_leaves_an_attached_run_which_keeps_running(page: Page) -> None:
    page.run("run = kit.submit('text_to_image.json', steps=3000, width=256, height=256)\n" + BEGUN)
    prompt_id = page.value("run.prompt_id").strip("'")
    cell = page.start(f"%comfykit attach {prompt_id}")
    model = page.model(cell)
    page.wait(lambda: model.state["status"] == "running")
    page.interrupt()
    page.wait(lambda: cell.ended)
    assert "keeps running" in cell.error
    assert "keeps running" in cell.html
    assert WIDGET not in cell.bundles[0]
    assert page.value("run.done") == "False"
    assert page.complete(f"%comfykit cancel {prompt_id[:8]}") == [f"%comfykit cancel {prompt_id}"]
    assert prompt_id in page.run(f"%comfykit cancel {prompt_id}").stdout
    page.run("try:\n    run.result()\nexcept Exception as error:\n    print(error)")
    assert page.run("%comfykit run picture.json").status == "ok"


def test_several_servers(page: Page) -> None:
    page.run("from comfykit_jupyter import ComfyKit\nfrom comfykit_jupyter.sandbox import Sandbox")
    page.run("two = Sandbox().start()")
    url, other = page.value("ComfyKit().comfyui_url")[1:-1], page.value("two.url")[1:-1]
    try:
        said = page.run(f"%comfykit connect {url} {other}").stdout
        assert f" at {url}\n" in said
        assert f" at {other}" in said
        assert page.value("ComfyKit().servers == ComfyKit().servers") == "True"  # they keep their connections
        assert page.run("%comfykit run picture.json width=33 height=33 -o ran").status == "ok"
        assert other in page.run("%comfykit status").stdout
        assert split_rows(page.run("%comfykit history 2").bundles[0]["text/plain"])[1][-1] == "server"
        assert split_rows(page.run("%comfykit models").bundles[0]["text/plain"])[2][-1] == "all"
        page.run("form = ComfyKit().form('picture.json')\nsaid = form.run().result()")
        assert page.value("form._address['address']") == "'2 servers'"
        assert page.value("[each['state'] for each in form._address['servers']]") == "['ready', 'ready']"
        page.run("form.close()")
    finally:
        page.run(f"%comfykit connect {url}\ntwo.stop()")
