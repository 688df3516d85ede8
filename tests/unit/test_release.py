"""Test what `make release` and `make matrix` check, and the files that say where the project is."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

import comfykit_jupyter
from tools.api import list_signatures, load_package
from tools.matrix import PYTHONS, find_python, list_lower_bounds, list_requirements
from tools.project import PROJECT, Project, read_version, render_files
from tools.release import check_names, check_project_files, check_version, compare_signatures, find_install_line

ROOT = Path(__file__).parents[2]
ELSEWHERE = Project(
    repository="https://example.org/repo",
    documentation="https://docs.example.org",
    security_contact="security@example.org",
    doi="10.0000/example",
)


def test_files_say_what_the_one_place_says() -> None:
    assert list(check_project_files()) == []
    assert read_version() == comfykit_jupyter.__version__


def test_empty_addresses_are_left_out_and_others_are_everywhere() -> None:
    assert Project() == PROJECT
    without, with_them = render_files(), render_files(ELSEWHERE)
    for name, wanted in {
        "pyproject.toml": 'Repository = "https://example.org/repo"',
        "SECURITY.md": "<security@example.org>",
        "CODE_OF_CONDUCT.md": "<security@example.org>",
        "CITATION.cff": "doi: 10.0000/example",
        ".github/ISSUE_TEMPLATE/config.yml": "url: https://docs.example.org",
        "recipe/meta.yaml": "home: https://example.org/repo",
    }.items():
        assert wanted in with_them[name]
        assert "example.org" not in without[name]
    assert "@" not in without["SECURITY.md"]
    assert "[project.urls]" not in without["pyproject.toml"]


def test_dependencies_of_the_recipe_are_those_of_the_package() -> None:
    recipe = render_files()["recipe/meta.yaml"]
    assert "    - httpx >=0.28\n" in recipe
    assert ";" not in recipe


@pytest.mark.parametrize(
    ("version", "changelog", "tags", "problems"),
    [
        ("1.2.0", "## 1.2.0 – 2031-02-03\n", ["v1.1.0"], 0),
        ("1.2.0", "## 1.2.0 – unreleased\n", [], 1),
        ("1.2.0", "## 1.1.0 – 2031-02-03\n", [], 1),
        ("1.2.0", "## 1.2.0 – 2031-02-03\n", ["v1.2.0"], 1),
    ],
)
def test_version_is_new_and_its_section_has_a_date(
    monkeypatch: pytest.MonkeyPatch, version: str, changelog: str, tags: list[str], problems: int
) -> None:
    monkeypatch.delenv("RELEASED_TAG", raising=False)
    assert len(list(check_version(version, changelog, tags))) == problems
    monkeypatch.setenv("RELEASED_TAG", "v9.9.9")
    assert "the tag is v9.9.9" in " ".join(check_version(version, changelog, tags))


def test_change_of_the_api_is_found() -> None:
    gone, new = compare_signatures(["f(a)", "g()", "h"], ["f(a, b)", "g()", "h", "i"])
    assert gone == ["f(a)"]
    assert new == ["f(a, b)", "i"]


def test_api_has_every_public_name_with_its_parameters() -> None:
    lines = list_signatures(load_package())
    heads = {line.removeprefix("class ").partition("(")[0] for line in lines if "." not in line.partition("(")[0]}
    assert heads == set(comfykit_jupyter.__all__)
    assert "ComfyKit.fields(self, workflow, *, every=False)" in lines


def test_archives_must_have_some_files_and_must_not_have_others() -> None:
    names = ["x-1/conftest.py", "x-1/js/node_modules/a.js", "x-1/b/__pycache__/c.pyc"]
    assert list(check_names("x.tar.gz", names, ["conftest.py", "LICENSE"])) == [
        "x.tar.gz lacks LICENSE",
        "x.tar.gz has x-1/js/node_modules/a.js",
        "x.tar.gz has x-1/b/__pycache__/c.pyc",
    ]


def test_readme_says_what_to_install() -> None:
    line = find_install_line((ROOT / "README.md").read_text(encoding="utf-8"))
    assert line.startswith("comfykit-jupyter")


def test_workflows_run_what_exists() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / ".github/workflows").iterdir()))
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    commands = re.findall(r"run: (.*)", text)
    assert len(commands) > 3
    for command in commands:
        program, _, rest = command.partition(" ")
        if program == "make":
            assert rest in targets, command
        elif program == "python":
            assert rest.startswith("-m tools.matrix --only "), command
        else:
            assert os.access(ROOT / program, os.X_OK), command
    assert set(re.findall(r'"(3\.\d+)"', text)) == set(PYTHONS)


def test_python_that_runs_the_matrix_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name if name == sys.executable else None)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert find_python(version) == sys.executable
    assert find_python("3.9") is None


def test_lower_bounds_are_those_of_the_metadata() -> None:
    bounds = list_lower_bounds(list_requirements())
    assert {"httpx==0.28", "aiohttp==3.11", "pillow==11.3"} <= set(bounds)
