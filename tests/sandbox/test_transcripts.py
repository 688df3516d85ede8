"""Replayed recordings of a real server: the messages are the same, in order and structure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.sandbox.interface.node import NODES
from tests.sandbox.client import Client

RECORDINGS = Path(__file__).parents[2] / "../shared/data/comfyui/0.33.0/transcripts"
NAMES = sorted(path.stem for path in RECORDINGS.glob("*.json") if path.stem != "http_misc")
RUN_BEFORE = {"image_save_cached_rerun": "image_save", "webm_save": "video_save"}
INTERRUPT_AFTER = {"interrupt_running": 5}  # steps

if not NAMES:
    pytest.skip("the recordings of a real server are missing", allow_module_level=True)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def recording(name: str) -> list[dict[str, Any]]:
    return list(json.loads((RECORDINGS / f"{name}.json").read_text()))


def find_request(entries: list[dict[str, Any]], checkpoint: str) -> dict[str, Any]:
    """Return the recorded POST, with its nodes in the order in which the real server happened to run the outputs."""
    body = next(entry["request"]["body"] for entry in entries if entry["kind"] == "http" and "body" in entry["request"])
    prompt = body["prompt"]
    order = [key for entry in entries if entry["kind"] == "http" for key in list_outputs(entry.get("response"))]
    nodes = {**{key: node for key, node in prompt.items() if key not in order}, **{key: prompt[key] for key in order}}
    for node in nodes.values():
        if "ckpt_name" in node["inputs"]:
            node["inputs"]["ckpt_name"] = checkpoint
    return {key: value for key, value in body.items() if key != "client_id"} | {"prompt": nodes}


def list_outputs(response: Any) -> list[str]:
    entries = response.values() if isinstance(response, dict) else ()
    return [key for entry in entries if isinstance(entry, dict) and "prompt" in entry for key in entry["prompt"][4]]


def simplify(message: dict[str, Any]) -> Any:
    """Return a message's content without IDs, times and file names."""
    data = message["data"]
    match message["type"]:
        case "status":
            return "status", data["status"]["exec_info"]["queue_remaining"]
        case "progress_state":
            nodes = {key: (node["value"], node["max"], node["state"]) for key, node in data["nodes"].items()}
            return "progress_state", nodes, describe_shape(data["nodes"])
        case "execution_cached":
            return "execution_cached", data["nodes"], describe_shape(data)
        case "executed":
            return "executed", data["node"], describe_shape(data)
        case "executing" | "progress":
            return (
                message["type"],
                {key: value for key, value in data.items() if key != "prompt_id"},
                describe_shape(data),
            )
        case kind:
            return kind, describe_shape(data)


def describe_shape(value: Any) -> Any:
    """Return the structure of a JSON value: keys and types, and for an array the distinct shapes of its elements."""
    if isinstance(value, dict):
        return {key: describe_shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(describe_shape(part), sort_keys=True) for part in value})
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def read_recorded_run(entries: list[dict[str, Any]]) -> list[Any]:
    """Return the messages that the recorded client got."""
    messages: list[Any] = []
    for entry in entries:
        if entry["kind"] == "ws_text" and entry["message"]["type"] != "feature_flags":
            messages.append(simplify(entry["message"]))
        elif entry["kind"] == "ws_binary":
            messages.append(("preview", entry["event"], describe_shape(entry["metadata"])))
    return messages[1:]


def read_messages(client: Client, frames: list[Any]) -> list[Any]:
    messages: list[Any] = []
    for frame in frames:
        if isinstance(frame, bytes):
            length = int.from_bytes(frame[4:8], "big")
            messages.append(
                ("preview", int.from_bytes(frame[:4], "big"), describe_shape(json.loads(frame[8 : 8 + length])))
            )
        else:
            messages.append(simplify(frame))
    return messages


def drop_later_steps(frames: list[Any], name: str) -> list[Any]:
    """Return the messages without the steps that ended before the interrupt arrived: a busy machine takes more."""
    kept: list[Any] = []
    last, step = INTERRUPT_AFTER.get(name, 10**9), 0
    for frame in frames:
        if isinstance(frame, dict):
            data = frame["data"]
            if frame["type"] == "progress":
                step = data["value"]
            elif frame["type"] == "progress_state":
                step = max((node["value"] for node in data["nodes"].values()), default=0)
            else:
                step = 0
        if step <= last:  # a preview belongs to the step before it
            kept.append(frame)
    return kept


def test_a_recorded_request_gets_the_recorded_response_and_messages(name: str, server: Sandbox, client: Client) -> None:
    entries = recording(name)
    checkpoint = client.http.get("/models/checkpoints").json()[0]
    body = find_request(entries, checkpoint)
    missing = {node["class_type"] for node in body["prompt"].values()} - {*NODES, "NoSuchNode"}
    if missing:
        pytest.skip(f"the server has no {missing}")
    if name in RUN_BEFORE:
        client.run(**find_request(recording(RUN_BEFORE[name]), checkpoint))
    expected = next(entry for entry in entries if entry["kind"] == "http" and entry["request"]["path"] == "/prompt")
    response = client.post(**body)

    assert response.status_code == expected["status"]
    answer = response.json()
    if response.status_code == 400:
        assert strip_help(answer) == strip_help(expected["response"])
        return
    assert describe_shape(answer) == describe_shape(expected["response"])
    assert strip_help(answer["node_errors"]) == strip_help(expected["response"]["node_errors"])

    frames: list[Any] = []
    prompt_id = answer["prompt_id"]
    if name in INTERRUPT_AFTER:
        while sum(isinstance(frame, dict) and frame["type"] == "progress" for frame in frames) < INTERRUPT_AFTER[name]:
            frames.append(client.frame())
        client.http.post("/interrupt", json={"prompt_id": prompt_id})
    frames += client.until_end(prompt_id)
    assert read_messages(client, drop_later_steps(frames, name)) == read_recorded_run(entries)

    history = next(e for e in entries if e["kind"] == "http" and e["request"]["path"].startswith("/history/"))
    (kept,) = history["response"].values()
    ours = client.find_history(prompt_id)
    assert describe_shape(ours) == describe_shape(kept)
    assert ours["prompt"][4] == kept["prompt"][4]


def strip_help(value: Any) -> Any:
    """Return a response without the help texts of a real server's inputs."""
    if isinstance(value, dict):
        return {key: strip_help(part) for key, part in value.items() if key != "tooltip"}
    return [strip_help(part) for part in value] if isinstance(value, list) else value


def test_uploads_and_other_requests_get_the_recorded_responses(client: Client) -> None:
    pictures = iter([b"red", b"red", b"blue", b"blue", *[b"other"] * 4])
    for entry in recording("http_misc"):
        if "fields" in entry:
            files = {"image": (entry["filename"], next(pictures), "image/png")}
            response = client.http.post("/upload/image", files=files, data=entry["fields"])
            if entry["status"] == 200:
                assert response.json() == json.loads(entry["response"])
        elif "get" in entry and "preview" not in entry["get"]:
            response = client.http.get(entry["get"])
            kept = {"content-type", "content-disposition", "x-content-type-options", "accept-ranges"}
            if entry["status"] == 200:
                assert {key: response.headers.get(key) for key in kept & entry["headers"].keys()} == {
                    key: entry["headers"][key] for key in kept & entry["headers"].keys()
                }
        else:
            continue
        assert response.status_code == entry["status"], entry
