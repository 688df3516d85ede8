"""Test that rows have the size and date of their model files, and that replaced files are noticed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.model_files import ModelFile, parse_model_files
from comfykit_jupyter.client.missing import model_files
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

WORKFLOW = Path(__file__).parents[2] / "notebooks/workflows/text_to_image.json"


@pytest.fixture
def place(make_kit: MakeKit) -> Iterator[tuple[ComfyKit, dict[str, Any], Path]]:
    """A kit on a server of its own, a workflow, and the file of its checkpoint."""
    graph: dict[str, Any] = json.loads(WORKFLOW.read_text())
    name = next(node["inputs"]["ckpt_name"] for node in graph.values() if "ckpt_name" in node["inputs"])
    with Sandbox() as server:
        path = server.folder / "models/checkpoints" / name
        path.write_bytes(b"one")
        yield make_kit(server.url), graph, path


def test_a_replaced_model_is_said_and_run_again(
    place: tuple[ComfyKit, dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "MAX_AGE", 0)
    kit, graph, path = place
    over = {"seed": [1, 2]}
    values = {"width": 64, "height": 64, "steps": 1}
    sweep = kit.sweep(graph, values, over=over).wait()
    file = sweep[0].models[path.name]
    assert (file.size, file.modified) == (3, path.stat().st_mtime)
    assert "another file" not in str(kit.sweep(graph, values, over=over).plan)
    path.write_bytes(b"another")
    again = kit.sweep(graph, values, over=over)
    assert (
        f"{path.name}: the server has another file of this name now; retry(stale=True) runs points 0, 1 again"
        in str(again.plan)
    )
    assert again._repr_mimebundle_()["text/html"].count("another file of this name") == 2
    assert again.wait()[0].id == sweep[0].id  # nothing runs again by itself
    again.retry(stale=True).wait()
    assert again[0].id != sweep[0].id
    assert again[0].models[path.name].size == 7
    assert not kit.sweep(graph, values, over=over).plan.replaced
    os.utime(path, (1, 1))
    assert kit.sweep(graph, values, over=over).plan.replaced == {path.name: [0, 1]}
    assert len(kit.history(100)) == 4


def test_single_runs_have_their_models(place: tuple[ComfyKit, dict[str, Any], Path]) -> None:
    kit, graph, path = place
    kit.run(graph, width=64, height=64, steps=1)
    assert kit.runs[0].models[path.name].size == 3
    assert len(kit.runs.where(model=path.stem.upper())) == 1
    assert len(kit.runs.where(model="fox")) == 0


def test_odd_answers_have_no_files() -> None:
    odd: Any
    assert parse_model_files([{"name": "a\\b.ckpt", "size": 1, "modified": 2.5, "pathIndex": 0}]) == {
        "a/b.ckpt": ModelFile(1, 2.5)
    }
    for odd in (None, {}, "x", [1, None, {"name": 3, "size": 1, "modified": 1}, {"name": "a", "size": "1"}]):
        assert parse_model_files(odd) == {}
    for odd in (None, [], [1], ["1", 2], [True, 2], [1, float("nan")], [-1, 2]):
        assert ModelFile.parse(odd) is None


def test_a_copy_on_another_server_is_the_same_file() -> None:
    assert not ModelFile(3, 1.0).is_other(ModelFile(3, 99.0), same_server=False)
    assert ModelFile(3, 1.0).is_other(ModelFile(3, 99.0), same_server=True)
    assert ModelFile(3, 1.0).is_other(ModelFile(4, 1.0), same_server=False)
