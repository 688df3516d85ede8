"""The main scenarios on a real server: the example workflows, with both executor types."""

from __future__ import annotations

import asyncio
import io
import uuid
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit, RunFailed
from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.workflow.progress.progress import Progress

from .conftest import Shelf

SMALL = {"width": 64, "height": 64, "steps": 2, "prompt": "a red fox in the snow"}


def picture(size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Return a random image, which the server cannot have in its cache."""
    noise = np.frombuffer(uuid.uuid4().bytes * (size[0] * size[1] * 3 // 16 + 1), np.uint8)
    return Image.fromarray(noise[: size[0] * size[1] * 3].reshape(size[1], size[0], 3).copy())


def list_unfinished_jobs(kit: ComfyKit) -> set[str]:
    """Return the IDs of the server's unfinished jobs."""
    queue: dict[str, Any] = loop.call(kit._get_backend(ComfyUI).api.request("GET", "/queue")).json()
    return {item[1] for part in ("queue_running", "queue_pending") for item in queue[part]}


async def test_text_to_image_and_again_from_the_cache(kit: ComfyKit, shelf: Shelf, model: str) -> None:
    workflow = shelf("text_to_image.json")
    drawn = await kit.execute(workflow, {**SMALL, "model": model, "seed": "random"})
    assert drawn.status == "completed", drawn.msg
    assert drawn["picture"][0].pil().size == (64, 64)
    assert drawn.images_by_var == {"picture": drawn.images}
    again = await kit.execute(workflow, {**SMALL, "model": model, "seed": drawn.seeds["seed"]})
    assert again.status == "completed", again.msg
    assert again.images == drawn.images
    assert "3" in again.cached_nodes
    assert again.server_version


async def test_image_to_image(kit: ComfyKit, shelf: Shelf, model: str) -> None:
    values = {**SMALL, "model": model, "image": picture(), "denoise": 0.5}
    result = await kit.execute(shelf("image_to_image.json"), values)
    assert result.status == "completed", result.msg
    assert result.image.pil().size == (64, 64)


async def test_an_uploaded_image_comes_back_inverted(kit: ComfyKit) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "$image.~image!"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "sub dir/ü & co"}},
    }
    sent = picture()
    first = await kit.execute(graph, {"image": sent})
    assert first.status == "completed", first.msg
    difference = np.asarray(first.image.pil()).astype(int) - (255 - np.asarray(sent))
    assert np.abs(difference).max() <= 1
    back = await kit.execute(graph, {"image": first.image})
    assert back.status == "completed", back.msg
    assert np.abs(np.asarray(back.image.pil()).astype(int) - np.asarray(sent)).max() <= 2


async def test_video(kit: ComfyKit, shelf: Shelf, model: str) -> None:
    values = {**SMALL, "model": model, "frames": 3, "seed": "random"}
    result = await kit.execute(shelf("video.json"), values)
    assert result.status == "completed", result.msg
    assert result.videos_by_var == {"clip": result.videos}
    with av.open(io.BytesIO(result.video.read())) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


async def test_audio_is_trimmed(kit: ComfyKit, shelf: Shelf, beep: bytes) -> None:
    result = await kit.execute(shelf("audio.json"), {"audio": beep, "duration": 0.25})
    assert result.status == "completed", result.msg
    with av.open(io.BytesIO(result.audio.read())) as container:
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(0.25, abs=0.15)


async def test_texts_are_joined(kit: ComfyKit, shelf: Shelf) -> None:
    result = await kit.execute(shelf("text.json"), {"subject": "a fox", "style": "in ink"})
    assert result.status == "completed", result.msg
    assert result.text.startswith("a fox")
    assert result.text.endswith("in ink")
    assert result["text"] == [result.text]


async def test_a_prompt_rejected_by_the_server_names_node_and_input(kit: ComfyKit, shelf: Shelf) -> None:
    shelf("text.json")
    graph = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "x"}},
        "2": {"class_type": "PreviewAny", "inputs": {}, "_meta": {"title": "Nothing to show"}},
    }
    result = await kit.execute(graph)
    assert result.error is not None
    assert (result.error.kind, result.error.node_title, result.error.field) == ("refused", "Nothing to show", "source")


async def test_a_wrong_choice_is_rejected_before_sending(kit: ComfyKit, shelf: Shelf, model: str) -> None:
    result = await kit.execute(shelf("text_to_image.json"), {"model": f"{model}x", "steps": 0})
    assert result.error is not None
    assert (result.error.kind, result.prompt_id) == ("invalid", None)
    assert f"{model!r}" in str(result.msg)
    assert "steps" in str(result.msg)


@pytest.mark.parametrize("way", ["cancel", "task"])
async def test_cancelling_a_running_job_leaves_another_one_alone(
    way: str, kit: ComfyKit, shelf: Shelf, model: str
) -> None:
    workflow, long = shelf("text_to_image.json"), {**SMALL, "model": model, "steps": 1000}
    run = kit._prepare(workflow, {**long, "seed": "random"}, listen=kit.executor_type == "websocket").start()
    after = kit.submit(workflow, {**SMALL, "model": model, "seed": "random"})
    await until_running(run)
    if way == "cancel":
        await asyncio.to_thread(run.cancel)
        with pytest.raises(RunFailed):
            await run
    else:
        waiting = asyncio.ensure_future(run.wait_for_result())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await run.wait_for_result()  # a server stops between two steps, which can take longer than cancel() waits
    assert run.status == "cancelled"
    assert (await after).status == "completed"
    assert run.prompt_id not in await asyncio.to_thread(list_unfinished_jobs, kit)


async def until_running(run: Run) -> None:
    running = asyncio.Event()
    here = asyncio.get_running_loop()

    def look(progress: Progress) -> None:
        if progress.status == "running":
            here.call_soon_threadsafe(running.set)

    stop = run.subscribe(progress=look)
    await asyncio.wait_for(running.wait(), 120)
    stop()


async def test_progress_and_previews_arrive_while_sampling(kit: ComfyKit, shelf: Shelf, model: str) -> None:
    run = kit.submit(shelf("text_to_image.json"), {**SMALL, "model": model, "steps": 6, "seed": "random"})
    reported: list[Any] = []
    previews: list[Any] = []
    run.subscribe(progress=reported.append, preview=previews.append)
    assert (await run).status == "completed"
    assert {6} <= {progress.steps for progress in reported}
    fractions = [progress.fraction for progress in reported]
    assert fractions == sorted(fractions)
    assert reported[-1].status == "completed"
    for preview in previews:  # a server can be configured to send none
        assert preview.node_id == "3"
        Image.open(io.BytesIO(preview.data)).load()
