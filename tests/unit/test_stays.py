"""What is left of a result where notebooks are shown without trust, or turned into pages.

The rules are those of JupyterLab's own sanitizer for untrusted notebooks (`@jupyterlab/apputils`, 4.6), as far as they
are about what we use; and for viewers as those of code hosts the same without `style`, `class` and `id`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.client.results.keep import keep
from comfykit_jupyter.client.results.render import build_result_bundle
from comfykit_jupyter.workflow.progress.progress import RunError

from .test_render import as_ever, film, made, noise, tags

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

__all__ = ["as_ever"]


def cleaned(html: str, attributes: dict[str, list[str]]) -> str:
    text: str = bleach.clean(html, tags=TAGS, attributes=attributes, protocols={"http", "https", "data"})
    return text


@pytest.fixture
def bundle(tmp_path: Path) -> dict[str, Any]:
    """A run with pictures, a video, a text and an error, as it stays in a notebook."""
    noise(tmp_path, "cat.png")
    film(tmp_path / "clip.mp4", "mp4", "mpeg4")
    error = RunError("node_error", "out of memory", "3", "Sampler", "KSampler", None, "E", ("line 1\n",))
    return build_result_bundle(
        made(
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
def test_all_of_it_is_left_without_trust(bundle: dict[str, Any], attributes: dict[str, list[str]]) -> None:
    before, after = tags(bundle["text/html"]), tags(cleaned(bundle["text/html"], attributes))
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


def test_links_are_left_without_trust(tmp_path: Path) -> None:
    keep("links")
    html = build_result_bundle(made(tmp_path, "cat.png"))["text/html"]
    assert [each["href"] for tag, each in tags(cleaned(html, CODE_HOST)).found if tag == "a"] == [
        "http://server/view?filename=cat.png&type=output"
    ]


def test_all_of_it_is_in_a_page_made_of_the_notebook(bundle: dict[str, Any]) -> None:
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
    markdown, _ = exporters.MarkdownExporter().from_notebook_node(json_copy(notebook, nbformat))
    assert "portrait: completed" in markdown


def json_copy(notebook: Any, nbformat: Any) -> Any:
    return nbformat.reads(json.dumps(notebook), as_version=4)
