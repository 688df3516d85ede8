"""A kit with `place="runninghub"` sends its own graphs there; no other kit does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, SettingsError, WorkflowError
from comfykit_jupyter.notebook.page.code import build_code
from tests.client import workflows
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .runninghub import RunningHub

EXAMPLE = Path(__file__).parents[2] / "notebooks/workflows/text_to_image.json"


@pytest.fixture
def there(make_kit: MakeKit) -> ComfyKit:
    return make_kit(place="runninghub", raise_on_error=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "local.json"
    path.write_text(json.dumps(workflows.picture()))
    return path


def read_graph(cloud: RunningHub) -> Any:
    (request,) = cloud.find_requests("create")
    return json.loads(request.body["workflow"])


def test_a_file_runs_on_runninghub_with_its_values(there: ComfyKit, cloud: RunningHub, file: Path) -> None:
    cloud.workflows.clear()
    result = there.run(str(file), width=48)
    assert (result.status, result.server, result.workflow_name) == ("completed", cloud.url, "local")
    assert result["cover"][0].pil().size == (48, 16)
    assert result.warnings == []
    assert read_graph(cloud)["1"]["inputs"]["width"] == 48
    assert cloud.find_requests("create")[0].body["nodeInfoList"] == []
    assert cloud.files.leaks == []


@pytest.mark.parametrize("shape", ["path", "dict", "loaded"])
def test_all_shapes_of_a_workflow_run_there(shape: str, there: ComfyKit, cloud: RunningHub, file: Path) -> None:
    sources: dict[str, Any] = {"path": file, "dict": workflows.picture(), "loaded": there.load(file)}
    assert there.run(sources[shape]).status == "completed"
    assert len(cloud.tasks) == 1


def test_a_kit_without_place_runs_no_file_there(kit: ComfyKit, cloud: RunningHub, file: Path) -> None:
    result = kit.run(file)
    assert result.error is not None
    assert result.error.kind == "unreachable"
    assert not cloud.requests


def test_options_choose_the_place_for_some_runs(make_kit: MakeKit, cloud: RunningHub, file: Path) -> None:
    kit = make_kit()
    there = kit.options(place="runninghub")
    assert there.run(file).server == cloud.url
    assert there._backends is kit._backends
    assert "place='runninghub'" in repr(there)
    back = there.options(place=None)
    assert back.place is None
    with pytest.raises(ComfyKitError):
        back.run(file)


def test_place_is_not_read_from_the_environment(make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLACE", "RUNNINGHUB_PLACE", "COMFYUI_PLACE", "COMFYKIT_PLACE"):
        monkeypatch.setenv(name, "runninghub")
    assert make_kit().place is None


def test_only_known_places_are_accepted() -> None:
    with pytest.raises(SettingsError, match=r"^place must be 'runninghub', not 'moon'$"):
        ComfyKit(place="moon")  # type: ignore[arg-type]


def test_saved_workflows_still_run_by_their_ids(there: ComfyKit, cloud: RunningHub) -> None:
    assert there.run(WORKFLOW).status == "completed"
    (request,) = cloud.find_requests("create")
    assert request.body["workflowId"] == WORKFLOW
    assert "workflow" not in request.body


def test_files_of_a_graph_are_uploaded_there(there: ComfyKit, cloud: RunningHub) -> None:
    png = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(png, "PNG")
    result = there.run(workflows.inverted(), image=png.getvalue())
    assert result.status == "completed", result.msg
    assert read_graph(cloud)["1"]["inputs"]["image"].startswith("openapi/")


def test_seeds_that_the_site_may_draw_again_are_a_warning(there: ComfyKit, cloud: RunningHub) -> None:
    result = there.run(EXAMPLE, seed=5, steps=1, width=64, height=64)
    assert result.status == "completed", result.msg
    assert result.seeds == {"seed": 5}
    assert read_graph(cloud)["3"]["inputs"]["seed"] == 5
    assert [line for line in result.warnings if "may draw other seeds" in line] == result.warnings != []


def test_editor_format_is_rejected_with_the_way_to_convert_it(make_kit: MakeKit, cloud: RunningHub) -> None:
    editor: dict[str, Any] = {
        "nodes": [{"id": 1, "type": "EmptyImage", "inputs": [], "outputs": [], "widgets_values": [1, 1, 1, 0]}],
        "links": [],
    }
    with pytest.raises(WorkflowError, match=r"in editor format, which .* can't convert: export it in API format"):
        make_kit(place="runninghub").run(editor)
    assert not cloud.tasks


def test_the_site_names_what_it_rejects_in_a_graph(there: ComfyKit, cloud: RunningHub) -> None:
    graph = workflows.picture()
    graph["1"]["inputs"]["width"] = -1
    result = there.run(graph)
    assert result.error is not None
    assert (result.error.kind, cloud.tasks) == ("refused", {})
    assert "Canvas" in str(result.msg)


def test_code_of_a_form_names_the_place(there: ComfyKit, file: Path) -> None:
    result = there.run(file, width=40)
    code = build_code(str(file), result, there.load(file), there)
    assert "place='runninghub')\n" in code
    assert "runninghub_url=" in code
    assert "comfyui_url" not in code
