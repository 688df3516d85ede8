"""Test that saved media run again: from the file, its path, its URL, or as an output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, Workflow
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows

EDITOR = {"nodes": [{"id": 1, "type": "EmptyImage", "title": "雪"}], "links": [], "version": 0.4}


def _make_workflow(class_type: str, source: str, **inputs: Any) -> dict[str, Any]:
    """Return a workflow whose image, video or audio depends on a seed, with the node that saves it."""
    graph: dict[str, Any] = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ""}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 2}},
        "4": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 7, "steps": 2, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
                "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0],
            },
            "_meta": {"title": "$seed"},
        },
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "CreateVideo", "inputs": {"images": ["5", 0], "fps": 8.0}},
        "7": {"class_type": "EmptyAudio", "inputs": {"duration": 0.2, "sample_rate": 48000, "channels": 1}},
        "8": {"class_type": class_type, "inputs": {"filename_prefix": "carried/ü x", **inputs}},
    }  # fmt: skip
    graph["8"]["inputs"][_SINKS[source]] = [source, 0]
    return graph


_SINKS = {"5": "images", "6": "video", "7": "audio"}
KINDS: dict[str, dict[str, Any]] = {
    "png": _make_workflow("SaveImage", "5"),
    "animated png": _make_workflow("SaveAnimatedPNG", "5", fps=6.0, compress_level=4),
    "animated webp": _make_workflow("SaveAnimatedWEBP", "5", fps=6.0, lossless=True, quality=80, method="default"),
    "mp4": _make_workflow("SaveVideo", "6", format="auto", codec="auto"),
    "webm": _make_workflow("SaveWEBM", "5", codec="vp9", fps=24.0, crf=32.0),
    "flac": _make_workflow("SaveAudio", "7"),
    "mp3": _make_workflow("SaveAudioMP3", "7", quality="V0"),
    "opus": _make_workflow("SaveAudioOpus", "7", quality="128k"),
}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Sandbox]:
    """A second server that shares nothing with the first."""
    with Sandbox() as server:
        yield server


def save_output(kit: ComfyKit, workflow: Any, **values: Any) -> Media:
    """Run a workflow and return its first output."""
    return kit.run(workflow, **values).media[0]


@pytest.mark.parametrize("kind", KINDS)
def test_running_a_saved_file_gives_the_same_bytes(
    kind: str, kit: ComfyKit, make_kit: MakeKit, elsewhere: Sandbox
) -> None:
    checkpoint = kit.fields(KINDS["png"] | {"1": {**KINDS["png"]["1"], "_meta": {"title": "$ckpt_name"}}})
    graph = json.loads(json.dumps(KINDS[kind]))
    name = next(field for field in checkpoint if field.name == "ckpt_name").choices
    assert name
    graph["1"]["inputs"]["ckpt_name"] = name[0]
    first = save_output(kit, {"prompt": graph, "workflow": EDITOR}, seed=2**53 + 1)
    again = save_output(make_kit(elsewhere.url), first.path)
    assert again.read() == first.read()
    other = make_kit(elsewhere.url).load(first.path)
    assert other.editor == EDITOR
    assert other.prompt["4"]["inputs"]["seed"] == 2**53 + 1


@pytest.mark.parametrize("form", ["path", "text", "bytes", "media", "url", "workflow"])
async def test_image_is_accepted_in_every_form_of_a_workflow(form: str, either: ComfyKit) -> None:
    picture = save_output(either, workflows.picture(), width=24)
    sources: dict[str, Any] = {
        "path": picture.path,
        "text": str(picture.path),
        "bytes": picture.read(),
        "media": picture,
        "url": str(picture),
        "workflow": Workflow.parse(picture.read()),
    }
    result = await either.execute(sources[form], {"height": 40})
    assert result.status == "completed", result.msg
    assert result.image.pil().size == (24, 40)
    assert result.prompt["1"]["_meta"]["title"] == "Canvas, $width, $height, $color"


def test_fields_are_read_from_an_image(kit: ComfyKit) -> None:
    fields = {field.name: field for field in kit.fields(save_output(kit, workflows.picture(), color=7))}
    assert list(fields) == ["width", "height", "color"]
    assert (fields["color"].default, fields["color"].max) == (7, 0xFFFFFF)


def test_workflow_name_is_that_of_the_image(kit: ComfyKit) -> None:
    picture = save_output(kit, workflows.picture(prefix="cover"))
    assert kit.run(picture).workflow_name == Path(picture.name).stem


def test_workflow_of_a_large_image_file_is_found(kit: ComfyKit, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(save_output(kit, workflows.picture()).read())
    with path.open("r+b") as file:
        file.truncate(200 << 20)  # larger than any workflow: what follows the image is not read
    assert kit.load(path).prompt["1"]["class_type"] == "EmptyImage"


def test_large_file_that_is_not_media_is_rejected(kit: ComfyKit, tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    with pytest.raises(ComfyKitError, match="larger than 64 MB"):
        kit.load(path)


async def test_image_without_a_workflow_is_reported(kit: ComfyKit, tmp_path: Path) -> None:
    from PIL import Image

    for suffix, kind in (("png", "PNG"), ("webp", "WebP"), ("jpg", "JPEG")):
        Image.new("RGB", (4, 4)).save(tmp_path / f"cat.{suffix}")
        result = await kit.execute(tmp_path / f"cat.{suffix}")
        assert result.status == "failed"
        assert f"cat is a {kind} image that carries no workflow" in (result.msg or "")


def test_error_page_instead_of_a_file_is_reported(kit: ComfyKit, sandbox: Sandbox) -> None:
    with pytest.raises(ComfyKitError, match="answers 404"):
        kit.load(f"{sandbox.url}/nothing/cat.png")


def test_workflow_is_saved_and_loaded_again(kit: ComfyKit, tmp_path: Path) -> None:
    workflow = kit.load(save_output(kit, {"prompt": workflows.picture(prefix="kept"), "workflow": EDITOR}))
    assert kit.load(workflow.save(tmp_path / "api.json")).prompt == workflow.prompt
    kept = Workflow.parse(workflow.save(tmp_path / "editor.json", editor=True).read_bytes())
    assert kept.editor == EDITOR
    assert not kept.resolved
    with pytest.raises(ComfyKitError, match="no graph in editor format"):
        Workflow.parse(workflows.picture()).save(tmp_path / "none.json", editor=True)


def test_parameters_of_an_untitled_image_get_names_that_its_own_outputs_keep(kit: ComfyKit) -> None:
    graph = workflows.picture()
    del graph["1"]["_meta"]
    graph["1"]["inputs"]["width"] = 37  # no cached file of the shared server, which another test may have replaced
    made = kit.run(graph).image
    workflow = kit.load(made).rename(shade="1.color")
    result = kit.run(workflow, shade=70707)
    assert (result.params["shade"], result.changed) == (70707, {"shade": 70707})
    assert kit.run(kit.load(result.image), shade=80808).params["shade"] == 80808
    assert "shade" in {field.name for field in kit.fields(workflow)}
    assert kit.dry_run(workflow, shade=9).changes[0].after == "9"
    assert "shade=255" in repr(workflow)
