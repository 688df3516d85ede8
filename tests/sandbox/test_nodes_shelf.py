"""The workflows of the shelf run on the embedded server, as they are, and give what their titles promise."""

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
from tests.sandbox.client import Client, of_type, types
from tests.sandbox.node_run import NodeRun

SHELF = Path(__file__).parents[2] / "notebooks" / "workflows"


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SHELF / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def run(client: Client, prompt: dict[str, Any]) -> dict[str, Any]:
    """The outputs of a run that succeeds, by the names that the titles give them."""
    prompt_id, _ = client.run(prompt)
    entry = client.find_history(prompt_id)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"]
    return {
        node["_meta"]["title"].removeprefix("$output."): entry["outputs"][key]
        for key, node in prompt.items()
        if node["_meta"]["title"].startswith("$output.")
    }


def fetched(client: Client, entry: dict[str, str]) -> bytes:
    response: httpx.Response = client.http.get("/view", params=entry)
    return response.raise_for_status().content


def test_text_to_image(client: Client) -> None:
    prompt = workflow("text_to_image")
    [entry] = run(client, prompt)["picture"]["images"]
    with Image.open(io.BytesIO(fetched(client, entry))) as picture:
        assert picture.size == (512, 512)
        assert json.loads(picture.info["prompt"]) == prompt


def test_each_step_comes_with_a_preview(client: Client) -> None:
    _, frames = client.run(workflow("text_to_image"))
    assert types(frames).count("binary") == 20
    assert [data["value"] for data in of_type(frames, "progress")] == list(range(1, 21))


def test_image_to_image(client: Client, server: Sandbox) -> None:
    prompt = workflow("image_to_image")
    Image.new("RGB", (300, 200), (200, 40, 20)).save(server.folder / "input" / "example.png")
    [entry] = run(client, prompt)["picture"]["images"]
    with Image.open(io.BytesIO(fetched(client, entry))) as picture:
        assert picture.size == (512, 512)


def test_video(client: Client) -> None:
    [entry] = run(client, workflow("video"))["clip"]["images"]
    with av.open(io.BytesIO(fetched(client, entry))) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    assert len(frames) == 16
    moves = [
        float(np.abs(after - before).mean()) for before, after in zip(frames, [*frames[1:], frames[0]], strict=True)
    ]
    assert min(moves) > 0
    assert moves[-1] < 2 * max(moves[:-1])  # from the last frame back to the first: it can be played in a loop


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
    with av.open(io.BytesIO(fetched(client, entry))) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(44100, abs=3000)


def test_text(client: Client) -> None:
    assert run(client, workflow("text"))["text"] == {"text": ["a red fox in the snow, watercolor, morning light"]}
