"""What a workflow's file and its values become: names, seeds, titles, odd files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import Package
from tests.client.proxy import Proxy

from .scenes import Write, posted


def test_07_a_misspelled_name_is_refused(package: Package, sandbox: Sandbox, write: Write) -> None:
    told = package.execute(sandbox.url, write(workflows.picture()), {"widht": 64})
    assert told["status"] == "failed"
    assert "did you mean 'width'" in told["msg"]


def seeded(field: str, value: int) -> workflows.Graph:
    """A node with a seed; the server takes no notice of it."""
    graph = workflows.picture()
    graph["1"]["inputs"][field] = value
    graph["1"]["_meta"]["title"] = f"Canvas, $seed.{field}"
    return graph


def test_08_a_seed_of_0_that_is_given_stays_0(package: Package, write: Write, proxy: Proxy) -> None:
    package.execute(proxy.url, write(seeded("seed", 5)), {"seed": 0})
    assert posted(proxy)["1"]["inputs"]["seed"] == 0


def test_08_a_noise_seed_that_nobody_set_is_drawn(package: Package, write: Write, proxy: Proxy) -> None:
    package.execute(proxy.url, write(seeded("noise_seed", 0)))
    assert posted(proxy)["1"]["inputs"]["noise_seed"] != 0


def test_08_a_seed_that_was_drawn_is_told(package: Package, write: Write, proxy: Proxy) -> None:
    told = package.execute(proxy.url, write(seeded("seed", 0)))
    assert told.get("seeds") == {"seed": posted(proxy)["1"]["inputs"]["seed"]}


def test_09_a_name_on_two_nodes_leaves_each_its_own_default(package: Package, write: Write, proxy: Proxy) -> None:
    graph = workflows.picture()
    graph["3"] = {**graph["1"], "inputs": {**graph["1"]["inputs"], "width": 8}}
    package.execute(proxy.url, write(graph))
    assert [posted(proxy)[node]["inputs"]["width"] for node in ("1", "3")] == [32, 8]


def test_10_markers_on_output_nodes_count(package: Package, write: Write, proxy: Proxy) -> None:
    graph = workflows.picture()
    graph["2"]["_meta"]["title"] = "Save, $name.filename_prefix, $output.cover"
    told = package.execute(proxy.url, write(graph), {"name": "portrait"})
    assert posted(proxy)["2"]["inputs"]["filename_prefix"] == "portrait"
    assert list(told["images_by_var"]) == ["cover"]


def test_11_an_optional_parameter_may_be_a_link(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.picture()
    graph["3"] = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "$image"}}
    graph["2"]["inputs"]["images"] = ["3", 0]
    told = package.execute(sandbox.url, write(graph))
    assert told["status"] == "completed", told["msg"]


def test_12_a_text_on_a_loader_is_no_file(package: Package, write: Write, proxy: Proxy) -> None:
    node = {"class_type": "VHS_LoadVideo", "inputs": {"video": "clip.mp4", "format": "None"}}
    graph = {"1": {**node, "_meta": {"title": "$mode.format"}}}
    package.execute(proxy.url, write(graph), {"mode": "AnimateDiff"})
    assert posted(proxy)["1"]["inputs"]["format"] == "AnimateDiff"


def test_27_a_file_may_be_called_by_a_number(package: Package, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "12345").write_text(json.dumps(workflows.text()))
    told = package.execute(sandbox.url, Path("12345"), folder_of_work=str(tmp_path))
    assert told["status"] == "completed", told["msg"]


def test_27_a_superscript_is_no_number_of_a_workflow(package: Package, sandbox: Sandbox) -> None:
    told = package.execute(sandbox.url, Path("²"))
    assert told["status"] == "failed"
    assert "no file" in told["msg"]


@pytest.mark.parametrize("form", ["a byte order mark", "a wrapper"])
def test_32_files_as_other_programs_write_them_are_read(
    form: str, package: Package, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "workflow.json"
    graph = workflows.text()
    if form == "a wrapper":
        path.write_text(json.dumps({"prompt": graph}))
    else:
        path.write_text(json.dumps(graph), encoding="utf-8-sig")
    told = package.execute(sandbox.url, path)
    assert told["status"] == "completed", told["msg"]


def test_33_what_is_no_workflow_is_said_so_and_a_result_shows_itself(package: Package, sandbox: Sandbox) -> None:
    told = package.play("execute_json", kit={"comfyui_url": sandbox.url}, graph={"nodes": [], "edges": []})
    assert told["status"] == "failed"
    assert "no nodes" in told["msg"] or "API format" in told["msg"]
    assert told["shown"]
