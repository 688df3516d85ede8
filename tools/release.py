"""Check that this source tree can be released, and build it: `make release`.

Every check is made, and all problems are listed at the end. Nothing is uploaded: `.github/workflows/release.yml` does
that for a tag, by trusted publishing.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.project import ROOT, read_version, render_files

DIST = ROOT / "dist"
EXTENSION = "share/jupyter/labextensions/comfykit-jupyter/"
MAX_WHEEL_BYTES = 1_000_000
MAX_SDIST_BYTES = 8_000_000
WHEEL_HAS = (
    "comfykit_jupyter/py.typed",
    "comfykit_jupyter/notebook/static/widget.js",
    "comfykit_jupyter/notebook/static/widget.css",
    "comfykit_jupyter/examples/portrait.json",
    f"{EXTENSION}package.json",
    f"{EXTENSION}schemas/comfykit-jupyter/runs.json",
)
SDIST_HAS = (
    *WHEEL_HAS[:4],
    "labextension/package.json",
    "js/package-lock.json",
    "js/src/index.tsx",
    "js/lab/index.ts",
    "tests/unit/test_wheel.py",
    "tests/browser/lab.py",
    "conftest.py",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "notebooks/quickstart.ipynb",
    "docs/hosts.md",
    "recipe/meta.yaml",
    ".github/ISSUE_TEMPLATE/config.yml",
    ".ci/run",
)
FOREIGN = re.compile(r"(^|/)(__pycache__|node_modules|\.venv|\.git)/|\.pyc$|\.env$")
"""Files that no archive may have."""


def check_version(version: str, changelog: str, tags: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with the version, which must be new and have a date in the changelog."""
    if (tag := os.environ.get("RELEASED_TAG", "")) not in ("", f"v{version}"):
        yield f"the tag is {tag}, and the version {version}"
    if f"v{version}" in tags:
        yield f"version {version} has been released: raise __version__ in comfykit_jupyter/__init__.py"
    heading = re.search(rf"^## {re.escape(version)} – (.+)$", changelog, re.MULTILINE)
    if heading is None:
        yield f"CHANGELOG.md has no section for {version}"
    elif re.fullmatch(r"\d{4}-\d\d-\d\d", heading[1]) is None:
        yield f"CHANGELOG.md: the section for {version} has {heading[1]!r} where the date goes (2031-02-03)"


def check_project_files() -> Iterator[str]:
    """Yield the files that differ from what tools/project.py writes."""
    for name, content in render_files().items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            yield f"{name} differs from tools/project.py: run python -m tools.project"


