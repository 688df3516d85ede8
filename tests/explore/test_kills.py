"""Test that a kernel killed at any step of a point's life loses nothing, and that no point is run twice."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.sandbox import Sandbox
from tests.client.workflows import picture
from tests.explore.killed import POINTS, STEPS, get_axes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox() as server:
        yield server


@pytest.fixture(scope="module")
def ends(server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of the killed kernels, and the signal that ended each."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.explore.killed", server.url, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    lines = [line.rpartition(" ") for line in done.stdout.splitlines()]
    return folder, {step: signal for step, _, signal in lines}


def count_by_width(url: str) -> collections.Counter[int]:
    """Return how many jobs of each width the server has run, or has in its queue, by its own record."""
    with urllib.request.urlopen(f"{url}/history?max_items=1000") as answer:
        prompts = [record["prompt"][2] for record in json.load(answer).values()]
    with urllib.request.urlopen(f"{url}/queue") as answer:
        prompts += [job[2] for jobs in json.load(answer).values() for job in jobs]
    return collections.Counter(prompt["1"]["inputs"]["width"] for prompt in prompts)


@pytest.mark.parametrize("step", STEPS)
def test_no_point_is_lost_or_run_twice(server: Sandbox, ends: tuple[Path, dict[str, str]], step: str) -> None:
    folder, signals = ends
    assert signals[step] == "9"
    kit = ComfyKit(server.url, runs=folder / str(list(STEPS).index(step)))
    axes = get_axes(step)
    sweep = kit.sweep(picture(), over=axes).wait()
    assert [row.status for row in sweep.done] == ["completed"] * POINTS
    assert [row.image.pil().width for row in sweep.done] == axes["width"]
    jobs = count_by_width(server.url)
    assert [jobs[width] for width in axes["width"]] == [1] * POINTS
    yesterday = time.time() - 25 * 3600
    for path in kit.runs.folder.rglob("*.part"):
        os.utime(path, (yesterday, yesterday))
    kit.runs.compact()
    assert not list(kit.runs.folder.rglob("*.part"))  # what was half written does not stay
    assert kit.sweep(picture(), over=axes).plan.count("have") == POINTS
