"""Prompts that are rejected, or accepted in part."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox import probes
from tests.sandbox.client import Client, filter_by_type

DEEP = b'{"prompt": ' + b"[" * 300 + b"]" * 300 + b"}"


def image(**values: Any) -> dict[str, Any]:
    return {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 1, **values}}


def preview(*link: Any) -> dict[str, Any]:
    return {"class_type": "PreviewImage", "inputs": {"images": list(link)}}


def invert(*link: Any) -> dict[str, Any]:
    return {"class_type": "ImageInvert", "inputs": {"image": list(link)}}


def steps(**values: Any) -> dict[str, Any]:
    inputs = {"steps": 1, "delay": 0.0, "size": 8, "seed": 1, "mode": "calm", **values}
    return {"class_type": "ProbeSteps", "inputs": inputs}


def count(name: str) -> dict[str, Any]:
    return {"class_type": "ProbeCount", "inputs": {"name": name}}


@pytest.mark.parametrize(
    ("prompt", "errors"),
    [
        ({"1": image(width=99_999), "2": preview("1", 0)}, {"1": ["value_bigger_than_max"]}),
        (
            {"1": image(width=0, height=None), "2": preview("1", 0)},
            {"1": ["value_smaller_than_min", "invalid_input_type"]},
        ),
        ({"1": image(width={"a": 1}), "2": preview("1", 0)}, {"1": ["invalid_input_type"]}),
        ({"1": {"class_type": "PreviewImage", "inputs": {}}}, {"1": ["required_input_missing"]}),
        ({"1": image(), "2": preview("1", 0, 0)}, {"2": ["bad_linked_input"]}),
        ({"1": image(), "2": preview()}, {"2": ["bad_linked_input"]}),
        ({"1": preview("9", 0)}, {"1": ["exception_during_validation"]}),
        ({"2": invert("9", 0), "3": preview("2", 0)}, {"2": ["exception_during_inner_validation"]}),
        ({"1": image(), "2": preview("1", 7)}, {"2": ["exception_during_validation"]}),
        ({"1": steps(), "2": preview("1", 1)}, {"2": ["return_type_mismatch"]}),
        ({"1": invert("2", 0), "2": invert("1", 0), "3": preview("2", 0)}, {"1": ["dependency_cycle"]}),
        ({"1": invert("1", 0), "3": preview("1", 0)}, {"1": ["dependency_cycle"]}),
        ({"1": count("")}, {"1": ["custom_validation_failed"]}),
        ({"1": {"class_type": "ProbeBroken", "inputs": {"value": 0}}}, {"1": ["exception_during_validation"]}),
        (
            {"1": {"class_type": "LoadImage", "inputs": {"image": "nope.png"}}, "2": preview("1", 0)},
            {"1": ["custom_validation_failed"]},
        ),
    ],
)
def test_problems_are_reported_by_node_with_comfyuis_types(
    client: Client, prompt: dict[str, Any], errors: dict[str, list[str]]
) -> None:
    response = client.post(prompt)
    assert response.status_code == 400
    answer = response.json()
    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    found = {node: [error["type"] for error in about["errors"]] for node, about in answer["node_errors"].items()}
    assert found == errors
    for about in answer["node_errors"].values():
        for error in about["errors"]:
            assert set(error) == {"type", "message", "details", "extra_info"}


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ({}, "prompt_no_outputs"),
        ({"1": {"class_type": "EmptyImage", "inputs": {}}}, "prompt_no_outputs"),
        ({"1": {"class_type": "Nope", "inputs": {}}}, "missing_node_type"),
        ({"1": {"inputs": {}}}, "missing_node_type"),
        ({"1": {"class_type": ["EmptyImage"], "inputs": {}}}, "missing_node_type"),
        ({"1": "EmptyImage"}, "invalid_prompt"),
        ({"1": {"class_type": "EmptyImage", "inputs": []}}, "invalid_prompt"),
        ([], "invalid_prompt"),
        ("prompt", "invalid_prompt"),
        (None, "invalid_prompt"),
    ],
)
def test_a_malformed_prompt_is_rejected(client: Client, prompt: Any, kind: str) -> None:
    response = client.post(prompt)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == kind


@pytest.mark.parametrize(
    "body", [b"no json", b"", b"[]", b"NaN", b'{"prompt": NaN}', b'{"prompt": 1e999}', b"[" * 100_000, DEEP]
)
def test_a_body_that_is_not_a_json_object_gets_comfyuis_response(client: Client, body: bytes) -> None:
    response = client.http.post("/prompt", content=body)
    assert response.status_code == 500
    assert response.text == "500 Internal Server Error\n\nServer got itself in trouble"


@pytest.mark.parametrize(
    "number",
    [
        '"nan"',
        '"inf"',
        '"-Infinity"',
        '"1e999"',
        "1e999",
        "NaN",
        "-Infinity",
        "1" + 400 * "0",
        f'"1{400 * "0"}"',
        "[1]",
        "{}",
    ],
)
def test_a_number_that_has_no_place_in_the_queue_is_rejected(client: Client, number: str, gate: probes.Gate) -> None:
    running = client.submit({"1": {"class_type": "ProbeGate", "inputs": {"seed": 1}}})
    body = f'{{"prompt": {json.dumps({"1": count("never")})}, "number": {number}}}'
    response = client.http.post("/prompt", content=body)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_prompt")
    queue = client.http.get("/queue").json()
    assert [item[1] for item in queue["queue_running"] + queue["queue_pending"]] == [running]
    gate.open.set()
    client.until_end(running)
    assert list(client.http.get("/history").json()) == [running]


@pytest.mark.parametrize("depth", [21, 40])
def test_a_text_that_doubles_itself_is_rejected(client: Client, depth: int) -> None:
    def join(source: Any) -> dict[str, Any]:
        inputs = {"string_a": source, "string_b": source, "delimiter": ""}
        return {"class_type": "StringConcatenate", "inputs": inputs}

    prompt = {"0": join("x"), **{str(node): join([str(node - 1), 0]) for node in range(1, depth)}}
    prompt["show"] = {"class_type": "PreviewAny", "inputs": {"source": [str(depth - 1), 0]}}
    prompt_id, _ = client.run(prompt)
    (error,) = [
        about for event, about in client.find_history(prompt_id)["status"]["messages"] if event == "execution_error"
    ]
    assert "is too long for the embedded server (at most 1,048,576)" in error["exception_message"]


@pytest.mark.parametrize("source", ["x" * (2**20 + 1), {"__value__": [[[[[0] * 60_000]]]]}])
def test_a_text_that_is_too_long_is_not_shown(client: Client, source: Any) -> None:
    prompt_id, _ = client.run({"1": {"class_type": "PreviewAny", "inputs": {"source": source}}})
    entry = client.find_history(prompt_id)
    assert (entry["status"]["status_str"], entry["outputs"]) == ("error", {})


def test_values_are_converted_to_their_inputs_types(client: Client) -> None:
    prompt_id, _ = client.run({"1": image(width="12", height=9.7), "2": preview("1", 0)})
    inputs = client.find_history(prompt_id)["prompt"][2]["1"]["inputs"]
    assert (inputs["width"], inputs["height"]) == (12, 9)


def test_an_infinite_number_is_rejected(client: Client) -> None:
    response = client.post({"1": steps(delay="inf"), "2": preview("1", 0)})
    assert response.json()["node_errors"]["1"]["errors"][0]["type"] == "invalid_input_type"


def test_a_prompt_is_accepted_in_part(client: Client) -> None:
    response = client.post({"1": count("right"), "2": count(""), "3": image(width=0), "4": preview("3", 0)})
    assert response.status_code == 200
    answer = response.json()
    assert {node: about["dependent_outputs"] for node, about in answer["node_errors"].items()} == {
        "2": ["2"],
        "3": ["4"],
    }
    frames = client.until_end(answer["prompt_id"])
    assert [data["node"] for data in filter_by_type(frames, "executed")] == ["1"]


def test_only_the_requested_outputs_run(client: Client) -> None:
    prompt = {"1": count("wanted"), "2": count("not wanted")}
    client.run(prompt, partial_execution_targets=["1"])
    assert "wanted" in probes.RUNS
    assert "not wanted" not in probes.RUNS


def test_undeclared_inputs_are_ignored(client: Client) -> None:
    prompt = {"1": {"class_type": "ProbeCount", "inputs": {"name": "undeclared", "unknown": ["9", 0], "extra": 3}}}
    _, frames = client.run(prompt)
    assert filter_by_type(frames, "executed")


def test_a_wrapped_list_is_not_a_link(client: Client) -> None:
    inputs = {"source": {"__value__": ["1", 0]}}
    prompt_id, _ = client.run({"1": {"class_type": "PreviewAny", "inputs": inputs}})
    assert '"1"' in client.find_history(prompt_id)["outputs"]["1"]["text"][0].replace("'", '"')


def test_a_very_deep_graph_runs(client: Client) -> None:
    chain = {str(number): invert(str(number - 1), 0) for number in range(1, 3_000)}
    response = client.post({"0": image(width=0), **chain, "end": preview("2999", 0)})
    assert list(response.json()["node_errors"]) == ["0"]


def test_the_inputs_added_by_a_choice_are_checked_and_used(client: Client) -> None:
    def prompt(codec: str) -> dict[str, Any]:
        frames = image(width=64, height=64, batch_size=2)
        video = {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8.0}}
        inputs = {"video": ["2", 0], "filename_prefix": "v", "format": "mp4", "format.codec": codec}
        return {"1": frames, "2": video, "3": {"class_type": "SaveVideo", "inputs": inputs}}

    refused = client.post(prompt("nope")).json()["node_errors"]["3"]["errors"]
    assert [error["type"] for error in refused] == ["value_not_in_list"]
    prompt_id, _ = client.run(prompt("h264"))
    assert client.find_history(prompt_id)["outputs"]["3"]["images"][0]["filename"].endswith(".mp4")
