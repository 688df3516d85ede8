"""Test that editor files run, have fields and are checked, converted with the server's definitions."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, Workflow
from comfykit_jupyter.client.errors import ComfyKitError, ServerError, WorkflowError
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.nodes import NodeDefinition
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .proxy import Proxy

Graph = dict[str, Any]


def make_node(id_: int, type_: str, title: str | None = None, *values: Any, **more: Any) -> Graph:
    node: Graph = {"id": id_, "type": type_, "mode": 0, "inputs": [], "outputs": [], "widgets_values": list(values)}
    return {**node, **({} if title is None else {"title": title}), **more}


def make_file(*, canvas: str | None = "Canvas, $width, $color", save: str | None = "$output.cover") -> Graph:
    """Return `workflows.picture` as an editor file with a note and a muted branch; its run is never cached."""
    image = {"name": "images", "type": "IMAGE", "link": 1}
    out = {"name": "IMAGE", "type": "IMAGE", "links": [1]}
    return {
        "nodes": [
            make_node(1, "EmptyImage", canvas, 32, 16, 1, 255, outputs=[out]),
            make_node(2, "SaveImage", save, uuid.uuid4().hex, inputs=[image]),
            make_node(3, "Note", None, "a note"),
            make_node(4, "PreviewImage", None, mode=2, inputs=[{"name": "images", "type": "IMAGE", "link": None}]),
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "last_node_id": 4,
        "last_link_id": 1,
        "version": 0.4,
    }


async def test_editor_file_runs_with_values(either: ComfyKit, tmp_path: Path) -> None:
    path = tmp_path / "portrait.json"
    path.write_text(json.dumps(make_file()))
    result = await either.execute(path, {"width": 24})
    assert result.status == "completed", result.msg
    assert result["cover"][0].pil().size == (24, 16)
    assert result.workflow_name == "portrait"
    assert result.params == {"width": 24, "color": 255}
    assert {id_: each["class_type"] for id_, each in result.prompt.items()} == {"1": "EmptyImage", "2": "SaveImage"}


async def test_all_ways_to_run_accept_an_editor_file(kit: ComfyKit) -> None:
    assert kit.run(make_file(), width=8).image.pil().size == (8, 16)
    assert (await kit.submit(Workflow.parse(make_file()), width=8)).image.pil().size == (8, 16)
    assert (await kit.execute_json(make_file(), {"width": 8})).status == "completed"


def test_saved_image_has_prompt_and_editor_graph(kit: ComfyKit, jobs: Jobs) -> None:
    graph = make_file()
    result = kit.run(graph, width=24)
    graph["nodes"][0]["widgets_values"][0] = 24  # the editor shows the values that made the image
    again = Workflow.parse(result.image.read())
    assert (again.prompt, again.editor) == (result.prompt, graph)
    job = jobs.history(result.prompt_id or "")
    assert job is not None
    assert job["prompt"][3]["extra_pnginfo"] == {"workflow": graph}


def test_history_entry_is_a_workflow(kit: ComfyKit, jobs: Jobs) -> None:
    graph = make_file()
    result = kit.run(graph)
    entry = jobs.history(result.prompt_id or "")
    assert entry is not None
    for each in (entry, {result.prompt_id: entry}):
        again = kit.load(each)
        assert (again.prompt, again.editor) == (result.prompt, graph)


def test_editor_file_is_loaded_with_server_definitions(kit: ComfyKit) -> None:
    workflow = kit.load(make_file())
    assert workflow.resolved
    assert list(workflow.parameters) == ["width", "color"]
    assert [(field.name, field.max) for field in kit.fields(make_file())] == [("width", 16384), ("color", 0xFFFFFF)]


def test_only_definitions_of_its_classes_are_requested(make_kit: MakeKit, proxy: Proxy) -> None:
    asked: list[str] = []

    def note(request: web.Request) -> None:
        asked.append(request.path)

    proxy.answer = note
    make_kit(proxy.url).load(make_file())
    classes = {path.removeprefix("/object_info/") for path in asked if path.startswith("/object_info")}
    assert classes == {"EmptyImage", "SaveImage", "PreviewImage"}


async def test_missing_nodes_are_named_with_their_packs(kit: ComfyKit) -> None:
    graph = make_file()
    graph["nodes"][0] |= {"type": "FaceDetailer", "properties": {"cnr_id": "comfyui-impact-pack"}}
    message = r"needs nodes that the server lacks: FaceDetailer \(of comfyui-impact-pack\)"
    for read in (kit.load, kit.fields, kit.run):
        with pytest.raises(WorkflowError, match=message):
            read(graph)
    assert (await kit.execute(graph)).status == "failed"
    graph["nodes"][0]["mode"] = 2
    with pytest.raises(ComfyKitError) as caught:  # a muted node is not needed: now something else is wrong
        kit.run(graph)
    assert "FaceDetailer" not in str(caught.value)


def test_editor_file_needs_a_server(make_kit: MakeKit) -> None:
    away = make_kit("http://127.0.0.1:1")
    for read in (away.load, away.fields, away.run):
        with pytest.raises(ServerError, match="no ComfyUI server at"):
            read(make_file())


async def test_broken_graph_is_reported_in_one_line(kit: ComfyKit) -> None:
    graphs: list[Graph] = [
        {"nodes": [7]},
        {"nodes": [{}], "links": []},
        {"nodes": [make_node(1, "X"), make_node(1, "X")]},
    ]
    for broken in graphs:
        result = await kit.execute(broken)
        assert result.status == "failed"
        assert (result.msg or "").isprintable()
    only_notes = {"nodes": [make_node(1, "Note", None, "hello")], "links": []}
    assert "has no nodes that run" in ((await kit.execute(only_notes)).msg or "")


def test_obvious_inputs_are_offered_with_names_that_run_accepts(kit: ComfyKit) -> None:
    for graph in (make_file(canvas=None, save=None), kit.load(make_file(canvas=None, save=None)).prompt):
        fields = kit.fields(graph)
        names = [field.name for field in fields]
        assert names[:2] == ["width", "height"]
        assert not any("filename_prefix" in name for name in names)
        values = {field.name: field.default for field in fields}
        assert kit.run(graph, {**values, "width": 8}).image.pil().size == (8, 16)


def test_nodes_of_the_same_name_are_offered_by_what_they_feed(kit: ComfyKit) -> None:
    graph = make_file(canvas=None)
    graph["nodes"] += [
        make_node(5, "EmptyImage", None, 8, 8, 1, 0, outputs=[{"name": "IMAGE", "type": "IMAGE", "links": [2]}]),
        make_node(6, "PreviewImage", None, inputs=[{"name": "images", "type": "IMAGE", "link": 2}]),
    ]
    graph["links"].append([2, 5, 0, 6, 0, "IMAGE"])
    fields = kit.fields(graph)
    assert [field.name for field in fields][:2] == ["empty_image_save_image.width", "empty_image_save_image.height"]
    assert {field.group for field in fields} == {"Empty Image → Save Image", "Empty Image → Preview Image"}
    result = kit.run(graph, {"5.width": 4, "empty_image_save_image.width": 4})  # the address of earlier versions, too
    assert result.params["empty_image_preview_image.width"] == result.params["empty_image_save_image.width"] == 4


def test_app_shows_its_inputs_and_names_its_outputs(kit: ComfyKit) -> None:
    graph = make_file(canvas=None, save="Poster")
    graph["extra"] = {"linearMode": True, "linearData": {"inputs": [[1, "width"], ["1", "color", {}]], "outputs": [2]}}
    assert [field.name for field in kit.fields(graph)] == ["width", "color"]
    result = kit.run(graph, width=24)
    assert result["Poster"][0].pil().size == (24, 16)
    assert [field.name for field in kit.fields(result.image)] == ["width", "color"]


async def test_workflow_of_ten_thousand_nodes_loads(kit: ComfyKit) -> None:
    """The nodes are a chain of images of which none is saved."""
    out = {"name": "IMAGE", "type": "IMAGE"}
    nodes = [make_node(1, "EmptyImage", "$width", 8, 8, 1, 0, outputs=[{**out, "links": [1]}])]
    for id_ in range(2, 10_001):
        image = {"name": "image", "type": "IMAGE", "link": id_ - 1}
        nodes.append(make_node(id_, "ImageInvert", None, inputs=[image], outputs=[{**out, "links": [id_]}]))
    links = [[id_, id_, 0, id_ + 1, 0, "IMAGE"] for id_ in range(1, 10_000)]
    workflow = kit.load({"nodes": nodes, "links": links, "version": 0.4})
    assert len(workflow.prompt) == 10_000
    assert list(workflow.parameters) == ["width"]
    assert workflow.prompt["10000"]["inputs"] == {"image": ["9999", 0]}


def test_editor_file_is_saved_unchanged(sandbox: Sandbox, tmp_path: Path) -> None:
    graph = make_file()
    path = Workflow.parse(graph).save(tmp_path / "copy.json")
    assert json.loads(path.read_text(encoding="utf-8")) == graph
    kit = ComfyKit(sandbox.url)
    api = kit.load(path).save(tmp_path / "api.json")
    assert json.loads(api.read_text(encoding="utf-8"))["1"]["inputs"]["width"] == 32
    assert kit.run(api).image.pil().size == (32, 16)


def test_to_api_accepts_raw_definitions(sandbox: Sandbox) -> None:
    import httpx

    raw = httpx.get(f"{sandbox.url}/object_info").json()
    prompt = Workflow.parse(make_file()).to_api(raw)
    assert prompt["1"]["inputs"] == {"width": 32, "height": 16, "batch_size": 1, "color": 255}
    assert prompt["2"]["inputs"]["images"] == ["1", 0]
    assert Workflow.parse(workflows.picture()).to_api(raw) == workflows.picture()


async def test_input_that_needs_the_editor_is_a_warning(kit: ComfyKit) -> None:
    definitions = {"TestCamera": {"input": {"required": {"image": ["WEBCAM", {}]}}, "output": ["IMAGE"]}}
    workflow = Workflow.parse({"nodes": [make_node(1, "TestCamera", "Me")], "links": [], "version": 0.4}, "selfie")
    resolved = workflow.resolve({name: NodeDefinition.parse(name, raw) for name, raw in definitions.items()})
    assert resolved.notes
    result = await kit.execute(resolved)  # type: ignore[arg-type]
    assert result.warnings == list(resolved.notes)
