"""Files that a real server saved are run again: images, animations, audio and videos."""

from __future__ import annotations

import random
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client import loop

EDITOR = {"nodes": [{"id": 1, "type": "EmptyImage", "title": "雪"}], "links": [], "version": 0.4}
SAVERS: dict[str, dict[str, Any]] = {
    "SaveImage": {},
    "SaveAnimatedWEBP": {"fps": 6.0, "lossless": True, "quality": 80, "method": "default"},
    "SaveAnimatedPNG": {"fps": 6.0, "compress_level": 4},
    "SaveWEBM": {"codec": "vp9", "fps": 24.0, "crf": 32.0},
    "SaveVideo": {"format": "auto", "codec": "auto"},
    "SaveAudio": {},
    "SaveAudioMP3": {"quality": "V0"},
    "SaveAudioOpus": {"quality": "128k"},
}


def build_source(saver: str) -> dict[str, Any]:
    """Return nodes that create something to save: random images, or silence of a random length."""
    color, duration = random.randrange(1 << 24), round(random.uniform(0.1, 1), 3)
    if "Audio" in saver:
        source = {"class_type": "EmptyAudio", "inputs": {"duration": duration, "sample_rate": 44100, "channels": 1}}
        return {"1": {**source, "_meta": {"title": "Silence, $what.duration"}}}
    source = {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 2, "color": color}}
    graph: dict[str, Any] = {"1": {**source, "_meta": {"title": "Canvas, $what.color"}}}
    if saver == "SaveVideo":
        graph["2"] = {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8.0}}
    return graph


@pytest.mark.parametrize("saver", SAVERS)
def test_a_saved_file_runs_again(saver: str, kit: ComfyKit) -> None:
    graph = build_source(saver)
    field = "video" if saver == "SaveVideo" else "audio" if "Audio" in saver else "images"
    inputs = {field: [list(graph)[-1], 0], "filename_prefix": "comfykit/carried", **SAVERS[saver]}
    graph["9"] = {"class_type": saver, "inputs": inputs}
    classes = {each["class_type"] for each in graph.values()}
    if lacking := classes - set(loop.call(kit.find_backend().get_definitions(classes))):
        pytest.skip(f"the server has no {', '.join(sorted(lacking))}")
    first = kit.run({"prompt": graph, "workflow": EDITOR})
    read = kit.load(first.media[0].path)
    assert read.prompt == graph
    assert read.editor == EDITOR
    again = kit.run(first.media[0], what=build_source(saver)["1"]["inputs"][read.parameters["what"].targets[0].field])
    assert again.status == "completed"
    assert kit.load(again.media[0]).prompt == again.prompt
