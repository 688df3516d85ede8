"""Test which parts of the package may import which, and what importing it loads."""

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
    ["__init__", "__main__", "cli"],
    ["notebook/magic/*"],
    ["notebook/explorer/*"],
    ["notebook/widget/widget", "notebook/widget/server_watch"],
    ["notebook/widget/lists/*"],
    ["notebook/widget/editing/*"],
    ["notebook/widget/form/*"],
    ["notebook/widget/stage/*"],
    ["notebook/page/*"],
    ["notebook/*"],
    ["kit/*"],
    ["explore/search/*"],
    ["explore/exports/*", "explore/rows/*", "explore/sweeps/*"],  # a row and a sweep export themselves
    ["explore/ledger/*"],
    ["explore/*"],
    ["client/servers/*"],
    ["client/kit_parts/*"],
    ["client/running/*"],
    ["client/checking/*"],
    ["client/missing/*"],
    ["client/presets/*"],
    ["client/inputs/*"],
    ["client/backends/*/*"],
    ["client/backends/*"],
    ["client/results/*"],
    ["client/transport/*"],
    ["client/*"],
    ["workflow/clouds/*"],
    ["workflow/progress/*"],
    ["workflow/document/*"],
    ["workflow/presets/*"],
    ["workflow/values/*"],
    ["workflow/interface/*"],
    ["workflow/parameters/*"],
    ["workflow/embedded/*"],
    ["workflow/editor/*"],
    ["workflow/*"],
    ["sandbox/*"],
]
"""From top to bottom: a file may import from its own layer and those below. The first matching pattern counts."""

UPWARDS = {
    ("kit/kit", "__init__"),  # kit.form: a notebook asks for it
    ("kit/kit", "notebook/widget/widget"),  # its type
    ("explore/*", "kit/kit"),  # the type of a kit
    ("client/results/exchange", "client/inputs/routing"),  # which server a dict of media names
    ("explore/rows/runs", "notebook/explorer/runs_display"),  # kit.runs as the last line of a cell
    ("explore/sweeps/sweep", "notebook/explorer/display"),  # a sweep as the last line of a cell
    ("explore/sweeps/line", "notebook/explorer/display"),
    ("explore/sweeps/line", "notebook/sweep_line"),  # a sweep that is waited for in a cell
    ("notebook/widget/lists/lists_view", "notebook/explorer/display"),  # the grid below a form
    ("workflow/document/with_presets", "client/presets/folder"),  # a preset is a file, and may name images
    ("workflow/errors", "notebook/tracebacks"),  # what a cell shows of an error
}
"""The imports that go up: all are made inside functions, none at load time."""

BACKENDS = sorted(file.parent.name for file in ROOT.glob("client/backends/*/route.py"))

INDEPENDENT = [
    *((f"client/backends/{one}/*", f"client/backends/{other}/*") for one, other in combinations(BACKENDS, 2)),
    ("sandbox/*", "client/*"),
    ("sandbox/*", "workflow/*"),
    ("sandbox/*", "notebook/*"),
]
"""Folders that must not import each other."""

FORBIDDEN = {
    "workflow/*": {*NOTEBOOK_PACKAGES, "asyncio", "httpx", "websockets", "time", "socket", "threading", "PIL", "numpy"},
    "client/*": NOTEBOOK_PACKAGES,
    "sandbox/*": {*NOTEBOOK_PACKAGES, "httpx", "websockets"},
}
"""Packages that a folder must not import."""

LONGEST_FILE = 450  # lines
LARGEST_FOLDER = 20  # files
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).with_suffix("").as_posix()


@cache
def read_imports(file: Path) -> set[str]:
    """Return the full names of everything a file imports, including inside functions and for types only."""
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
def read_import_graph() -> dict[str, set[str]]:
    """Map each file of the package to the files of the package that it imports."""
    files = {name_of(file): file for file in sorted(ROOT.rglob("*.py"))}
    modules = {f"{PACKAGE}.{name.replace('/', '.')}".removesuffix(".__init__"): name for name in files}
    return {name: {modules[each] for each in read_imports(file) if each in modules} for name, file in files.items()}


