"""Small workflows for the tests, built afresh at every call."""

from __future__ import annotations

import json
from typing import Any

Graph = dict[str, Any]


def picture(*, prefix: str = "picture") -> Graph:
    """One picture of one colour: takes milliseconds. Parameters: width, height, color, name; output: cover."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 255},
            "_meta": {"title": "Canvas, $width, $height, $color"},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": prefix},
            "_meta": {"title": "$output.cover"},
        },
    }


def gated(name: str, *, steps: int = 3) -> Graph:
    """A picture that waits at `GATES[name]`."""
    graph = picture()
    graph["3"] = {
        "class_type": "TestGate",
        "inputs": {"image": ["1", 0], "name": name, "steps": steps},
        "_meta": {"title": "The gate"},
    }
    graph["2"]["inputs"]["images"] = ["3", 0]
    return graph


def failing() -> Graph:
    """A picture that is saved, and another branch that fails after it."""
    graph = picture()
    graph["3"] = {
        "class_type": "TestBoom",
        "inputs": {"image": ["1", 0]},
        "_meta": {"title": "The bomb, $unused.image"},
    }
    graph["4"] = {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}
    return graph


def inverted() -> Graph:
    """A picture that is sent there and comes back inverted. Parameter: image; output: negative."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "$image.~image!"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "negative"},
            "_meta": {"title": "$output.negative"},
        },
    }


def text(value: str = "hello") -> Graph:
    """A text that is shown. Parameter: say; output: words."""
    return {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": value}, "_meta": {"title": "$say.value"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}, "_meta": {"title": "$output.words"}},
    }


def sound() -> Graph:
    """A tenth of a second of silence. Parameter: duration; output: take."""
    return {
        "1": {
            "class_type": "EmptyAudio",
            "inputs": {"duration": 0.1, "sample_rate": 8000, "channels": 1},
            "_meta": {"title": "$duration"},
        },
        "2": {
            "class_type": "SaveAudio",
            "inputs": {"audio": ["1", 0], "filename_prefix": "audio/take"},
            "_meta": {"title": "$output.take"},
        },
    }


def clip() -> Graph:
    """Four frames as an mp4. Parameter: fps; output: clip."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 4, "color": 99}},
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8.0}, "_meta": {"title": "$fps"}},
        "3": {
            "class_type": "SaveVideo",
            "inputs": {"video": ["2", 0], "filename_prefix": "video/clip", "format": "auto", "codec": "auto"},
            "_meta": {"title": "$output.clip"},
        },
    }


def showing(*outputs: dict[str, Any]) -> Graph:
    """Nodes that show the given outputs, ids from 1."""
    return {
        str(number): {"class_type": "TestShow", "inputs": {"output": json.dumps(output)}}
        for number, output in enumerate(outputs, 1)
    }


def napping(seconds: float, name: str) -> Graph:
    """A text that takes its time; its name makes it a new one."""
    return {"1": {"class_type": "TestNap", "inputs": {"seconds": seconds, "name": name}}}
