"""Test defects of workflow files and values: names, seeds, titles, unusual files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import Package
from tests.client.proxy import Proxy

from .scenes import Write, get_posted_prompt


def test_07_misspelled_name_is_reported(package: Package, sandbox: Sandbox, write: Write) -> None:
    result = package.execute(sandbox.url, write(workflows.picture()), {"widht": 64})
    assert result["status"] == "completed"
    assert "did you mean 'width'" in " ".join(result.get("warnings", []))


def make_seeded_workflow(field: str, value: int) -> workflows.Graph:
    """Return a workflow with a seed input, which the server ignores."""
    graph = workflows.picture()
    graph["1"]["inputs"][field] = value
    graph["1"]["_meta"]["title"] = f"Canvas, $seed.{field}"
    return graph


def test_08_explicit_seed_of_0_is_kept(package: Package, write: Write, proxy: Proxy) -> None:
    package.execute(proxy.url, write(make_seeded_workflow("seed", 5)), {"seed": 0})
    assert get_posted_prompt(proxy)["1"]["inputs"]["seed"] == 0


def test_08_default_noise_seed_of_0_is_replaced(package: Package, write: Write, proxy: Proxy) -> None:
    package.execute(proxy.url, write(make_seeded_workflow("noise_seed", 0)))
    assert get_posted_prompt(proxy)["1"]["inputs"]["noise_seed"] != 0


def test_08_random_seed_is_reported(package: Package, write: Write, proxy: Proxy) -> None:
    result = package.execute(proxy.url, write(make_seeded_workflow("seed", 0)))
    assert result.get("seeds") == {"seed": get_posted_prompt(proxy)["1"]["inputs"]["seed"]}


def test_09_shared_name_keeps_each_nodes_default(package: Package, write: Write, proxy: Proxy) -> None:
    graph = workflows.picture()
    graph["3"] = {**graph["1"], "inputs": {**graph["1"]["inputs"], "width": 8}}
    package.execute(proxy.url, write(graph))
    assert [get_posted_prompt(proxy)[node]["inputs"]["width"] for node in ("1", "3")] == [32, 8]


def test_10_markers_on_output_nodes_are_read(package: Package, write: Write, proxy: Proxy) -> None:
    graph = workflows.picture()
    graph["2"]["_meta"]["title"] = "Save, $name.filename_prefix, $output.cover"
    result = package.execute(proxy.url, write(graph), {"name": "portrait"})
    assert get_posted_prompt(proxy)["2"]["inputs"]["filename_prefix"] == "portrait"
    assert list(result["images_by_var"]) == ["cover"]


def test_11_optional_parameter_can_be_a_link(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.picture()
    graph["3"] = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "$image"}}
    graph["2"]["inputs"]["images"] = ["3", 0]
    result = package.execute(sandbox.url, write(graph))
    assert result["status"] == "completed", result["msg"]


def test_12_text_input_of_a_loader_is_not_a_file(package: Package, write: Write, proxy: Proxy) -> None:
    node = {"class_type": "VHS_LoadVideo", "inputs": {"video": "clip.mp4", "format": "None"}}
    graph = {"1": {**node, "_meta": {"title": "$mode.format"}}}
    package.execute(proxy.url, write(graph), {"mode": "AnimateDiff"})
    assert get_posted_prompt(proxy)["1"]["inputs"]["format"] == "AnimateDiff"


def test_27_file_name_can_be_a_number(package: Package, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "12345").write_text(json.dumps(workflows.text()))
    result = package.execute(sandbox.url, Path("12345"), folder_of_work=str(tmp_path))
    assert result["status"] == "completed", result["msg"]


def test_27_superscript_digit_is_not_a_workflow_id(package: Package, sandbox: Sandbox) -> None:
    result = package.execute(sandbox.url, Path("²"))
    assert result["status"] == "failed"
    assert "no file" in result["msg"]


@pytest.mark.parametrize("form", ["a byte order mark", "a wrapper"])
def test_32_bom_and_wrapper_are_accepted(form: str, package: Package, sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "workflow.json"
    graph = workflows.text()
    if form == "a wrapper":
        path.write_text(json.dumps({"prompt": graph}))
    else:
        path.write_text(json.dumps(graph), encoding="utf-8-sig")
    result = package.execute(sandbox.url, path)
    assert result["status"] == "completed", result["msg"]


def test_33_invalid_workflow_says_so_and_results_have_a_display(package: Package, sandbox: Sandbox) -> None:
    result = package.play("execute_json", kit={"comfyui_url": sandbox.url}, graph={"nodes": [], "edges": []})
    assert result["status"] == "failed"
    assert "no nodes" in result["msg"] or "API format" in result["msg"]
    assert result["shown"]
