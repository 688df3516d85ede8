"""The command line: run the double on its own, or for as long as a command runs (`… -- pytest`)."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.command import run_command

from . import App, Field, RunningHub

SHELF = Path(__file__).parents[3] / "notebooks/workflows"
WORKFLOWS = {
    "1904136902449209346": "text_to_image",
    "1904136902449209347": "image_to_image",
    "1904136902449209348": "text",
    "1904136902449209349": "audio",
    "1904136902449209350": "video",
}
"""The example workflows, by their IDs in the double."""
APPS = {
    "1937084629516193794": App(
        "Fuchs im Schnee · 雪中的狐狸",
        "1904136902449209346",
        [
            Field("6", "text", "STRING", "提示词"),
            Field("4", "ckpt_name", "LIST", "Model"),
            Field("3", "steps", "INT", "Steps"),
            Field("3", "cfg", "FLOAT", "CFG"),
            Field("3", "seed", "INT", "Seed"),
        ],
    ),
    "1937084629516193795": App(
        "Repaint · 重绘",
        "1904136902449209347",
        [Field("1", "image", "IMAGE", "上传图像"), Field("6", "text", "STRING"), Field("3", "denoise", "FLOAT")],
    ),
    "1937084629516193796": App(
        "Louder · 更响",
        "1904136902449209349",
        [Field("1", "audio", "AUDIO", "上传音频"), Field("3", "volume", "INT")],
    ),
}
"""Apps made from the example workflows."""


def fill(cloud: RunningHub) -> None:
    """Add the example workflows and apps to a cloud."""
    for workflow_id, name in WORKFLOWS.items():
        cloud.workflows[workflow_id] = json.loads((SHELF / f"{name}.json").read_text())
    # The site adds such an input to text fields.
    cloud.workflows["1904136902449209346"]["6"]["inputs"]["speak_and_recognation"] = {"__value__": [False, True]}
    cloud.apps.update(APPS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and (given[0] != "--" or len(given) == 1):
        print("usage: python -m tests.clouds.runninghub [-- COMMAND ARGS…]", file=sys.stderr)
        return 2
    command = given[1:]
    with Sandbox() as server, RunningHub(server.url) as cloud:
        fill(cloud)
        cloud.waits_for_socket = True  # so that clients see progress
        where = sys.stderr if command else sys.stdout  # keep the command's output clean
        print(f"RUNNINGHUB_BASE_URL={cloud.url}\nRUNNINGHUB_API_KEY={cloud.key}", file=where)
        names = {**WORKFLOWS, **{app_id: f"app: {app.name}" for app_id, app in APPS.items()}}
        print(*(f"# {item_id} {name}" for item_id, name in names.items()), sep="\n", file=where, flush=True)
        if command:
            return run_command(command, RUNNINGHUB_BASE_URL=cloud.url, RUNNINGHUB_API_KEY=cloud.key)
        return _wait_for_signal()


def _wait_for_signal() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
