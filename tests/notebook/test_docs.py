"""Test that the code in README.md and docs/ runs as written, that links are valid, and that the site is built."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.runninghub import RunningHub

from .cloud_kernels import start_cloud
from .kernels import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNNER = """
import pathlib, sys
from IPython.core.interactiveshell import InteractiveShell
from comfykit_jupyter.client.inputs import examples

examples._FOLDER = pathlib.Path("examples")
shell = InteractiveShell.instance()
for cell in sys.stdin.read().split("\\0"):
    shell.run_cell(cell).raise_error()
"""


def read_blocks(page: Path) -> list[str]:
    """Return the code blocks of a page that a notebook runs."""
    return re.findall(r"^```i?python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def copy_workflows(source: str, folder: Path) -> None:
    """Copy the workflows of a folder of the project, with small images and few steps."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / source).glob("*.json"):
        graph = json.loads(file.read_text(encoding="utf-8"))
        shrink(graph)
        (folder / file.name).write_text(json.dumps(graph), encoding="utf-8")


def shrink(graph: dict[str, Any]) -> None:
    """Make the images of a workflow small and its steps few."""
    small = {"width": 128, "height": 128, "steps": 2, "amount": 2}
    for node in graph.values():
        node["inputs"] |= {name: value for name, value in small.items() if name in node["inputs"]}


WITH_CODE = [page for page in PAGES if read_blocks(page)]


@pytest.fixture(scope="module")
def cloud(sandbox: Sandbox) -> Iterator[RunningHub]:
    """A double of RunningHub, whose workflows are small and quick."""
    with start_cloud(sandbox) as cloud:
        for graph in cloud.workflows.values():
            shrink(graph)
        yield cloud


@pytest.fixture(scope="module")
def other_server() -> Iterator[Sandbox]:
    """A second server."""
    with Sandbox() as server:
        yield server


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_code_of_the_page_runs(
    page: Path, sandbox: Sandbox, other_server: Sandbox, cloud: RunningHub, tmp_path: Path
) -> None:
    copy_workflows("notebooks/workflows", tmp_path)  # the pages in docs/ say that they run in this folder
    copy_workflows("notebooks/workflows", tmp_path / "notebooks/workflows")
    copy_workflows("comfykit_jupyter/examples", tmp_path / "examples")
    code = "\0".join(read_blocks(page))
    for example, url in (("http://gpu-a:8188", sandbox.url), ("http://gpu-b:8188", other_server.url)):
        code = code.replace(f'"{example}"', f'"{url}"')
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "COMFYUI_BASE_URL": sandbox.url,
        "RUNNINGHUB_BASE_URL": cloud.url,
        "RUNNINGHUB_API_KEY": cloud.key,
    }
    result = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=code,
        capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def test_other_code_says_why_it_is_not_run_and_is_valid_python() -> None:
    for page in PAGES:
        for block in re.findall(r"^```py\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            assert block.startswith("# Not run by the tests: needs "), f"{page.name}: {block}"
            compile(block, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_shell_commands_are_valid() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            checked = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
            assert not checked.stderr, f"{page.name}: {block}"


def test_pictures_are_small() -> None:
    assert sum(file.stat().st_size for file in (ROOT / "docs/images").iterdir()) < 1_500_000


def test_toml_is_valid() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 has it")
    for page in PAGES:
        for block in re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            assert tomllib.loads(block)


def test_every_code_block_is_of_a_kind_that_is_checked() -> None:
    kinds = {
        kind for page in PAGES for kind in re.findall(r"^```(\w*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert kinds == {"", "python", "ipython", "py", "sh", "toml", "text"}  # an empty one ends a block


def test_links_between_pages_are_valid() -> None:
    pages = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    wrong = []
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in read_anchors(file)):
                wrong.append(f"{page.name}: {target}")
    assert not wrong


def test_links_to_other_sites_are_those_of_the_list() -> None:
    """The list was checked by hand; a new link is opened in a browser before it is added there."""
    linked = {url for page in PAGES for url in re.findall(r"\]\((https?:[^)]+)\)", page.read_text(encoding="utf-8"))}
    assert sorted(linked) == (ROOT / "tests/notebook/external_links.txt").read_text(encoding="utf-8").split()


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+\.(?:py|tsx?|md|toml|ipynb))`", text))
    old = [path for path in sorted(named) if "NAME" not in path and path != "js/src/controls/color.tsx"]  # files to add
    folders = [ROOT, ROOT / "comfykit_jupyter", ROOT / "js/src"]
    assert not [path for path in old if not any((folder / path).exists() for folder in folders)]


def test_contributing_names_code_that_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## How to add")[2].partition("\n## ")[0]
    files = [file for room in ("comfykit_jupyter", "js/src", "js/lab", "tests") for file in (ROOT / room).rglob("*")]
    code = "\n".join(file.read_text(encoding="utf-8") for file in files if file.suffix in (".py", ".ts", ".tsx"))
    words = set(re.findall(r"\w+", code)) | {"scenes", "scenes_by_var", "NAME"}  # names of things to add
    assert not sorted(set(re.findall(r"`(\w+)`", text)) - words)


def read_anchors(page: Path) -> set[str]:
    """Return the anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
