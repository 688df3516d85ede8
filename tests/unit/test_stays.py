"""Test that a result's static output survives the sanitizers of untrusted notebooks and viewers.

The rules are those of JupyterLab's sanitizer for untrusted notebooks (`@jupyterlab/apputils`, 4.6) as far as they
concern our elements. Viewers of code hosts also drop `style`, `class` and `id`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.client.results.keep import keep
from comfykit_jupyter.client.results.render import build_result_bundle
from comfykit_jupyter.workflow.progress.progress import RunError

from .test_render import default_keep, make_result, parse_tags, save_noise, save_video

bleach = pytest.importorskip("bleach")

JUPYTERLAB = {
    "*": ["class", "title", "dir", "hidden", "lang"],
    "a": ["href", "rel", "target", "type"],
    "img": ["align", "alt", "border", "height", "src", "width"],
    "details": ["open"],
    "div": ["align"],
    "p": ["align"],
    "pre": ["width"],
}
TAGS = {
    "a",
    "b",
    "br",
    "code",
    "details",
    "div",
    "em",
    "img",
    "p",
    "pre",
    "span",
    "strong",
    "summary",
    "table",
    "td",
    "tr",
}
CODE_HOST = {**JUPYTERLAB, "*": ["title"]}

__all__ = ["default_keep"]


def sanitize(html: str, attributes: dict[str, list[str]]) -> str:
    text: str = bleach.clean(html, tags=TAGS, attributes=attributes, protocols={"http", "https", "data"})
    return text


@pytest.fixture
def bundle(tmp_path: Path) -> dict[str, Any]:
    """The static output of a run with an image, a video, a text and an error."""
    save_noise(tmp_path, "cat.png")
    save_video(tmp_path / "clip.mp4", "mp4", "mpeg4")
    error = RunError("node_error", "out of memory", "3", "Sampler", "KSampler", None, "E", ("line 1\n",))
    return build_result_bundle(
        make_result(
            tmp_path,
            "cat.png",
            "clip.mp4",
            "song.flac",
            texts_by_var={"story": ["once <b>upon</b>"]},
            changed={"steps": 30},
            seeds={"seed": 7},
            error=error,
        )
    )


@pytest.mark.parametrize("attributes", [JUPYTERLAB, CODE_HOST], ids=["JupyterLab", "code host"])
def test_output_survives_an_untrusted_notebook(bundle: dict[str, Any], attributes: dict[str, list[str]]) -> None:
    before, after = parse_tags(bundle["text/html"]), parse_tags(sanitize(bundle["text/html"], attributes))
    assert after.text == before.text
    for text in ("seed 7", "steps = 30", "Sampler: out of memory", "line 1", "once <b>upon</b>", "song.flac"):
        assert text in after.text
    pictures = [
        [(each["src"], each["width"], each["alt"]) for tag, each in found.found if tag == "img"]
        for found in (before, after)
    ]
    assert len(pictures[0]) == 2
    assert pictures[0] == pictures[1]
    assert bundle["image/png"]


def test_links_survive_an_untrusted_notebook(tmp_path: Path) -> None:
    keep("links")
    html = build_result_bundle(make_result(tmp_path, "cat.png"))["text/html"]
    assert [each["href"] for tag, each in parse_tags(sanitize(html, CODE_HOST)).found if tag == "a"] == [
        "http://server/view?filename=cat.png&type=output"
    ]


def test_output_survives_nbconvert(bundle: dict[str, Any]) -> None:
    exporters, nbformat = pytest.importorskip("nbconvert.exporters"), pytest.importorskip("nbformat")
    output = {"output_type": "display_data", "data": bundle, "metadata": {}}
    cell = nbformat.v4.new_code_cell("%comfykit run portrait.json", outputs=[nbformat.from_dict(output)])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.validate(notebook)
    for sanitize in (False, True):
        exporter = exporters.HTMLExporter(sanitize_html=sanitize)
        page, _ = exporter.from_notebook_node(notebook)
        for text in ("seed 7", "steps = 30", "out of memory", "once &lt;b&gt;upon"):
            assert text in page
        assert page.count("data:image/webp;base64,") == 2 or sanitize
    markdown, _ = exporters.MarkdownExporter().from_notebook_node(copy_notebook(notebook, nbformat))
    assert "portrait: completed" in markdown


def copy_notebook(notebook: Any, nbformat: Any) -> Any:
    return nbformat.reads(json.dumps(notebook), as_version=4)