def compare_signatures(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Return the lines of the public API that are gone or have changed, and those that are new."""
    lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
    return [line[1:] for line in lines if line[0] == "-"], [line[1:] for line in lines if line[0] == "+"]


def check_api(tags: list[str]) -> Iterator[str]:
    """Yield how the API breaks code that was written for the last tag, or without a tag for the baseline."""
    import griffe

    from tools.api import BASELINE, PACKAGE, list_signatures, load_package

    now = load_package()
    if tags:
        before = griffe.load_git(PACKAGE, ref=tags[-1], repo=str(ROOT), resolve_aliases=True)
        assert isinstance(before, griffe.Object)
        for breakage in griffe.find_breaking_changes(before, now):
            yield f"the API differs from {tags[-1]}: {breakage.explain(griffe.ExplanationStyle.ONE_LINE)}"
        return
    gone, _ = compare_signatures(BASELINE.read_text(encoding="utf-8").splitlines(), list_signatures(now))
    for line in gone:
        yield f"the API lacks {line}, which tools/api.txt has: if that is intended, run python -m tools.api"


def check_names(archive: str, names: Iterable[str], wanted: Iterable[str]) -> Iterator[str]:
    """Yield the files that an archive lacks, and those that it must not have."""
    names = list(names)
    for name in wanted:
        if not any(each.endswith(f"/{name}") or each == name for each in names):
            yield f"{archive} lacks {name}"
    for name in names:
        if FOREIGN.search(name):
            yield f"{archive} has {name}"


def check_archives(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the wheel and the sdist in a folder."""
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            yield from check_names(wheel.name, archive.namelist(), WHEEL_HAS)
            for name in archive.namelist():
                if not name.startswith("comfykit_jupyter"):
                    yield f"{wheel.name} would install {name} beside other packages"
        yield from _check_size(wheel, MAX_WHEEL_BYTES)
    for sdist in folder.glob("*.tar.gz"):
        with tarfile.open(sdist) as tar:
            yield from check_names(sdist.name, tar.getnames(), SDIST_HAS)
        yield from _check_size(sdist, MAX_SDIST_BYTES)


def _check_size(path: Path, limit: int) -> Iterator[str]:
    size = path.stat().st_size
    print(f"  {path.name}: {size:,} bytes")
    if size > limit:
        yield f"{path.name} has {size:,} bytes; it must have at most {limit:,}"


def find_install_line(readme: str) -> str:
    """Return what the README tells users to install: `comfykit-jupyter[sandbox]`."""
    found = re.search(r"pip install [\"']?(comfykit-jupyter(?:\[[\w,-]+\])?)", readme)
    if found is None:
        raise ValueError("README.md does not say what to install")
    return found[1]


def check_install_line(folder: Path) -> Iterator[str]:
    """Yield what goes wrong when a user follows the README, with the wheel in a folder."""
    (wheel,) = folder.glob("*.whl")
    extras = find_install_line((ROOT / "README.md").read_text(encoding="utf-8")).removeprefix("comfykit-jupyter")
    with tempfile.TemporaryDirectory() as clean:
        venv.create(clean, with_pip=True)
        python = Path(clean) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        code = (
            "from comfykit_jupyter import ComfyKit; from comfykit_jupyter.sandbox import Sandbox\n"
            "with Sandbox() as server:\n"
            "    result = ComfyKit(server.url).run('example:portrait', width=64, height=64, steps=1)\n"
            "    assert result.status == 'completed', result\n"
        )
        for command in ([python, "-m", "pip", "install", "-q", f"{wheel}{extras}"], [python, "-I", "-c", code]):
            done = subprocess.run(command, cwd=clean, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                yield f"the README's install line fails with the wheel: {(done.stderr or done.stdout).strip()[-500:]}"
                return


def _list_tags() -> list[str]:
    done = subprocess.run(
        ["git", "tag", "--list", "v*", "--sort=v:refname"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    released = os.environ.get("RELEASED_TAG")  # in the workflow that releases it
    return [tag for tag in done.stdout.split() if tag != released]


def _run(problem: str, *command: str) -> Iterator[str]:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode != 0:
        yield problem


def main() -> None:
    """Check and build; exit with 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-docs", action="store_true", help="don't build the documentation")
    parser.add_argument("--no-install", action="store_true", help="don't install the wheel in a clean environment")
    options = parser.parse_args()
    tags = _list_tags()
    problems: list[str] = []
    print("Version, changelog, project files, API …", flush=True)
    problems += check_version(read_version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), tags)
    problems += check_project_files()
    problems += check_api(tags)
    print("Building dist/ …", flush=True)
    for old in DIST.glob("comfykit_jupyter-*"):
        old.unlink()
    problems += _run("the build failed", sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    if any(DIST.glob("*.whl")):
        problems += check_archives(DIST)
        if not options.no_install:
            print("Installing the wheel in a clean environment …", flush=True)
            problems += check_install_line(DIST)
    if not options.no_docs:
        problems += _run("the documentation does not build", "make", "--no-print-directory", "docs")
    for problem in problems:
        print(f"✗ {problem}", file=sys.stderr)
    if problems:
        raise SystemExit(1)
    print(f"comfykit-jupyter {read_version()} is ready in {DIST}: tag it v{read_version()}")


if __name__ == "__main__":
    main()
