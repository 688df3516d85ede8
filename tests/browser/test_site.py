"""Build the documentation, and look at it: all public names, nothing from other sites, a search without a network."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

import comfykit_jupyter

from .lab import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built as by `make docs`."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)  # of a link, the folder that it leads to would be built
    for name in ("CONTRIBUTING.md", "tools", "comfykit_jupyter"):
        (folder / name).symlink_to(ROOT / name)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        capture_output=True, text=True, cwd=folder, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return folder / "site"


def test_the_site_has_all_public_names_and_loads_nothing_from_other_sites(site: Path) -> None:
    pages = {page.relative_to(site).as_posix(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    described = set(re.findall(r'<h2 id="comfykit_jupyter\.(\w+)"', "".join(pages.values())))
    assert described >= set(comfykit_jupyter.__all__) - {"__version__"}
    loaded = re.findall(
        r"""<(?:script|link|img|iframe|video)\b[^>]*?(?:src|href)=["']?(https?:[^"' >]+)""", "".join(pages.values())
    )
    assert not [url for url in loaded if "canonical" not in url]
    assert not re.findall(r"url\([\"']?https?:", "".join(css.read_text() for css in site.rglob("*.css")))


def test_members_that_the_reference_lists_exist() -> None:
    for page in (ROOT / "docs/api").glob("*.md"):
        for name, members in re.findall(
            r"^::: ([\w.]+)\n.*\n +members: \[(.+)\]$", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            module, _, owner = name.rpartition(".")
            described = getattr(importlib.import_module(module), owner)
            assert not [each for each in members.split(", ") if not hasattr(described, each)], name


def test_search_works_from_the_file_system_without_a_network(site: Path, browser: Browser) -> None:
    page = browser.new_page(offline=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("procedural painter")
    expect(page.get_by_role("link", name="The embedded server").last).to_be_visible()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "about:"))]
    page.close()
