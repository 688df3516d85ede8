"""Test the example workflows of the package, and how they are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit, Workflow
from comfykit_jupyter.client.errors import SourceError
from comfykit_jupyter.client.inputs.examples import list_examples

SMALL = {"width": 64, "height": 64, "steps": 1, "frames": 2}


def test_there_are_examples_of_images_and_video() -> None:
    assert list_examples() == ["example:clip", "example:portrait", "example:restyle"]


@pytest.mark.parametrize("example", list_examples())
async def test_example_runs_on_the_embedded_server(kit: ComfyKit, example: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {field.name: field for field in kit.fields(example)}
    values: dict[str, Any] = {name: value for name, value in SMALL.items() if name in fields}
    if "image" in fields:
        Image.new("RGB", (80, 40), "teal").save(tmp_path / "any.png")
        values["image"] = tmp_path / "any.png"
    result = await kit.execute(example, values)
    assert result.status == "completed", result.msg
    assert len(result.media) == 1


def test_example_is_called_by_its_name_in_messages(kit: ComfyKit) -> None:
    workflow = kit.load("example:portrait")
    assert isinstance(workflow, Workflow)
    assert workflow.name == "portrait"


@pytest.mark.parametrize("name", ["example:potrait", "example:../examples/portrait", "example:"])
def test_unknown_example_is_rejected(kit: ComfyKit, name: str) -> None:
    with pytest.raises(SourceError) as error:
        kit.load(name)
    there_are = "there are example:clip, example:portrait, example:restyle"
    assert str(error.value) == f"there is no example {name}: {there_are}"
