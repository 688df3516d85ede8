"""Let mkdocstrings show the `Example:` sections of docstrings as code: a Griffe extension."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^Example:\n((?:(?:    .*)?\n)*(?:    .*)?)$", re.MULTILINE)


class Examples(griffe.Extension):
    """Rewrites each docstring before it is parsed: Griffe takes `Example:` for a note, and its code for prose."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Mark the code of one object's examples."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(_mark_code, obj.docstring.value)


def _mark_code(section: re.Match[str]) -> str:
    """Return a section "Examples" in which each paragraph of code without prompts is fenced."""
    paragraphs = [_fence(paragraph) for paragraph in re.split(r"\n\s*\n", section[1].rstrip())]
    return "Examples:\n" + "\n\n".join(paragraphs) + "\n"


def _fence(paragraph: str) -> str:
    is_prose = re.match(r"    [A-Z`][^=(]*[:.]$", paragraph)
    if is_prose or ">>>" in paragraph or paragraph.startswith("        "):
        return paragraph
    return f"    ```python\n{paragraph}\n    ```"
