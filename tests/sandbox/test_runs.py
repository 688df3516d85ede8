"""Queue, runs, caching, interruption, previews and messages."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter.sandbox import Sandbox, execution
from tests.sandbox import probes
from tests.sandbox.client import TIMEOUT, Client, filter_by_type, list_types


def wait(seed: int) -> dict[str, Any]:
    return {"1": {"class_type": "ProbeGate", "inputs": {"seed": seed}}}


def count(name: str) -> dict[str, Any]:
    return {"1": {"class_type": "ProbeCount", "inputs": {"name": name}}}


def steps(number: int, *, size: int = 64, delay: float = 0.0) -> dict[str, Any]:
    inputs = {"steps": number, "delay": delay, "size": size, "seed": 1, "mode": "calm"}
    return {
        "1": {"class_type": "ProbeSteps", "inputs": inputs},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


def test_the_history_is_complete_when_the_end_is_announced(client: Client) -> None:
    prompt_id, frames = client.run(count("history"))
    entry = client.find_history(prompt_id)
    assert entry["outputs"] == {"1": {"text": ["history"]}}
    assert entry["status"]["completed"] is True
    assert list_types(frames)[-3:] == ["execution_success", "status", "executing"]


def test_a_prompt_id_chosen_by_the_client_is_kept(client: Client) -> None:
    assert client.run(count("own id"), prompt_id="my-own")[0] == "my-own"
    assert "my-own" in client.http.get("/api/history/my-own").json()


def test_a_node_with_unchanged_inputs_does_not_run_again(client: Client) -> None:
    client.run(count("once"))
    prompt_id, frames = client.run(count("once"))
    assert probes.RUNS.count("once") == 1
    assert filter_by_type(frames, "execution_cached")[0]["nodes"] == ["1"]
    assert filter_by_type(frames, "executed")[0]["output"] == {"text": ["once"]}
    assert client.find_history(prompt_id)["outputs"] == {"1": {"text": ["once"]}}


def test_a_node_runs_again_when_a_node_above_it_changed(client: Client) -> None:
    def chain(first: str) -> dict[str, Any]:
        node = {"class_type": "ProbeCount", "inputs": {"name": "below", "after": ["1", 0]}}
        return {**count(first), "2": node}

    client.run(chain("above a"))
    client.run(chain("above b"))
    assert probes.RUNS.count("below") == 2


def test_a_fingerprint_of_nan_makes_a_node_run_every_time(client: Client) -> None:
    client.run(count("always"))
    client.run(count("always"))
    assert probes.RUNS.count("always") == 2


def test_freeing_memory_clears_the_cache(client: Client) -> None:
    client.run(count("freed"))
    client.http.post("/free", json={"unload_models": True, "free_memory": True})
    client.run(count("freed"))
    assert probes.RUNS.count("freed") == 2


def test_a_saved_image_is_not_saved_again(server: Sandbox, client: Client) -> None:
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 5}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "once"}},
    }
    client.run(prompt)
    client.run(prompt)
    assert len(list((server.folder / "output").iterdir())) == 1


def invert(**extra: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "same name.png"}, **extra},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
    }


def upload(client: Client, colour: tuple[int, int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    files = {"image": ("same name.png", buffer.getvalue())}
    assert client.http.post("/upload/image", files=files, data={"overwrite": "true"}).status_code == 200


def run_and_read(client: Client, prompt: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Run a prompt; return the colour of its image and the prompt stored in it."""
    prompt_id, _ = client.run(prompt)
    file = client.find_history(prompt_id)["outputs"]["3"]["images"][0]
    with Image.open(io.BytesIO(client.http.get("/view", params=file).content)) as picture:
        return picture.getpixel((0, 0)), json.loads(picture.info["prompt"])


def test_a_replaced_file_is_read_again(client: Client) -> None:
    upload(client, (255, 0, 0))
    assert run_and_read(client, invert())[0] == (0, 255, 255)
    upload(client, (0, 0, 255))
    assert run_and_read(client, invert())[0] == (255, 255, 0)


def test_an_image_contains_file_fingerprints_but_the_history_does_not(client: Client) -> None:
    upload(client, (255, 0, 0))
    _, carried = run_and_read(client, invert())
    (fingerprint,) = carried["1"].pop("is_changed")
    assert isinstance(fingerprint, str)
    assert carried == invert()
    (entry,) = client.http.get("/history").json().values()
    assert entry["prompt"][2] == invert()


