"""The arrows between the rooms of the package, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "comfykit_jupyter"
PACKAGE = ROOT.name
NOTEBOOK_PACKAGES = {"IPython", "traitlets", "anywidget", "ipywidgets", "ipykernel", "comm"}

LAYERS = [
    ["__init__"],
    ["notebook/extension"],
    ["notebook/magic/*"],
    ["notebook/widget/*"],
    ["notebook/*"],
    ["explore/*"],
    ["client/kit", "client/base_kit", "client/current", "client/check", "client/dry_run"],
    ["client/running/*"],
    ["client/inputs/*"],
    ["client/backends/routing"],
    ["client/backends/*/*"],
    ["client/backends/*"],
    ["client/results/*"],
    ["client/transport/*"],
    ["client/*"],
    ["workflow/clouds/*"],
    ["workflow/progress/*"],
    [
        f"workflow/{name}"
        for name in (
            "workflow",
            "app_mode",
            "binding",
            "fields",
            "formats",
            "inputs",
            "prompt_check",
            "suggestions",
            "values",
        )
    ],
    ["workflow/hosted_workflow", "workflow/parameters"],
    ["workflow/embedded/*"],
    ["workflow/editor/*"],
    ["workflow/*"],
    ["sandbox/*"],
]
"""From top to bottom: a file imports from its own layer and those below. The first pattern that fits counts."""

UPWARDS = {
    ("client/kit", "__init__"),  # kit.form: a notebook asks for it
    ("client/kit", "notebook/widget/widget"),  # its type
    ("workflow/errors", "notebook/tracebacks"),  # what a cell shows of an error
}
"""The steps upwards that are taken: none of them when a module is loaded."""

BACKENDS = sorted(file.parent.name for file in ROOT.glob("client/backends/*/route.py"))

STRANGERS = [
    *((f"client/backends/{one}/*", f"client/backends/{other}/*") for one, other in combinations(BACKENDS, 2)),
    ("sandbox/*", "client/*"),
    ("sandbox/*", "workflow/*"),
    ("sandbox/*", "notebook/*"),
]
"""Rooms that know nothing of each other."""

FOREIGN = {
    "workflow/*": {*NOTEBOOK_PACKAGES, "asyncio", "httpx", "websockets", "time", "socket", "threading", "PIL", "numpy"},
    "client/*": NOTEBOOK_PACKAGES,
    "sandbox/*": {*NOTEBOOK_PACKAGES, "httpx", "websockets"},
}
"""Packages that a room must not import."""

LONGEST_FILE = 450  # lines
LARGEST_FOLDER = 20  # files
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).with_suffix("").as_posix()


def read_imports(file: Path) -> set[str]:
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


@cache
def read_arrows() -> dict[str, set[str]]:
    """The files of the package that each of its files imports, by their names within it."""
    files = {name_of(file): file for file in sorted(ROOT.rglob("*.py"))}
    modules = {f"{PACKAGE}.{name.replace('/', '.')}".removesuffix(".__init__"): name for name in files}
    return {name: {modules[each] for each in read_imports(file) if each in modules} for name, file in files.items()}


def layer_of(name: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if any(fnmatch(name, each) for each in layer))


def test_imports_go_downwards() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in read_arrows().items()
        for target in sorted(targets)
        if not target.endswith("/__init__") and layer_of(target) < layer_of(name) and (name, target) not in UPWARDS
    ]
    assert not wrong


def test_rooms_that_know_nothing_of_each_other() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in read_arrows().items()
        for target in sorted(targets)
        for pair in STRANGERS
        for one, other in (pair, pair[::-1])
        if fnmatch(name, one) and fnmatch(target, other)
    ]
    assert not wrong


def test_no_room_imports_packages_that_are_not_its_business() -> None:
    wrong = [
        f"{name_of(file)} imports {each}"
        for file in sorted(ROOT.rglob("*.py"))
        for room, packages in FOREIGN.items()
        for each in sorted(read_imports(file))
        if fnmatch(name_of(file), room) and each.partition(".")[0] in packages
    ]
    assert not wrong


def test_a_file_has_one_subject_and_a_folder_can_be_seen_at_a_glance() -> None:
    files = sorted(ROOT.rglob("*.py"))
    wrong = [f"{name_of(file)}: says nothing" for file in files if file.stem in VAGUE]
    for file in files:
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_FILE:
            wrong.append(f"{name_of(file)}: {lines} lines")
    for folder in {file.parent for file in files}:
        count = len([file for file in folder.glob("*.py") if file.name != "__init__.py"])
        if count > LARGEST_FOLDER:
            wrong.append(f"{folder.relative_to(ROOT)}: {count} files")
    assert not wrong


def test_imports_are_seen_however_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path / PACKAGE)
    file = tmp_path / PACKAGE / "workflow" / "titles.py"
    file.parent.mkdir(parents=True)
    file.write_text("import time\nfrom ..client import kit\nfrom . import nodes\ndef f():\n    import httpx\n")
    assert read_imports(file) >= {
        "time", "httpx", f"{PACKAGE}.client", f"{PACKAGE}.client.kit", f"{PACKAGE}.workflow.nodes",
    }  # fmt: skip


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after a statement, beyond what it starts with."""
    return {name.partition(".")[0] for name in submodules_after(statement)}


def submodules_after(statement: str) -> set[str]:
    """All modules that a fresh interpreter has after a statement, by their full names."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent, timeout=60
    )
    return set(run.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = {"httpx", "aiohttp", "numpy", "av", "PIL", "websockets", "asyncio", *NOTEBOOK_PACKAGES}
    assert not modules_after(f"import {PACKAGE}") & heavy


def test_the_client_needs_no_notebook() -> None:
    assert not modules_after(f"import {PACKAGE}.client.kit") & NOTEBOOK_PACKAGES


def test_a_kit_loads_no_backend_until_one_is_needed() -> None:
    found = submodules_after(f"from {PACKAGE} import ComfyKit; ComfyKit()")
    heavy = {"httpx", "websockets", "PIL", "numpy", "av", "aiohttp", "platformdirs", *NOTEBOOK_PACKAGES}
    assert not {name.partition(".")[0] for name in found} & heavy
    backends = {name for name in found if fnmatch(name, f"{PACKAGE}.client.backends.*.*")}
    assert all(name.endswith(".route") for name in backends)
    assert not {name for name in found if name.startswith((f"{PACKAGE}.notebook", f"{PACKAGE}.sandbox"))}


def test_the_workflow_room_needs_only_light_modules() -> None:
    found = modules_after(f"import {PACKAGE}.workflow.workflow, {PACKAGE}.workflow.progress.progress")
    assert not found & {"httpx", "aiohttp", "numpy", "av", "PIL", "asyncio", "random", "difflib", *NOTEBOOK_PACKAGES}
