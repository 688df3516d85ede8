"""Test in a real kernel that a form lists what its server lacks, refuses to run, and takes what is chosen instead."""

from __future__ import annotations

from typing import Any

from tests.client.test_missing import URL, make_graph

from .kernels import Model, Page
from .test_form import show_form, wait_for_run


def wait_for_missing(page: Page, model: Model, *names: str) -> dict[str, Any]:
    """Wait until exactly these things are missing; return them by name."""
    found = page.wait(
        lambda: (
            {item["name"]: item for item in model.state["missing"]}
            if {item["name"] for item in model.state["missing"]} == set(names)
            else None
        )
    )
    return dict(found)


def test_missing_things_are_listed_and_marked_before_the_run_and_run_is_refused(page: Page) -> None:
    model = show_form(page, f"kit.form({make_graph()!r})")
    items = wait_for_missing(page, model, "dream.safetensors", "no such cat.png")
    item = items["dream.safetensors"]
    assert (item["kind"], item["folder"], item["url"], item["host"]) == ("model", "checkpoints", URL, "models.example")
    assert item["downloadable"]
    assert item["nearest"] == "sandbox.safetensors" or item["nearest"] == ""
    assert set(model.state["errors"]) == {"checkpoint", "image"}
    answer, _ = page.ask(model, "run")
    assert "2 files are missing on 127.0.0.1" in answer["error"]
    assert model.state["runs"] == []


def test_what_the_server_has_instead_is_taken_and_runs(page: Page) -> None:
    model = show_form(page, "kit.form('text_to_image.json')")
    assert model.state["missing"] == []
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "none.safetensors"}},
        "2": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}},
        "3": {"class_type": "VAEEncode", "inputs": {"pixels": ["2", 0], "vae": ["1", 2]}},
        "4": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}},
    }
    model = show_form(page, f"kit.form({graph!r})")
    wait_for_missing(page, model, "none.safetensors")
    [choice, *_] = next(field for field in model.state["fields"] if field["name"] == "checkpoint")["choices"]
    page.ask(model, "set", name="checkpoint", value=choice)
    assert "checkpoint" not in model.state["errors"]
    page.ask(model, "run")
    wait_for_run(page, model, "completed")


def test_a_workflow_with_unknown_nodes_has_a_form_that_names_them(page: Page) -> None:
    graph = make_graph()
    graph["nodes"].append({"id": 9, "type": "GlowUp", "properties": {"cnr_id": "glow-pack"}})
    model = show_form(page, f"kit.form({graph!r})")
    items = wait_for_missing(page, model, "GlowUp", "dream.safetensors", "no such cat.png")
    assert (items["GlowUp"]["kind"], items["GlowUp"]["pack"]) == ("node", "glow-pack")
    assert "checkpoint" in {field["name"] for field in model.state["fields"]}
    answer, _ = page.ask(model, "run")
    assert "2 files and 1 node are missing" in answer["error"]


def test_a_download_needs_proof_that_the_disk_is_shared(page: Page) -> None:
    model = show_form(page, f"kit.form({make_graph()!r})")
    wait_for_missing(page, model, "dream.safetensors", "no such cat.png")
    answer, _ = page.ask(model, "download", name="dream.safetensors", url="https://elsewhere.example/x.safetensors")
    assert "look again" in answer["error"]
    page.ask(model, "download", name="dream.safetensors", url=URL)
    failed = page.wait(
        lambda: next(
            (
                item["download"]
                for item in model.state["missing"]
                if item["download"] and item["download"]["status"] == "failed"
            ),
            None,
        )
    )
    assert "does not say where its folders are" in failed["message"]


def test_a_download_that_fails_in_an_unexpected_way_is_not_shown_as_running(page: Page) -> None:
    model = show_form(page, f"form = kit.form({make_graph()!r})\nform")
    wait_for_missing(page, model, "dream.safetensors", "no such cat.png")
    page.run("async def fail(): raise ZeroDivisionError('odd')\nform._kit.install_model = lambda *_: fail()")
    page.ask(model, "download", name="dream.safetensors", url=URL)
    page.wait(
        lambda: any(
            item["download"] and (item["download"]["status"], item["download"]["message"]) == ("failed", "odd")
            for item in model.state["missing"]
        )
    )


def test_params_names_what_is_missing(page: Page) -> None:
    page.run(f"graph = {make_graph()!r}")
    text = page.run("%comfykit params {graph}").bundles[0]["text/plain"]
    assert "missing on the server: dream.safetensors (models/checkpoints), no such cat.png" in text
