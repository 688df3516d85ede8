"""Test the names of presets, and of the files that are written beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKitError, Workflow
from comfykit_jupyter.client.presets import folder as preset_folder
from comfykit_jupyter.client.presets.folder import PresetFolder

PHOTO = Image.new("RGB", (4, 4), "red")
PARAMETER = "a_photo_" * 8


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    """A workflow with an image whose parameter has a long name; the current folder is empty."""
    monkeypatch.chdir(tmp_path)
    node = {"class_type": "LoadImage", "inputs": {"image": "own.png"}, "_meta": {"title": f"${PARAMETER}.image"}}
    return Workflow.parse({"1": node}, "photo")


def list_folder() -> list[str]:
    return sorted(each.name for each in Path("presets").iterdir())


@pytest.mark.parametrize("name", ["x" * 64, "光" * 64, "हिन्दी में", "ภาษาไทยที่นี่", "שָׁלוֹם"])
def test_name_in_any_script_is_that_of_a_file(workflow: Workflow, name: str) -> None:
    workflow.save_preset(name, {PARAMETER: PHOTO})
    assert workflow.presets() == (name,)
    (image,) = (each for each in list_folder() if each.endswith(".png"))
    assert len(image.encode()) < 255
    assert Path(workflow.use_preset(name).bind({}).params[PARAMETER]).is_file()


def test_name_is_refused_that_is_too_long_for_a_file_or_begins_with_a_mark(workflow: Workflow) -> None:
    with pytest.raises(ComfyKitError, match="must have at most 192 bytes"):
        workflow.save_preset("𠀀" * 64)
    with pytest.raises(ComfyKitError, match="letters, digits"):
        workflow.save_preset("\u0e35x")


def test_image_is_kept_beside_a_preset_that_is_not_listed(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preset_folder, "MAX_PRESETS", 1)
    workflow.save_preset("a")
    workflow.save_preset("b", {PARAMETER: PHOTO})
    assert Path(workflow.use_preset("b").bind({}).params[PARAMETER]).is_file()


def test_image_survives_a_change_of_case_where_names_that_differ_in_case_are_one(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow.save_preset("Soft", {PARAMETER: PHOTO})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", lambda path: path.name.lower() in map(str.lower, list_folder()))
        PresetFolder().rename("Soft", "soft")
    assert [each[:5] for each in list_folder()] == ["soft.", "soft."]


def test_folder_with_the_name_of_an_image_is_left_alone(workflow: Workflow) -> None:
    odd = Path(f"presets/a.photo-{'0' * 16}.png")
    odd.mkdir(parents=True)
    workflow.save_preset("a")
    assert odd.is_dir()