def layer_of(name: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if any(fnmatch(name, each) for each in layer))


def is_allowed(name: str, target: str) -> bool:
    return any(fnmatch(name, source) and target == above for source, above in UPWARDS)


def test_imports_only_go_down() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in read_import_graph().items()
        for target in sorted(targets)
        if not target.endswith("/__init__") and layer_of(target) < layer_of(name) and not is_allowed(name, target)
    ]
    assert not wrong


def test_independent_folders_do_not_import_each_other() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in read_import_graph().items()
        for target in sorted(targets)
        for pair in INDEPENDENT
        for one, other in (pair, pair[::-1])
        if fnmatch(name, one) and fnmatch(target, other)
    ]
    assert not wrong


def test_no_folder_imports_a_forbidden_package() -> None:
    wrong = [
        f"{name_of(file)} imports {each}"
        for file in sorted(ROOT.rglob("*.py"))
        for room, packages in FORBIDDEN.items()
        for each in sorted(read_imports(file))
        if fnmatch(name_of(file), room) and each.partition(".")[0] in packages
    ]
    assert not wrong


def test_files_and_folders_stay_small_and_have_specific_names() -> None:
    files = sorted(ROOT.rglob("*.py"))
    wrong = [f"{name_of(file)}: vague name" for file in files if file.stem in VAGUE]
    for file in files:
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_FILE:
            wrong.append(f"{name_of(file)}: {lines} lines")
    for folder in {file.parent for file in files}:
        count = len([file for file in folder.glob("*.py") if file.name != "__init__.py"])
        if count > LARGEST_FOLDER:
            wrong.append(f"{folder.relative_to(ROOT)}: {count} files")
    assert not wrong


def test_every_form_of_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path / PACKAGE)
    file = tmp_path / PACKAGE / "workflow" / "titles.py"
    file.parent.mkdir(parents=True)
    file.write_text("import time\nfrom ..client import kit\nfrom . import nodes\ndef f():\n    import httpx\n")
    assert read_imports(file) >= {
        "time", "httpx", f"{PACKAGE}.client", f"{PACKAGE}.client.kit", f"{PACKAGE}.workflow.nodes",
    }  # fmt: skip


def find_loaded_packages(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter loads for a statement."""
    return {name.partition(".")[0] for name in find_loaded_modules(statement)}


def find_loaded_modules(statement: str) -> set[str]:
    """Return the full names of all modules that a fresh interpreter loads for a statement."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent, timeout=60
    )
    return set(run.stdout.split())


def test_importing_the_package_loads_no_heavy_dependency() -> None:
    heavy = {"httpx", "aiohttp", "numpy", "av", "PIL", "websockets", "asyncio", *NOTEBOOK_PACKAGES}
    assert not find_loaded_packages(f"import {PACKAGE}") & heavy


def test_client_loads_no_notebook_package() -> None:
    assert not find_loaded_packages(f"import {PACKAGE}.kit.kit") & NOTEBOOK_PACKAGES


def test_creating_a_kit_loads_no_backend() -> None:
    found = find_loaded_modules(f"from {PACKAGE} import ComfyKit; ComfyKit()")
    heavy = {"httpx", "websockets", "PIL", "numpy", "av", "aiohttp", "platformdirs", *NOTEBOOK_PACKAGES}
    assert not {name.partition(".")[0] for name in found} & heavy
    backends = {name for name in found if fnmatch(name, f"{PACKAGE}.client.backends.*.*")}
    assert all(name.endswith(".route") for name in backends)
    assert not {name for name in found if name.startswith((f"{PACKAGE}.notebook", f"{PACKAGE}.sandbox"))}


def test_workflow_folder_loads_no_heavy_module() -> None:
    found = find_loaded_packages(f"import {PACKAGE}.workflow.document.workflow, {PACKAGE}.workflow.progress.progress")
    assert not found & {"httpx", "aiohttp", "numpy", "av", "PIL", "asyncio", "random", "difflib", *NOTEBOOK_PACKAGES}