def test_fingerprints_in_the_prompt_are_trusted(client: Client) -> None:
    upload(client, (255, 0, 0))
    colour, carried = run_and_read(client, invert())
    upload(client, (0, 0, 255))
    assert run_and_read(client, carried)[0] == colour
    assert run_and_read(client, invert(is_changed=["anything"]))[0] == (255, 255, 0)


def test_one_job_runs_while_the_others_wait_in_order(client: Client, gate: probes.Gate) -> None:
    running = client.submit(wait(1))
    assert gate.reached.wait(TIMEOUT)
    later = client.submit(count("later"), number=1000)
    sooner = client.submit(count("sooner"), number=500)
    front = client.submit(count("front"), front=True)
    queue = client.http.get("/queue").json()
    assert [item[1] for item in queue["queue_running"]] == [running]
    assert {item[1] for item in queue["queue_pending"]} == {later, sooner, front}
    assert client.http.get("/prompt").json() == {"exec_info": {"queue_remaining": 4}}
    gate.open.set()
    client.until_end(later)
    assert list(client.http.get("/history").json()) == [running, front, sooner, later]


def test_a_queued_job_can_be_deleted(client: Client, gate: probes.Gate) -> None:
    running = client.submit(wait(2))
    assert gate.reached.wait(TIMEOUT)
    deleted, kept = client.submit(count("deleted")), client.submit(count("kept"))
    client.http.post("/queue", json={"delete": [deleted, running]})
    gate.open.set()
    client.until_end(kept)
    assert set(client.http.get("/history").json()) == {running, kept}
    assert "deleted" not in probes.RUNS


def test_interrupt_with_an_id_stops_only_that_job(client: Client, gate: probes.Gate) -> None:
    running = client.submit(wait(3))
    assert gate.reached.wait(TIMEOUT)
    client.http.post("/interrupt", json={"prompt_id": "another"})
    assert [item[1] for item in client.http.get("/queue").json()["queue_running"]] == [running]
    client.http.post("/interrupt", json={"prompt_id": running})
    frames = client.until_end(running)
    assert list_types(frames)[-3:] == ["execution_interrupted", "status", "executing"]
    status = client.find_history(running)["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert status["messages"][-1][0] == "execution_interrupted"


@pytest.mark.parametrize("body", [b"", b"{}", b"no json"])
def test_interrupt_without_an_id_stops_any_running_job(client: Client, gate: probes.Gate, body: bytes) -> None:
    running = client.submit(wait(4))
    assert gate.reached.wait(TIMEOUT)
    assert client.http.post("/interrupt", content=body).status_code == 200
    assert "execution_interrupted" in list_types(client.until_end(running))


def test_a_run_can_be_interrupted_between_steps(client: Client) -> None:
    prompt_id = client.submit(steps(5_000, delay=0.005))
    client.next("progress")
    client.http.post(f"/api/jobs/{prompt_id}/cancel")
    assert "execution_interrupted" in list_types(client.until_end(prompt_id))
    assert client.http.get(f"/api/jobs/{prompt_id}").json()["status"] == "cancelled"


def test_each_step_takes_as_long_as_asked_and_can_be_interrupted() -> None:
    with Sandbox(step_seconds=0.05) as server, Client(server.url) as client:
        begun = time.monotonic()
        client.until_end(client.submit(steps(4)))
        assert time.monotonic() - begun >= 4 * 0.05
    with Sandbox(step_seconds=3600) as server, Client(server.url) as client:
        prompt_id = client.submit(steps(4))
        client.next("executing")
        client.http.post(f"/api/jobs/{prompt_id}/cancel")
        assert "execution_interrupted" in list_types(client.until_end(prompt_id))


def test_a_failed_node_is_reported_and_earlier_outputs_are_kept(client: Client) -> None:
    prompt = {
        "1": {"class_type": "ProbeCount", "inputs": {"name": "before the failure"}},
        "2": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 5}},
        "3": {"class_type": "ProbeFail", "inputs": {"image": ["2", 0], "message": "boom"}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }
    prompt_id, frames = client.run(prompt)
    (error,) = filter_by_type(frames, "execution_error")
    assert (error["node_id"], error["node_type"], error["exception_type"]) == ("3", "ProbeFail", "ValueError")
    assert error["exception_message"] == "boom\n"
    assert error["current_inputs"]["message"] == ["boom"]
    assert client.find_history(prompt_id)["outputs"] == {"1": {"text": ["before the failure"]}}
    assert client.http.get(f"/api/jobs/{prompt_id}").json()["status"] == "failed"
    assert client.run(count("after the failure"))[1]


