"""The public API as lines of text, so that changes are seen: `tools/api.txt` is the baseline without a release."""

from __future__ import annotations

import logging
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / "tools/api.txt"
PACKAGE = "comfykit_jupyter"
_PREFIXES = {"variadic positional": "*", "variadic keyword": "**"}


def load_package() -> griffe.Object:
    """Load the package of this source tree, without importing it."""
    logging.getLogger("griffe").setLevel(logging.ERROR)
    package = griffe.load(PACKAGE, search_paths=[str(ROOT)], resolve_aliases=True)
    assert isinstance(package, griffe.Object)
    return package


def list_signatures(package: griffe.Object) -> list[str]:
    """Return one line for each public name: functions and methods with their parameters, classes with their bases."""
    lines: list[str] = []
    for name in sorted(str(each) for each in package.exports or ()):
        # Names of `__all__` that a module gets at run time have no member: they are imported lazily.
        member = _find_target(package, name)
        if member is None:
            lines.append(name)
        elif member.is_class:
            lines.append(f"class {name}")
            lines += [
                f"{name}.{_format_member(each)}"
                for each in sorted(member.all_members.values(), key=lambda each: each.name)
                if not each.name.startswith("_") and not _is_imported(each)
            ]
        else:
            lines.append(_format_member(member))
    return lines


def _find_target(package: griffe.Object, name: str) -> griffe.Object | None:
    try:
        member = package[name]
        target = member.final_target if member.is_alias else member
    except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
        return None
    assert isinstance(target, griffe.Object)
    return target


def _is_imported(member: griffe.Object | griffe.Alias) -> bool:
    return member.is_alias and not getattr(member, "inherited", False)


def _format_member(member: griffe.Object | griffe.Alias) -> str:
    try:
        target = member.final_target if member.is_alias else member  # type: ignore[union-attr]
    except (griffe.AliasResolutionError, griffe.CyclicAliasError):
        return member.name
    if not isinstance(target, griffe.Function):
        return member.name
    parts: list[str] = []
    for parameter in target.parameters:
        kind = "" if parameter.kind is None else parameter.kind.value
        prefix = _PREFIXES.get(kind, "")
        if kind == "keyword-only" and not any(part.startswith("*") for part in parts):
            parts.append("*")
        default = "" if parameter.default is None or prefix else f"={parameter.default}"
        parts.append(f"{prefix}{parameter.name}{default}")
    return f"{member.name}({', '.join(parts)})"


def main() -> None:
    """Record the baseline again."""
    BASELINE.write_text("\n".join([*list_signatures(load_package()), ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
