"""Find earlier texts of a form's field, and the wildcard files that a text can name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.ledger import open_ledger

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.notebook.widget.form.parameters import FormParameters

MAX_PROMPTS = 100
"""Texts that the page gets."""
MAX_CHARACTERS = 200_000
"""Characters of all of them."""
WILDCARDS = Path("wildcards")
"""The folder of the wildcard files; see `wildcards`."""
MAX_WILDCARDS = 2000
"""Wildcard files that the page gets."""
MAX_ENTRIES = 20_000
"""Files of any kind that are looked at, in case the folder has a whole disk below it."""
_WILDCARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_/ -]{0,99}")


class PromptHistory:
    """The texts that a form's fields had in earlier runs.

    Args:
        kit: Has the folder of the runs that were kept.
        parameters: The parameters of the form.
    """

    def __init__(self, kit: ComfyKit, parameters: FormParameters) -> None:
        self._kit = kit
        self._parameters = parameters

    def find(self, name: str, results: Sequence[ExecuteResult]) -> list[str]:
        """Return the texts that a parameter had in earlier runs, the newest first and each once.

        Args:
            name: The name of the parameter. If it is an address, such as `6.text`, only runs of the same workflow
                count, since node 6 of another one may be anything.
            results: The results of the form's own runs, the oldest first. They are newer than what was kept.
        """
        found: dict[str, None] = {}
        left = MAX_CHARACTERS
        for text in self._iter_texts(name, results):
            if not text.strip() or text in found or len(text) > left:
                continue
            found[text] = None
            left -= len(text)
            if len(found) == MAX_PROMPTS:
                break
        return list(found)

    def _iter_texts(self, name: str, results: Sequence[ExecuteResult]) -> Iterator[str]:
        """Yield the texts of the form's own runs, then those of the runs that were kept, the newest first."""
        for result in reversed(results):
            if isinstance(text := result.params.get(name), str):
                yield text
        folder = self._kit.runs_folder
        if folder is None:
            return
        workflow = self._parameters.workflow.name
        with contextlib.suppress(OSError, ComfyKitError):
            entries = list(open_ledger(folder).read().runs.values())
            for entry in sorted(entries, key=lambda each: each.at, reverse=True):
                if isinstance(text := entry.params.get(name), str) and ("." not in name or entry.name == workflow):
                    yield text


def list_wildcards(folder: Path = WILDCARDS) -> list[str]:
    """Return the names of the wildcard files, as they are written between `__`."""
    names = []
    seen = 0
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            seen += 1
            name = (Path(parent) / file).relative_to(folder).with_suffix("").as_posix()
            if file.endswith(".txt") and _WILDCARD.fullmatch(name):
                names.append(name)
        if len(names) >= MAX_WILDCARDS or seen >= MAX_ENTRIES:
            break
    return sorted(names)[:MAX_WILDCARDS]