def test_previews_have_metadata_only_for_clients_that_accept_it(server: Sandbox) -> None:
    with Client(server.url) as modern:
        prompt_id, frames = modern.run(steps(2))
        first = next(frame for frame in frames if isinstance(frame, bytes))
        event, length = struct.unpack(">II", first[:8])
        about = json.loads(first[8 : 8 + length])
        assert (event, about["node_id"], about["prompt_id"]) == (4, "1", prompt_id)
        assert Image.open(io.BytesIO(first[8 + length :])).format == "JPEG"
        modern.http.post("/free", json={"free_memory": True})
    with Client(server.url, metadata=False) as old:
        _, frames = old.run(steps(2))
        first = next(frame for frame in frames if isinstance(frame, bytes))
        assert struct.unpack(">II", first[:8]) == (1, 1)
        assert Image.open(io.BytesIO(first[8:])).format == "JPEG"


@pytest.mark.parametrize(("metadata", "order"), [(True, ["binary", "progress"]), (False, ["progress", "binary"])])
def test_a_preview_follows_its_step_or_precedes_it_if_it_has_metadata(
    server: Sandbox, metadata: bool, order: list[str]
) -> None:
    with Client(server.url, metadata=metadata) as client:
        _, frames = client.run(steps(3))
    assert [kind for kind in list_types(frames) if kind in {"binary", "progress"}] == 3 * order


def test_a_preview_is_at_most_512_pixels_long(client: Client) -> None:
    _, frames = client.run(steps(1, size=900))
    (preview,) = [frame for frame in frames if isinstance(frame, bytes)]
    length = struct.unpack(">I", preview[4:8])[0]
    assert Image.open(io.BytesIO(preview[8 + length :])).size == (512, 512)


def test_a_node_can_display_text_while_it_runs(client: Client, gate: probes.Gate) -> None:
    gate.open.set()
    _, frames = client.run(wait(5))
    (text,) = [frame for frame in frames if isinstance(frame, bytes)]
    assert text == struct.pack(">II", 3, 1) + b"1" + b"through the gate"


def test_only_the_submitting_client_gets_a_runs_messages(server: Sandbox, client: Client) -> None:
    with Client(server.url) as other:
        prompt_id, _ = client.run(count("private"))
        other_id, frames = other.run(count("of the other"))
    assert other_id != prompt_id
    assert all(
        data.get("prompt_id") in {None, other_id}
        for kind in set(list_types(frames))
        for data in filter_by_type(frames, kind)
    )


def test_a_run_without_a_client_sends_only_progress_to_all(client: Client) -> None:
    response = client.http.post("/prompt", json={"prompt": count("nobody's")})
    frames: list[Any] = []
    while response.json()["prompt_id"] not in client.http.get("/history").json():
        frames.append(client.frame())
    _, more = client.run(count("a mark"))
    ours = more[: list_types(more).index("execution_start")]
    assert "progress_state" in list_types(frames + ours)
    assert not {"executing", "executed", "execution_success"} & set(list_types(frames + ours))


def test_the_first_message_has_the_current_number_of_jobs(server: Sandbox, client: Client, gate: probes.Gate) -> None:
    client.submit(wait(6))
    assert gate.reached.wait(TIMEOUT)
    client.submit(count("waits"))
    with Client(server.url) as late:
        assert late.greeting["data"]["status"]["exec_info"]["queue_remaining"] == 2
        assert late.greeting["data"]["sid"] == late.id


def test_a_replaced_socket_gets_no_more_messages(server: Sandbox, client: Client) -> None:
    with Client(server.url, client.id) as newer:
        _, frames = newer.run(count("replaced"))
        assert "executed" in list_types(frames)
        with pytest.raises(TimeoutError):
            client.socket.recv(timeout=0.05)


def test_a_client_that_connects_after_its_post_gets_all_messages(
    server: Sandbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "_CONNECT_GRACE", TIMEOUT)
    prompt_id = client.submit(count("socket after prompt"), client_id="late")
    with Client(server.url, "late", metadata=False) as late:
        assert {"execution_start", "executed", "execution_success"} <= set(list_types(late.until_end(prompt_id)))


def test_the_wait_for_a_socket_is_short(server: Sandbox, client: Client) -> None:
    client.submit(count("no socket"), client_id="never there")
    prompt_id, _ = client.run(count("has a socket"))
    assert len(client.http.get("/history").json()) == 2
    assert client.find_history(prompt_id)["status"]["completed"] is True


