"""Test which values `execute` ignores with a warning, as the original comfykit does, and which calls reject them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ParameterError
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy

FRAME = {"width": 16, "prompt": "a cat", "index": 1, "duration": 3.5}
"""What a video maker gives with every frame, whatever the workflow declares."""


async def test_unknown_parameters_are_ignored_with_a_warning(either: ComfyKit) -> None:
    result = await either.execute_json(workflows.picture(), FRAME)
    assert (result.status, len(result.images)) == ("completed", 1), result.msg
    assert result.params["width"] == 16
    assert not {"prompt", "index", "duration"} & {*result.params}
    assert [line.partition(":")[0] for line in result.warnings] == ["prompt", "index", "duration"]


async def test_workflow_that_only_declares_a_prompt_completes(either: ComfyKit) -> None:
    graph = workflows.text()
    graph["1"]["_meta"] = {"title": "$prompt.value!"}
    values = {"prompt": "a cat", "width": 1024, "height": 1024, "duration": 3.2, "index": 1, "negative_prompt": "dog"}
    result = await either.execute_json(graph, values)
    assert (result.status, result.params) == ("completed", {"prompt": "a cat"}), result.msg
    assert len(result.warnings) == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("widht", "widht: workflow has no such parameter: did you mean 'width'? (ignored)"),
        ("Canvas.widht", "Canvas.widht: Canvas has no input 'widht': did you mean 'width'? (ignored)"),
        ("9.width", None),
        (7, "7: workflow has no such parameter: there are width, height, color (ignored)"),
        ("two\nlines", None),
    ],
)
async def test_warning_has_the_nearest_name_and_is_one_line(kit: ComfyKit, name: Any, message: str | None) -> None:
    result = await kit.execute_json(workflows.picture(), {name: 16})
    assert result.status == "completed", result.msg
    (line,) = result.warnings
    assert line.isprintable()
    assert message in (None, line)


async def test_known_values_are_checked_as_ever(kit: ComfyKit) -> None:
    result = await kit.execute_json(workflows.picture(), {"width": "wide", "index": 1})
    assert result.status == "failed"
    assert "width (Canvas)" in (result.msg or "")
    assert "index" not in (result.msg or "")


@pytest.mark.parametrize(
    "call",
    [
        lambda kit: kit.run(workflows.picture(), FRAME),
        lambda kit: kit.submit(workflows.picture(), FRAME).result(),
        lambda kit: kit.dry_run(workflows.picture(), FRAME),
        lambda kit: kit.form(workflows.picture(), FRAME),
    ],
)
def test_other_calls_reject_unknown_parameters(kit: ComfyKit, call: Callable[[ComfyKit], object]) -> None:
    with pytest.raises(ParameterError, match="index: workflow has no such parameter"):
        call(kit)


async def test_unknown_parameter_costs_no_requests(proxy: Proxy, make_kit: MakeKit) -> None:
    """A video maker gives one with each of a hundred frames."""
    kit = make_kit(proxy.url)
    await kit.execute_json(workflows.picture(), FRAME)
    asked = len(proxy.seen)
    await kit.execute_json(workflows.picture(), FRAME)
    assert not [seen.path for seen in proxy.seen[asked:] if seen.path.startswith("/object_info")]


async def test_address_of_an_input_that_the_server_has_learnt_since_is_set(proxy: Proxy, make_kit: MakeKit) -> None:
    kit = make_kit(proxy.url)
    graph = workflows.picture()
    del graph["1"]["inputs"]["color"]
    graph["1"]["_meta"]["title"] = "Canvas"
    await kit.execute_json(graph)
    result = await kit.execute_json(graph, {"Canvas.color": 255})
    assert (result.status, result.warnings) == ("completed", [])
    assert result.prompt["1"]["inputs"]["color"] == 255


async def test_file_of_a_workflow_is_named_in_the_warning(kit: ComfyKit, tmp_path: Path) -> None:
    path = tmp_path / "image_flux.json"
    path.write_text(json.dumps(workflows.picture()))
    result = await kit.execute(str(path), {"index": 1})
    assert result.warnings == ["index: image_flux has no such parameter: there are width, height, color (ignored)"]


def make_unread() -> workflows.Graph:
    graph = workflows.picture()
    graph["1"]["_meta"]["title"] = "Canvas, $my width.width, $height"
    return graph


UNREAD = (
    "Canvas, $my width.width (node 1): the title '$my width.width' is not read: the name of a parameter can't have "
    "a ' ': write $my_width.width"
)


async def test_title_that_is_not_read_is_a_warning(kit: ComfyKit) -> None:
    """In comfykit, names may have spaces and slashes."""
    result = await kit.execute_json(make_unread(), {"my width": 16, "height": 8})
    assert result.status == "completed"
    assert result.warnings[0] == UNREAD
    assert "my width: workflow has no such parameter" in result.warnings[1]
    report = await kit.check(make_unread())
    assert (report.ok, report.warnings) == (True, (UNREAD,))
    assert str(report).splitlines()[1] == f"  warning: {UNREAD}"


def test_form_says_which_title_is_not_read(kit: ComfyKit) -> None:
    form = kit.form(make_unread())
    assert form.notes == [UNREAD]
    form.close()
