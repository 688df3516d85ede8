"""Test `kit.check`: it finds every problem that the server would find, and sends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client import loop
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .mutations import fix_choices, mutate
from .proxy import Proxy
from .verdicts import Server

ROOT = Path(__file__).parents[2]
SHELF = sorted((ROOT / "notebooks/workflows").glob("*.json"))
TEMPLATES = ROOT / "../shared/data/comfyui/0.33.0/ui_to_api"


def list_problems(report: Any) -> list[tuple[str, str | None, str | None]]:
    return [(each.kind, each.node_id, each.field) for each in report.problems]


async def test_valid_workflow_is_ok(kit: ComfyKit) -> None:
    report = await kit.check(workflows.picture(), {"width": 64})
    assert report.ok
    assert report.problems == ()
    assert report.outputs == ("2",)
    assert str(report) == f"workflow: no problems found for {kit.comfyui_url}"


async def test_nothing_is_sent_to_the_server(proxy: Proxy, make_kit: MakeKit, tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"not even a picture")
    report = await make_kit(proxy.url).check(workflows.inverted(), {"image": picture})
    assert report.ok, report
    assert {seen.method for seen in proxy.seen} <= {"GET", "HEAD"}
    assert "/ws" not in {seen.path for seen in proxy.seen}


async def test_all_problems_are_reported_with_node_and_input(kit: ComfyKit) -> None:
    graph = workflows.picture()
    graph["1"]["inputs"]["batch_size"] = 0
    graph["1"]["inputs"].pop("height")
    graph["2"]["inputs"]["images"] = ["1", 4]
    report = await kit.check(graph, {"colour": 1})
    assert not report.ok
    assert list_problems(report) == [
        ("value", None, None),
        ("required_input_missing", "1", "height"),
        ("value_smaller_than_min", "1", "batch_size"),
        ("linked_output_missing", "2", "images"),
    ]
    graph["2"]["inputs"]["images"] = ["1", 0]
    report = await kit.check(graph)
    assert list_problems(report) == [
        ("required_input_missing", "1", "height"),
        ("value_smaller_than_min", "1", "batch_size"),
    ]
    assert str(report).splitlines()[0] == "workflow: 2 problems"
    assert "batch_size (Canvas, node 1): 0 is below the minimum 1" in str(report)


WRONG: dict[str, tuple[dict[str, Any], tuple[str, str, str | None]]] = {
    "unknown class": ({"9": {"class_type": "Nowhere", "inputs": {}}}, ("missing_node_type", "9", None)),
    "text instead of a number": (
        {"1": {"class_type": "EmptyImage", "inputs": {"width": "wide", "height": 8, "batch_size": 1, "color": 0}}},
        ("invalid_input_type", "1", "width"),
    ),
    "link to a missing node": (
        {"2": {"class_type": "SaveImage", "inputs": {"images": ["77", 0], "filename_prefix": "x"}}},
        ("linked_node_missing", "2", "images"),
    ),
    "malformed link": (
        {"2": {"class_type": "SaveImage", "inputs": {"images": ["1"], "filename_prefix": "x"}}},
        ("bad_linked_input", "2", "images"),
    ),
    "link of another type": (
        {"2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "x"}}},
        ("return_type_mismatch", "2", "audio"),
    ),
    "unknown choice": (
        {
            "3": {"class_type": "ImageScaleBy", "inputs": {"image": ["1", 0], "upscale_method": "x", "scale_by": 1.0}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}},
        },
        ("value_not_in_list", "3", "upscale_method"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_the_server_would_reject_is_reported(name: str, kit: ComfyKit) -> None:
    changes, expected = WRONG[name]
    report = await kit.check({**workflows.picture(), **changes})
    assert list_problems(report) == [expected]
    assert report.outputs == ()
    assert "\n" not in report.problems[0].message


async def test_misspelled_class_gets_a_suggestion(kit: ComfyKit) -> None:
    report = await kit.check({"1": {"class_type": "SaveImagge", "inputs": {}}})
    assert "did you mean SaveImage?" in report.problems[0].message


async def test_cycle_is_found(kit: ComfyKit) -> None:
    graph = workflows.inverted()
    graph["1"] = {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}}
    report = await kit.check(graph)
    assert {each.kind for each in report.problems} == {"dependency_cycle"}
    assert {each.node_id for each in report.problems} == {"1", "2"}


async def test_workflow_without_outputs_is_reported(kit: ComfyKit) -> None:
    report = await kit.check({"1": workflows.picture()["1"]})
    assert [each.kind for each in report.problems] == ["prompt_no_outputs"]


async def test_partly_valid_workflow_reports_which_outputs_run(kit: ComfyKit) -> None:
    graph = workflows.picture()
    graph["3"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}
    report = await kit.check(graph)
    assert list_problems(report) == [("required_input_missing", "3", "images")]
    assert report.outputs == ("2",)


@pytest.mark.parametrize(
    ("class_type", "field", "folder"),
    [("CheckpointLoaderSimple", "ckpt_name", "checkpoints"), ("LoraLoader", "lora_name", "loras")],
)
async def test_missing_model_is_reported_with_its_folder(
    class_type: str, field: str, folder: str, kit: ComfyKit
) -> None:
    graph: dict[str, Any] = json.loads((ROOT / "notebooks/workflows/text_to_image.json").read_text())
    node = next((node for node in graph.values() if node["class_type"] == class_type), None)
    if node is None:
        loader = next(id_ for id_, node in graph.items() if node["class_type"] == "CheckpointLoaderSimple")
        node = graph["90"] = {"class_type": class_type, "inputs": {
            "model": [loader, 0], "clip": [loader, 1], "strength_model": 1.0, "strength_clip": 1.0}}  # fmt: skip
        next(each for each in graph.values() if each["class_type"] == "KSampler")["inputs"]["model"] = ["90", 0]
    node["inputs"][field] = "unheard-of.safetensors"
    (problem,) = (await kit.check(graph)).problems
    assert (problem.kind, problem.field) == ("missing_model", field)
    assert f"models/{folder}" in problem.message
    assert "unheard-of.safetensors" in problem.message


async def test_wrong_value_hides_the_problem_of_the_default(kit: ComfyKit) -> None:
    graph: dict[str, Any] = json.loads((ROOT / "notebooks/workflows/text_to_image.json").read_text())
    next(each for each in graph.values() if each["class_type"] == "CheckpointLoaderSimple")["inputs"] = {
        "ckpt_name": "unheard-of.safetensors"
    }
    (problem,) = (await kit.check(graph, {"model": "another.safetensors"})).problems
    assert "another.safetensors" in problem.message


@pytest.mark.parametrize("name", ["model", "CheckpointLoaderSimple.ckpt_name"])
async def test_given_missing_model_is_reported_like_one_in_the_file(name: str, kit: ComfyKit) -> None:
    graph: dict[str, Any] = json.loads((ROOT / "notebooks/workflows/text_to_image.json").read_text())
    report = await kit.check(graph, {name: "unheard-of.safetensors"})
    (problem,) = report.problems
    assert (problem.parameter, problem.kind, problem.field) == (name, "missing_model", "ckpt_name")
    assert problem.message.startswith(name)
    assert "put it into models/checkpoints" in problem.message
    assert report.outputs == ()


async def test_missing_files_are_reported(kit: ComfyKit, tmp_path: Path) -> None:
    missing = await kit.check(workflows.inverted(), {"image": str(tmp_path / "cat.png")})
    assert list_problems(missing) == [("missing_file", "1", "image")]
    graph = workflows.inverted()
    for name in ("nowhere.png", "deep/nowhere.png", "nowhere.png [output]", "../secret.png"):
        graph["1"] = {"class_type": "LoadImage", "inputs": {"image": name}}
        assert list_problems(await kit.check(graph)) == [("missing_file", "1", "image")], name


async def test_files_on_the_server_are_ok(kit: ComfyKit) -> None:
    made = await kit.execute(workflows.picture())
    assert (await kit.check(workflows.inverted(), {"image": made.image})).ok
    assert (await kit.check(workflows.inverted(), {"image": str(made.image)})).ok
    assert (await kit.check(workflows.inverted(), {"image": made.image.server_name})).ok
    assert (await kit.check(workflows.inverted(), {"image": "http://elsewhere.invalid/cat.png"})).ok


async def test_invalid_workflow_and_unreachable_server_are_reported(kit: ComfyKit, make_kit: MakeKit) -> None:
    for wrong in ("/nowhere/wf.json", {"1": 5}, {}, 5.0, None):
        report = await kit.check(wrong)
        assert [each.kind for each in report.problems] == ["workflow"], wrong
    report = await make_kit("http://127.0.0.1:1").check(workflows.picture())
    assert [each.kind for each in report.problems] == ["unreachable"]
    assert "start it" in str(report)


ODD: list[Any] = [[], {}, None, "x", {"EmptyImage": {"input": []}, "SaveImage": 5}, [[]]]


@pytest.mark.parametrize("answer", ODD, ids=repr)
async def test_malformed_replies_do_not_raise(answer: Any, proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.answer = lambda request: web.json_response(answer) if request.path != "/system_stats" else None
    assert not (await make_kit(proxy.url).check(workflows.picture())).ok


@pytest.fixture(scope="module")
def judge(sandbox: Sandbox) -> Iterator[Server]:
    server = Server(sandbox.url)
    yield server
    server.client.close()


def load_valid_prompts(judge: Server) -> list[Any]:
    """Return valid prompts of the classes that the server has."""
    found = [json.loads(path.read_text()) for path in SHELF]
    found += [workflows.picture(), workflows.text(), workflows.sound(), workflows.clip(), workflows.inverted()]
    found += [json.loads(path.read_text())["api"] for path in sorted(TEMPLATES.glob("*.json"))]
    known = [graph for graph in found if {node["class_type"] for node in graph.values()} <= {*judge.info}]
    return [fix_choices(graph, judge.info) for graph in known]


@pytest.mark.parametrize("seed", range(4))
def test_check_agrees_with_the_server(seed: int, judge: Server) -> None:
    random, good = Random(seed), load_valid_prompts(judge)
    for _ in range(500):
        prompt = mutate(random.choice(good), judge.info, random)
        assert judge.disagreement(prompt) == "", json.dumps(prompt)


INPUTS = st.dictionaries(st.text(max_size=9), st.integers() | st.text() | st.lists(st.integers()))


@given(st.dictionaries(st.text(max_size=3), INPUTS, max_size=3))
def test_any_inputs_give_a_report(sandbox: Sandbox, inputs: dict[str, Any]) -> None:
    graph = {key: {"class_type": "SaveImage", "inputs": value} for key, value in inputs.items()}
    kit = ComfyKit(sandbox.url)
    report = loop.call(kit.check(graph))
    assert str(report)
