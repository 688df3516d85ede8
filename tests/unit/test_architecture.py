"""The arrows between the rooms, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "comfykit_jupyter"
PACKAGE = ROOT.name
FILES = sorted(ROOT.rglob("*.py"))
NOTEBOOK_PACKAGES = {"IPython", "traitlets", "anywidget", "ipywidgets", "ipykernel", "comm"}
FORBIDDEN = {
    "workflow": {
        f"{PACKAGE}.client", f"{PACKAGE}.notebook", f"{PACKAGE}.sandbox", *NOTEBOOK_PACKAGES,
        "asyncio", "httpx", "websockets", "time", "socket", "threading", "PIL", "numpy",
    },
    "client": {f"{PACKAGE}.notebook", f"{PACKAGE}.sandbox", *NOTEBOOK_PACKAGES},
    "notebook": {f"{PACKAGE}.sandbox"},
    "sandbox": {
        f"{PACKAGE}.client", f"{PACKAGE}.notebook", f"{PACKAGE}.workflow", *NOTEBOOK_PACKAGES, "httpx", "websockets",
    },
}  # fmt: skip
# Steps upwards, taken when a notebook asks for it and never on import: `kit.form`, and what a cell shows of an error.
UPWARDS = {"client/kit.py": f"{PACKAGE}.notebook.widget", "workflow/errors.py": f"{PACKAGE}.notebook.frames"}
LONGEST_FILE = 450  # lines


def imports(file: Path) -> set[str]:
    """The full names of all that a file imports, anywhere in it, also for types only."""
    module = ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    parts = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            found.add(source)
            found.update(f"{source}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_only_downwards(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0]
    forbidden = FORBIDDEN.get(room, set())
    allowed = UPWARDS.get(file.relative_to(ROOT).as_posix())
    wrong = {name for name in imports(file) if any(_is_within(name, each) for each in forbidden)}
    assert not {name for name in wrong if allowed is None or not _is_within(name, allowed)}


def _is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def test_every_room_is_held_to_the_arrows() -> None:
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms <= set(FORBIDDEN)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_has_one_subject_and_a_readable_length(file: Path) -> None:
    assert file.stem not in {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_imports_are_seen_however_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path / PACKAGE)
    file = tmp_path / PACKAGE / "workflow" / "titles.py"
    file.parent.mkdir(parents=True)
    file.write_text("import time\nfrom ..client import kit\nfrom . import nodes\ndef f():\n    import httpx\n")
    assert imports(file) >= {
        "time", "httpx", f"{PACKAGE}.client", f"{PACKAGE}.client.kit", f"{PACKAGE}.workflow.nodes",
    }  # fmt: skip


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after a statement, beyond what it starts with."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent, timeout=60
    )
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = {"httpx", "aiohttp", "numpy", "av", "PIL", "websockets", "asyncio", *NOTEBOOK_PACKAGES}
    assert not modules_after(f"import {PACKAGE}") & heavy


def test_the_client_needs_no_notebook() -> None:
    assert not modules_after(f"import {PACKAGE}.client.kit") & NOTEBOOK_PACKAGES


def test_the_workflow_room_needs_only_light_modules() -> None:
    found = modules_after(f"import {PACKAGE}.workflow.workflow, {PACKAGE}.workflow.progress")
    assert not found & {"httpx", "aiohttp", "numpy", "av", "PIL", "asyncio", "random", "difflib", *NOTEBOOK_PACKAGES}
