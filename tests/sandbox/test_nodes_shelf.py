"""The example workflows run unchanged on the embedded server and produce the outputs in their titles."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from comfykit_jupyter.sandbox import Sandbox
from tests.sandbox.client import Client, filter_by_type, list_types
from tests.sandbox.node_run import NodeRun

SHELF = Path(__file__).parents[2] / "notebooks" / "workflows"


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SHELF / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def run(client: Client, prompt: dict[str, Any]) -> dict[str, Any]:
    """Run a prompt and return its outputs by the names in their titles."""
    prompt_id, _ = client.run(prompt)
    entry = client.find_history(prompt_id)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"]
    return {
        node["_meta"]["title"].removeprefix("$output."): entry["outputs"][key]
        for key, node in prompt.items()
        if node["_meta"]["title"].startswith("$output.")
    }


def fetch(client: Client, entry: dict[str, str]) -> bytes:
    response: httpx.Response = client.http.get("/view", params=entry)
    return response.raise_for_status().content


def test_text_to_image(client: Client) -> None:
    prompt = workflow("text_to_image")
    [entry] = run(client, prompt)["picture"]["images"]
    with Image.open(io.BytesIO(fetch(client, entry))) as picture:
        assert picture.size == (512, 512)
        assert json.loads(picture.info["prompt"]) == prompt


def test_each_step_has_a_preview(client: Client) -> None:
    _, frames = client.run(workflow("text_to_image"))
    assert list_types(frames).count("binary") == 20
    assert [data["value"] for data in filter_by_type(frames, "progress")] == list(range(1, 21))


def test_image_to_image(client: Client, server: Sandbox) -> None:
    prompt = workflow("image_to_image")
    Image.new("RGB", (300, 200), (200, 40, 20)).save(server.folder / "input" / "example.png")
    [entry] = run(client, prompt)["picture"]["images"]
    with Image.open(io.BytesIO(fetch(client, entry))) as picture:
        assert picture.size == (512, 512)


def test_video(client: Client) -> None:
    [entry] = run(client, workflow("video"))["clip"]["images"]
    with av.open(io.BytesIO(fetch(client, entry))) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    assert len(frames) == 16
    moves = [
        float(np.abs(after - before).mean()) for before, after in zip(frames, [*frames[1:], frames[0]], strict=True)
    ]
    assert min(moves) > 0
    assert moves[-1] < 2 * max(moves[:-1])  # from the last frame to the first: the video is a seamless loop


def test_audio(client: Client, server: Sandbox, tmp_path: Path) -> None:
    maker = NodeRun(tmp_path)
    made = maker.run(
        "SaveAudio",
        audio={"waveform": np.full((1, 2, 44100), 0.1, dtype=np.float32), "sample_rate": 44100},
        filename_prefix="a",
    )
    prompt = workflow("audio")
    prompt["1"]["inputs"]["audio"] = "sound.flac"
    maker.saved(made, "audio")[0].rename(server.folder / "input" / "sound.flac")
    [entry] = run(client, prompt)["sound"]["audio"]
    assert entry["filename"].endswith(".mp3")
    with av.open(io.BytesIO(fetch(client, entry))) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(44100, abs=3000)


def test_text(client: Client) -> None:
    assert run(client, workflow("text"))["text"] == {"text": ["a red fox in the snow, watercolor, morning light"]}
