"""Test what a page does with ended runs and several runs at once: apply values, use as input, code, new seeds."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.sandbox import Sandbox

from .kernels import Model, Page, kernel
from .test_form import make_png, show_form


def run_form(page: Page, model: Model, **body: Any) -> list[str]:
    """Run the form from the page, wait for the end, and return the ids of the runs, or of one that made the same."""
    answer, _ = page.ask(model, "run", **body)
    assert "error" not in answer, answer
    ids: list[str] = answer["prompt_ids"]

    def find_ended() -> list[str]:
        if {*ids} <= {run["id"] for run in model.state["runs"]}:
            return ids
        progress = model.state["progress"]  # at first still that of the run before
        return [progress["prompt_id"]] if len(ids) == 1 and progress.get("unchanged") else []

    ended: list[str] = page.wait(find_ended)
    return ended


def find_seeds(model: Model, ids: list[str]) -> list[int]:
    """Return the seeds of runs."""
    by_id = {run["id"]: run for run in model.state["runs"]}
    return [int(by_id[id_]["seeds"]["seed"]) for id_ in ids]


def run_code(page: Page, code: str) -> str:
    """Run code of the page in the kernel, and return the hash of the image it made."""
    cell = page.run(code)
    assert cell.status == "ok", cell.error
    return page.value("__import__('hashlib').sha256(result.image.pil().tobytes()).hexdigest()")


def find_preview(model: Model, sequence: int) -> dict[str, Any] | None:
    """Return the message with the preview of this number."""
    return next((content for content, _ in model.messages if content.get("seq") == sequence), None)


SMALL = "width=128, height=128, steps=2"
HASH = "__import__('hashlib').sha256(form.result.image.pil().tobytes()).hexdigest()"


def test_values_of_a_run_are_applied_with_the_seed_that_was_drawn(page: Page) -> None:
    model = show_form(page, f'kit.form("text_to_image.json", {SMALL}, cfg=5)')
    (first,) = run_form(page, model)
    (seed,) = find_seeds(model, [first])
    page.run("form.values = {'prompt': 'something else'}")
    page.wait(lambda: model.state["values"]["cfg"] != 5)
    assert page.ask(model, "apply", run=first)[0].keys() == {"kind", "id"}
    assert page.value("form.values['cfg'], form.values['steps'], form.values['seed']") == repr((5.0, 2, seed))
    assert page.value("form.values['prompt'] == form.result.params['prompt']") == "True"
    made = page.value(HASH)
    run_form(page, model)
    assert page.value(HASH) == made


def test_output_is_used_as_an_input_and_shown_by_its_name(page: Page) -> None:
    model = show_form(
        page, f'kit.form("image_to_image.json", image=kit.run("text_to_image.json", {SMALL}).image, steps=2)'
    )
    (first,) = run_form(page, model)
    (item,) = [item for item in model.state["runs"][0]["items"] if item["kind"] == "image"]
    page.ask(model, "use", run=first, key=item["key"], name="image")
    assert model.state["values"]["image"] == f"{item['name']} [output]"
    assert page.value("form.values['image'] == form.result.image") == "True"
    answer, _ = page.ask(model, "media", run="input", key="image", size="thumb", offset=0)
    assert answer["width"] == 512
    run_form(page, model)
    assert model.state["runs"][0]["changed"]["image"] == f"{item['name']} [output]"
    for body in ({"key": "77"}, {"run": "?"}, {"name": "steps"}, {"name": "?"}):
        answer, _ = page.ask(model, "use", **{"run": first, "key": item["key"], "name": "image", **body})
        assert answer["error"]


@pytest.mark.parametrize(
    "made",
    [
        f'kit.form("text_to_image.json", {SMALL}, cfg=5.5, prompt="a \\"fox\\" \\\\ {{red|blue}}\\nsnow")',
        f'kit.form(__import__("json").load(open("text_to_image.json")), {SMALL})',
        f'kit.form(__import__("pathlib").Path("text_to_image.json"), {SMALL})',
    ],
)
def test_code_of_a_run_makes_the_same_image(page: Page, made: str) -> None:
    model = show_form(page, made)
    (first,) = run_form(page, model)
    code = page.ask(model, "code", run=first)[0]["code"]
    assert f"seed={find_seeds(model, [first])[0]}" in code
    assert "steps=2" in code
    assert "negative" not in code.partition("kit.run(")[2]
    assert "ComfyKit()" in code
    picture = page.value(HASH)
    assert run_code(page, code) == picture
    page.run("form.run()")
    page.wait(lambda: len(model.state["runs"]) == 2)
    assert page.value(HASH) != picture


def test_code_of_a_run_of_an_uploaded_image_works_in_another_kernel(page: Page, folder: Path, sandbox: Sandbox) -> None:
    model = show_form(page, 'kit.form("image_to_image.json", steps=2, seed=7)')
    data = make_png(96, 64)
    page.ask(model, "upload", [data], name="image", file="my photo.png", size=len(data), offset=0, upload="u1")
    page.wait(lambda: "image" in model.state["values"])
    (first,) = run_form(page, model)
    code, picture = page.ask(model, "code", run=first)[0]["code"], page.value(HASH)
    with kernel(folder, COMFYUI_BASE_URL=sandbox.url) as other:
        assert run_code(other, code) == picture
    with kernel(folder) as other:  # which knows of no server
        page.run(f"other = ComfyKit('http://localhost:{sandbox.url.rpartition(':')[2]}', api_key='secret-1')")
        model = show_form(page, 'other.form("picture.json", width=20)')
        (first,) = run_form(page, model)
        code = page.ask(model, "code", run=first)[0]["code"]
        assert "secret-1" not in code
        assert "api_key=" in code
        cell = other.run(code)
        assert cell.status == "ok", cell.error
        assert other.value("result.image.pil().size") == "(20, 48)"


def test_code_of_a_run_names_the_users_own_file_while_it_is_unchanged(page: Page, folder: Path) -> None:
    photo = folder / "photo.png"
    photo.write_bytes(make_png(96, 64))
    model = show_form(page, f'kit.form("image_to_image.json", image={str(photo)!r}, steps=2, seed=7)')
    (first,) = run_form(page, model)
    picture = page.value(HASH)
    assert f"image={str(photo)!r}" in page.ask(model, "code", run=first)[0]["code"]
    for gone in (False, True):
        photo.write_bytes(make_png(32, 32))
        if gone:
            photo.unlink()
        code = page.ask(model, "code", run=first)[0]["code"]
        assert str(photo) not in code
        assert run_code(page, code) == picture


def test_many_runs_have_seeds_of_their_own(page: Page) -> None:
    model = show_form(page, f'kit.form("text_to_image.json", {SMALL}, seed=5)')
    drawn = find_seeds(model, run_form(page, model, times=4, seed="random"))
    assert len({*drawn, 5}) == 5
    assert find_seeds(model, run_form(page, model, times=3, seed="increment")) == [5, 6, 7]
    assert page.value("form.values['seed']") == "5"
    page.ask(model, "set", name="seed", value=str(2**64 - 1))
    assert find_seeds(model, run_form(page, model, times=2, seed="increment")) == [2**64 - 1, 0]
    assert find_seeds(model, run_form(page, model)) == [2**64 - 1]
    page.ask(model, "set", name="seed", value="random")
    first, second = find_seeds(model, run_form(page, model, times=2, seed="increment"))
    assert second == first + 1


def test_many_runs_of_a_workflow_whose_seed_has_no_title_have_seeds_of_their_own(page: Page, folder: Path) -> None:
    workflow = json.loads((folder / "text_to_image.json").read_text())
    for node in workflow.values():
        node["_meta"]["title"] = node["_meta"]["title"].replace("$seed", "seed")
    (folder / "seedless.json").write_text(json.dumps(workflow))
    model = show_form(page, f'kit.form("seedless.json", {SMALL})')
    assert "seed" not in model.state["values"]
    ids = run_form(page, model, times=3, seed="random")
    assert len({json.dumps(run["seeds"]) for run in model.state["runs"] if run["id"] in ids}) == 3


def test_previews_are_numbered_and_their_acknowledgements_are_not_answered(page: Page) -> None:
    model = show_form(page, 'kit.form("text_to_image.json", width=256, height=256, steps=3000)')
    page.ask(model, "run")
    for count in range(1, 6):
        content = page.wait(partial(find_preview, model, count))
        page.send(model, "painted", **{name: content[name] for name in ("prompt_id", "seq")})
    for body in ({}, {"prompt_id": None, "seq": None}, {"prompt_id": content["prompt_id"], "seq": "x"}):
        page.send(model, "painted", **body)
    page.ask(model, "cancel", prompt_id=None)
    page.wait(lambda: model.state["status"] == "cancelled")
    numbers = [content["seq"] for content, _ in model.messages if content["kind"] == "preview"]
    assert numbers == list(range(1, len(numbers) + 1))
    answered = [content for content, _ in model.messages if content["kind"] == "answer"]
    assert len(answered) == 2


@pytest.mark.parametrize("times", [-1, 101, 10**9, "x"])
def test_invalid_number_of_runs_is_rejected(page: Page, times: Any) -> None:
    model = show_form(page, 'kit.form("picture.json")')
    assert page.ask(model, "run", times=times)[0]["error"]
    assert model.state["runs"] == []


@pytest.mark.parametrize("kind", ["apply", "code"])
def test_missing_run_is_reported(page: Page, kind: str) -> None:
    model = show_form(page, 'kit.form("picture.json")')
    assert "no longer available" in page.ask(model, kind, run="?")[0]["error"]


def test_forms_of_one_workflow_share_the_name_of_their_storage_and_others_do_not(page: Page, folder: Path) -> None:
    one, two = (show_form(page, f'kit.form("picture.json", width={width})') for width in (1, 2))
    other = show_form(page, 'kit.form("text_to_image.json")')
    assert one.state["storage"] == two.state["storage"]
    assert one.state["storage"].startswith("picture-")
    assert other.state["storage"] != one.state["storage"]
