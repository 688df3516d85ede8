"""Test which parts of the package may import which, and what importing it loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
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
    ["notebook/widget/widget", "notebook/widget/server_watch"],
    ["notebook/widget/lists/*"],
    ["notebook/widget/editing/*"],
    ["notebook/widget/form/*"],
    ["notebook/explorer/*"],
    ["notebook/widget/stage/*"],
    ["notebook/page/*"],
    ["notebook/*"],
    ["kit/*"],
    ["explore/search/*"],
    ["explore/sweeps/*"],
    ["explore/runs/*"],
    ["explore/exports/*"],
    ["explore/points/*", "explore/rows/*"],
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
    ("kit/kit", "notebook/widget/widget"),  # kit.form
    ("explore/runs/runs", "notebook/explorer/runs_display"),  # kit.runs as the last line of a cell
    ("explore/sweeps/sweep", "notebook/explorer/display"),  # a sweep as the last line of a cell
    ("explore/sweeps/line", "notebook/explorer/sweep_line"),  # a sweep that is waited for in a cell
    ("client/results/media", "client/inputs/routing"),  # which server has media that a dict or JSON names
    ("workflow/document/with_presets", "client/presets/folder"),  # a preset is a file, and may name images
    ("workflow/errors", "notebook/tracebacks"),  # what a cell shows of an error
}
"""The imports that go up: all are made inside functions, when they are needed, none at load time."""

TYPES_UPWARDS = {
    ("explore/*", "kit/kit"),  # the kit that a sweep runs on
    ("explore/exports/*", "explore/runs/rows"),  # what is exported
    ("explore/exports/*", "explore/sweeps/*"),
    ("explore/runs/bundle_writer", "explore/sweeps/point_rows"),
    ("explore/rows/frame", "explore/sweeps/point_rows"),
}
"""The imports that go up for type checkers only."""

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


def is_module(name: str) -> bool:
    path = ROOT.parent / name.replace(".", "/")
    return path.is_dir() or path.with_name(f"{path.name}.py").is_file()


@cache
def read_imports(file: Path, *, types: bool = True) -> set[str]:
    """Return the full names of everything a file imports, including inside functions.

    Args:
        file: The file.
        types: Whether what it imports for type checkers only is included.
    """
    module = ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    parts = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    blocks = [each for each in ast.walk(tree) if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING"]
    skipped = set() if types else {node for block in blocks for each in block.body for node in ast.walk(each)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= names
            if not all(map(is_module, names)):  # else only the files in the package are imported
                found.add(source)
    return found


@cache
def read_import_graph(*, types: bool = True) -> dict[str, set[str]]:
    """Map each file of the package to the files of the package that it imports."""
    files = {name_of(file): file for file in sorted(ROOT.rglob("*.py"))}
    modules = {f"{PACKAGE}.{name.replace('/', '.')}".removesuffix(".__init__"): name for name in files}
    return {
        name: {modules[each] for each in read_imports(file, types=types) if each in modules}
        for name, file in files.items()
    }


def find_circles(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the arrows that are part of a circle, as `A -> B`."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        reached[start], left = set(), [*graph[start]]
        while left:
            if (name := left.pop()) not in reached[start]:
                reached[start].add(name)
                left += graph[name]
    return [f"{name} -> {target}" for name in graph for target in sorted(graph[name]) if name in reached[target]]


def layer_of(name: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if any(fnmatch(name, each) for each in layer))


def is_listed(name: str, target: str, pairs: set[tuple[str, str]]) -> bool:
    return any(fnmatch(name, source) and fnmatch(target, above) for source, above in pairs)


def test_imports_only_go_down() -> None:
    found = {
        types: [
            (name, target)
            for name, targets in read_import_graph(types=types).items()
            for target in sorted(targets)
            if layer_of(target) < layer_of(name)
        ]
        for types in (False, True)
    }
    wrong = [f"{name} imports {target}" for name, target in found[False] if (name, target) not in UPWARDS]
    wrong += [
        f"{name} imports {target} for types"
        for name, target in found[True]
        if (name, target) not in found[False] and not is_listed(name, target, TYPES_UPWARDS | UPWARDS)
    ]
    assert not wrong


def test_no_import_is_listed_in_vain() -> None:
    for types, listed in ((False, UPWARDS), (True, TYPES_UPWARDS)):
        arrows = [(name, each) for name, targets in read_import_graph(types=types).items() for each in targets]
        assert not [pair for pair in sorted(listed) if not any(is_listed(*arrow, {pair}) for arrow in arrows)]


def test_no_import_closes_a_circle() -> None:
    """Neither between files nor between folders, inside a function or not; those in `UPWARDS` apart."""
    files = {
        name: {target for target in targets if (name, target) not in UPWARDS}
        for name, targets in read_import_graph(types=False).items()
    }
    rooms: dict[str, set[str]] = {}
    for name, targets in files.items():
        room = name.rpartition("/")[0]
        rooms.setdefault(room, set()).update(target.rpartition("/")[0] for target in targets)
    assert not find_circles(files)
    assert not find_circles({room: targets - {room} for room, targets in rooms.items()})


def test_circles_are_found() -> None:
    assert find_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b -> c", "c -> b"]


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


def test_creating_a_kit_loads_little() -> None:
    found = find_loaded_modules(f"from {PACKAGE} import ComfyKit; ComfyKit()")
    heavy = {"httpx", "websockets", "PIL", "numpy", "av", "aiohttp", "platformdirs", *NOTEBOOK_PACKAGES}
    assert not {name.partition(".")[0] for name in found} & heavy
    rooms = (
        "client.backends",
        "client.inputs",
        "client.running",
        "explore",
        "notebook",
        "sandbox",
        "workflow.document",
    )
    assert not {name for name in found if name.startswith(tuple(f"{PACKAGE}.{room}" for room in rooms))}


def test_workflow_folder_loads_no_heavy_module() -> None:
    found = find_loaded_packages(f"import {PACKAGE}.workflow.document.workflow, {PACKAGE}.workflow.progress.progress")
    assert not found & {"httpx", "aiohttp", "numpy", "av", "PIL", "asyncio", "random", "difflib", *NOTEBOOK_PACKAGES}
