"""Everything that the public methods return or raise can be imported from the top, and is documented."""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import comfykit_jupyter

ROOT = Path(comfykit_jupyter.__file__).parent
PUBLIC = {name: getattr(comfykit_jupyter, name) for name in comfykit_jupyter.__all__ if name != "__version__"}
WORD = re.compile(r"[A-Za-z]\w*")
LONGEST_LINE = 120
INTERNAL = {
    "CheckedValue",  # what `Workflow.check` hands from room to room of the package: its users need its errors only
    "FittedPreset",  # likewise, of `Workflow.fit_preset`
    "Preset",  # likewise, of `Workflow.use_preset`
    "AttachedRun",  # to its users it is a `Run`
    "Backend",  # what runs a kit's workflows: the kit has methods for all that its users need of it
    "Step",  # `Plan.count` and the text of a plan have what its users need
    *(
        "Lora",
        "Replace",
        "Seeds",
        "Wildcards",
    ),  # what `lora`, `replace`, … return is given to `over`, and to nothing else
}
"""Classes that users meet, and have no use for."""


@cache
def own_classes() -> dict[str, type]:
    """The classes of the package by name."""
    found: dict[str, type] = {}
    for file in (
        *ROOT.glob("workflow/**/*.py"),
        *ROOT.glob("client/**/*.py"),
        *ROOT.glob("explore/**/*.py"),
        *ROOT.glob("kit/**/*.py"),
        *ROOT.glob("notebook/**/*.py"),
    ):
        name = ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        for each in vars(import_module(name)).values():
            if inspect.isclass(each) and each.__module__ == name:
                found.setdefault(each.__name__, each)
    return found


def public_members() -> Iterator[tuple[str, Any]]:
    """What can be called or read of the public names, as functions by their full names."""
    for name, each in PUBLIC.items():
        if not inspect.isclass(each):
            yield name, each
            continue
        members = {key: member for one in reversed(each.__mro__) for key, member in vars(one).items()}
        for key, member in members.items():
            function = getattr(member, "fget", getattr(member, "__func__", member))
            ours = (getattr(function, "__module__", None) or "").startswith(comfykit_jupyter.__name__)
            if ours and inspect.isfunction(function) and not key.startswith("_"):
                yield f"{name}.{key}", function


def test_the_public_names_are_listed_once() -> None:
    assert set(PUBLIC) == set(comfykit_jupyter._HOMES)


def test_what_is_returned_is_public() -> None:
    hidden = [
        f"{name} -> {word}"
        for name, function in public_members()
        for word in WORD.findall(str(function.__annotations__.get("return")))
        if word in own_classes() and word not in {*PUBLIC, *INTERNAL}
    ]
    hidden += [
        f"{name}.{key}: {word}"
        for name, each in PUBLIC.items()
        for one in getattr(each, "__mro__", ())
        for key, annotation in vars(one).get("__annotations__", {}).items()
        for word in WORD.findall(str(annotation))
        if not key.startswith("_") and word in own_classes() and word not in {*PUBLIC, *INTERNAL}
    ]
    assert not hidden


def raised_by(function: Any) -> list[str]:
    section = re.search(r"^Raises:\n((?: .*\n?)+)", inspect.getdoc(function) or "", re.MULTILINE)
    return re.findall(r"^    (\w+): ", section[1], re.MULTILINE) if section else []


def test_what_is_raised_is_public() -> None:
    raised = {error for _, function in public_members() for error in raised_by(function)}
    assert {"RunFailed", "SettingsError", "ServerError", "SourceError", "WorkflowError"} <= raised
    assert not {error for error in raised if error not in PUBLIC and not hasattr(builtins, error)}
    errors = {name for name, each in own_classes().items() if issubclass(each, comfykit_jupyter.ComfyKitError)}
    assert {"ComfyKitError", *raised} & errors <= set(PUBLIC)


def test_public_names_and_members_have_docstrings() -> None:
    members = [(name, each) for name, each in PUBLIC.items() if inspect.isclass(each)] + list(public_members())
    assert not [name for name, each in members if not each.__doc__]
    first_lines = [(name, (each.__doc__ or "").strip().splitlines()[0]) for name, each in members]
    assert not [name for name, line in first_lines if not line.endswith(".") or len(line) > LONGEST_LINE]


def test_public_names_have_an_example() -> None:
    assert not [name for name, each in PUBLIC.items() if "Example:\n" not in (inspect.getdoc(each) or "")]
