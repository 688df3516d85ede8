"""Test what Tab offers after `%comfykit` in a kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfykit_jupyter.notebook.magic.commands import COMMANDS

from .kernels import Page


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%comfykit ru", ["%comfykit run", "%comfykit runs"]),
        (
            "%comfykit ",
            [f"%comfykit {name}" for name in sorted(COMMANDS)],
        ),
        ("result = %comfykit ru", ["result = %comfykit run", "result = %comfykit runs"]),
        ("%comfykit run pic", ["%comfykit run picture.json"]),
        ("%comfykit form example:p", ["%comfykit form example:portrait"]),
        ("%comfykit run example:portrait wi", ["%comfykit run example:portrait width="]),
        ("%comfykit run ./pic", ["%comfykit run ./picture.json"]),
        ("%comfykit run picture.json wi", ["%comfykit run picture.json width="]),
        ("%comfykit run picture.json width=3 wi", []),
        (
            "%comfykit run picture.json --",
            [
                f"%comfykit run picture.json --{option}"
                for option in ("dry-run", "loras", "new", "preset", "timeout", "url")
            ],
        ),
        ("%comfykit run picture.json --dry-run --t", ["%comfykit run picture.json --dry-run --timeout"]),
        ("%comfykit history -", ["%comfykit history --url"]),
        (
            "%%comfykit run picture.json -",
            [
                f"%%comfykit run picture.json -{o}"
                for o in ("-dry-run", "-loras", "-new", "-preset", "-timeout", "-url", "o")
            ],
        ),
        ("%%comfykit run picture.json\nwi", ["%%comfykit run picture.json\nwidth: "]),
        ("%%comfykit sweep picture.json\nwi", ["%%comfykit sweep picture.json\nwidth: "]),
        (
            "%%comfykit run picture.json\nwidth: 3\n",
            ["%%comfykit run picture.json\nwidth: 3\n" + n for n in ("color: ", "height: ")],
        ),
        ("%%comfykit run picture.json\nwidth: 3", []),
        ("%comfykit run picture.json -o wi", []),
        ("%comfykit connect s", ["%comfykit connect sandbox"]),
        ("%comfykit keep l", ["%comfykit keep links"]),
    ],
)
def test_completion_offers_what_can_follow(page: Page, line: str, offered: list[str]) -> None:
    assert page.complete(line) == offered


def test_choices_are_offered_once_they_were_listed(page: Page) -> None:
    page.run("%comfykit params text_to_image.json")
    offered = page.complete("%comfykit run text_to_image.json sampler_name=eul")
    assert "%comfykit run text_to_image.json sampler_name=euler" in offered
    models = page.complete("%comfykit run text_to_image.json model=")
    assert models
    assert all(line.partition("model=")[2].startswith('"') for line in models)


def test_names_with_spaces_are_offered_in_quotes(page: Page, folder: Path) -> None:
    (folder / "my workflow.json").write_text(json.dumps({"1": {"class_type": "X", "inputs": {}}}))
    assert page.complete('%comfykit run "my w') == ['%comfykit run "my workflow.json"']


def test_other_lines_are_left_alone(page: Page) -> None:
    assert "print" in [line.rstrip("(") for line in page.complete("prin")]


def test_folders_and_prompt_ids_are_offered_once_they_were_listed(page: Page) -> None:
    page.run("%comfykit run picture.json -o first\n%comfykit history\n%comfykit models")
    prompt_id = page.value("first.prompt_id").strip("'")
    assert page.complete(f"%comfykit attach {prompt_id[:8]}") == [f"%comfykit attach {prompt_id}"]
    assert page.complete("%comfykit models lor") == ["%comfykit models loras"]
