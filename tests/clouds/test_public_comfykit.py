"""Test that the public `comfykit` 0.1.12 works with the double of RunningHub, as it does with the site."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.client import workflows
from tests.client.packages import UPSTREAM
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .runninghub import Polls, RunningHub

INVERTED = "1904136902449209777"
PLAY = Path(__file__).with_name("play_comfykit.py")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (24, 16), "red").save(path)
    return path


def play(cloud: RunningHub, **spec: Any) -> Any:
    """Run `play_comfykit.py` with the public `comfykit`, and return what it printed."""
    if not UPSTREAM.exists():
        pytest.skip("comfykit 0.1.12 is not installed in .venv/comfykit: `make .venv/.comfykit`")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNINGHUB_", "PYTHON"))}
    done = subprocess.run(
        [str(UPSTREAM), str(PLAY), cloud.url, cloud.key, json.dumps(spec)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_comfykit_runs_uploads_and_asks(cloud: RunningHub, photo: Path, make_kit: MakeKit) -> None:
    cloud.workflows[INVERTED] = workflows.inverted()
    cloud.pace = Polls(queued=0, running=0)
    runs = [
        {"workflow": WORKFLOW, "params": {"width": 48, "height": 24}},
        {"workflow": INVERTED, "params": {"image": str(photo)}},
    ]
    got = play(cloud, runs=runs, file=str(photo), settings={"runninghub_instance_type": "plus"})
    first, second = got["results"]
    assert [first["status"], second["status"]] == ["completed", "completed"], (first["msg"], second["msg"])
    assert first["images_by_var"]["cover"] == first["images"]
    assert second["images_by_var"]["negative"] == second["images"]
    assert [task.instance_type for task in cloud.tasks.values()] == ["plus", "plus"]
    assert got["uploaded"].startswith("api/")
    assert got["uploaded"].endswith(".png")
    assert got["status"] == {"status": "SUCCESS", "msg": "", "code": 0}
    assert [each["fileUrl"] for each in got["outputs"]] == first["images"]
    assert got["graph"] == cloud.workflows[WORKFLOW]
    assert all("fileType" not in request.body for request in cloud.find_requests("upload"))

    ours = make_kit().run(WORKFLOW, width=48, height=24)
    assert ours.image.pil().tobytes() == make_kit().attach(first["prompt_id"]).result().image.pil().tobytes()