def test_the_wait_for_a_socket_happens_only_once(
    server: Sandbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.submit(count("asks"), client_id="asks-only")
    client.run(count("behind the first"))
    monkeypatch.setattr(execution, "_CONNECT_GRACE", 3 * TIMEOUT)
    client.submit(count("asks again"), client_id="asks-only")
    client.run(count("behind the second"))


def test_closing_a_replaced_socket_keeps_the_newer_one(server: Sandbox) -> None:
    with Client(server.url, "same") as older, Client(server.url, "same") as newer:
        older.socket.close()
        assert "executed" in list_types(newer.run(count("older closed"))[1])


def test_a_reconnecting_client_gets_the_running_node(server: Sandbox, client: Client, gate: probes.Gate) -> None:
    client.submit(wait(7))
    assert gate.reached.wait(TIMEOUT)
    with Client(server.url, client.id, metadata=False) as again:
        assert again.next("executing")["data"] == {"node": "1"}


def test_a_clients_secrets_are_not_stored(client: Client) -> None:
    prompt_id, _ = client.run(count("secret"), extra_data={"api_key_comfy_org": "hush", "extra_pnginfo": {"a": 1}})
    extra = client.find_history(prompt_id)["prompt"][3]
    assert "hush" not in json.dumps(extra)
    assert extra["extra_pnginfo"] == {"a": 1}


def test_the_history_can_be_paged_and_cleared(client: Client) -> None:
    ids = [client.run(count(f"page {number}"))[0] for number in range(5)]

    def pages(query: str) -> list[str]:
        return list(client.http.get(f"/history?{query}").json())

    assert pages("max_items=2") == ids[-2:]
    assert pages("max_items=2&offset=1") == ids[1:3]
    client.http.post("/history", json={"delete": [ids[0], "unknown"]})
    assert pages("") == ids[1:]
    client.http.post("/history", json={"clear": True})
    assert pages("") == []
    assert client.http.get("/history/unknown").json() == {}


def test_jobs_lists_queued_running_and_finished_jobs(client: Client, gate: probes.Gate) -> None:
    done, _ = client.run(steps(1))
    running = client.submit(wait(8))
    assert gate.reached.wait(TIMEOUT)
    waiting = client.submit(count("job"))
    listed = client.http.get("/api/jobs").json()
    assert {job["id"]: job["status"] for job in listed["jobs"]} == {
        done: "completed",
        running: "in_progress",
        waiting: "pending",
    }
    page = client.http.get("/api/jobs?status=completed,pending&sort_order=asc&limit=1").json()
    assert [job["id"] for job in page["jobs"]] == [done]
    assert page["pagination"] == {"offset": 0, "limit": 1, "total": 2, "has_more": True}
    (finished,) = page["jobs"]
    assert finished["preview_output"]["type"] == "temp"
    assert client.http.get("/api/jobs?status=odd").status_code == 400
    assert client.http.get("/api/jobs/unknown").status_code == 404
    detail = client.http.get(f"/api/jobs/{done}").json()
    assert set(detail["outputs"]) == {"2"}


def test_cancelling_jobs_is_all_or_nothing(client: Client, gate: probes.Gate) -> None:
    running = client.submit(wait(9))
    assert gate.reached.wait(TIMEOUT)
    waiting = client.submit(count("cancelled"))

    def cancel(*ids: str) -> int:
        return client.http.post("/api/jobs/cancel", json={"job_ids": ids}).status_code

    assert cancel(running, waiting, "unknown") == 404
    assert client.http.get("/prompt").json()["exec_info"]["queue_remaining"] == 2
    assert cancel(running, waiting) == 200
    client.until_end(running)
    assert client.http.get("/prompt").json()["exec_info"]["queue_remaining"] == 0
    assert client.http.post("/api/jobs/unknown/cancel").json() == {"cancelled": False}


def test_many_clients_at_once_get_only_their_own_runs(server: Sandbox) -> None:
    ended: list[str] = []

    def run(number: int) -> None:
        with Client(server.url) as one:
            for turn in range(5):
                name = f"client {number}, turn {turn}"
                _, frames = one.run(count(name))
                ended.extend(data["output"]["text"][0] for data in filter_by_type(frames, "executed"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert sorted(ended) == sorted(f"client {number}, turn {turn}" for number in range(6) for turn in range(5))
