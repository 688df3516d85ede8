"""Tab after `%comfykit`, and below it: commands, options, workflow files, the file's parameters with their choices.

What only a server knows is offered once it was told: nothing is asked while somebody types.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.keep import KeepMode
from comfykit_jupyter.client.running.run import find_unfinished_runs
from comfykit_jupyter.notebook.magic.commands import COMMANDS
from comfykit_jupyter.notebook.magic.line import LineError, Token, quote, split
from comfykit_jupyter.workflow.hosted import Hosted
from comfykit_jupyter.workflow.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfykit_jupyter.notebook.magic.magics import ComfyKitMagics

_LINE = re.compile(r"\s*(?:[\w.,\s\[\]]+=\s*)?%?%comfykit\s+(?P<rest>.*)", re.DOTALL)
_BODY = re.compile(r"\s*%%comfykit\s+(?P<rest>(?:run|form)\s.*)")
_SUFFIXES = frozenset(
    {
        ".json", ".png", ".webp", ".jpg", ".jpeg", ".mp4", ".mov", ".webm", ".mkv", ".flac", ".mp3", ".opus", ".ogg",
        ".m4a",
    }
)  # fmt: skip
_FILES = 200
_FILE_BYTES = 4_000_000
"""Files that are offered, and bytes of a workflow that is read for its parameters: a key press must not wait."""


class Completion:
    """The completer of one shell's magic."""

    def __init__(self, magics: ComfyKitMagics) -> None:
        self._magics = magics

    @context_matcher()  # type: ignore[untyped-decorator]
    def matcher(self, context: CompletionContext) -> SimpleMatcherResult:
        """What can stand where the cursor is."""
        lines = context.full_text.split("\n")
        line = lines[context.cursor_line][: context.cursor_position]
        if found := _LINE.fullmatch(line):
            before, fragment = _cut(found["rest"])
            texts = self._texts(before, fragment)
        elif context.cursor_line > 0 and (found := _BODY.fullmatch(lines[0])):
            fragment = line
            texts = self._below(found["rest"], lines[1:])
        else:
            return {"completions": [], "suppress": False}
        texts = sorted(text for text in texts if text.startswith(fragment))
        return {
            "completions": [SimpleCompletion(text=text, type="magic") for text in texts],
            "matched_fragment": fragment,
            "suppress": True,
        }

    def _texts(self, before: list[Token], fragment: str) -> Iterable[str]:
        if not before:
            return COMMANDS
        command = COMMANDS.get(before[0].text)
        if command is None:
            return ()
        if before[-1].text in command.options and before[-1].name is None:
            return ()  # its value: nobody knows
        if before[0].text == "connect":
            return ("sandbox",)
        if before[0].text in ("models", "attach", "cancel"):
            return self._known(before[0].text) if len(before) == 1 else command.options
        if before[0].text == "keep":
            return get_args(KeepMode) if len(before) == 1 else ()
        if not command.workflow:
            return command.options
        if len(before) == 1:
            return [*_files(fragment), *(source for source in self._magics.fields if Hosted.of(source, ""))]
        given = {token.name for token in before}
        texts = {token.text for token in before}
        options = [option for option in (*command.options, *command.flags) if option not in texts]
        if not command.values:
            return options
        return [*options, *self._parameters(before[1].text, fragment, given)]

    def _known(self, command: str) -> Iterable[str]:
        if command == "models":
            return self._magics.folders
        going = [run.prompt_id for run in find_unfinished_runs()]
        return going if command == "cancel" else [*going, *self._magics.prompt_ids]

    def _below(self, rest: str, lines: list[str]) -> list[str]:
        """Names that begin a line of the body."""
        before, last = _cut(rest)
        words = [token.text for token in before] + ([last] if last else [])
        if len(words) < 2:
            return []
        given: set[str | None] = {line.partition(":")[0] for line in lines if ":" in line}
        given |= {token.name for token in before}
        return [f"{name.rstrip('=')}: " for name in self._parameters(words[1], "", given)]

    def _parameters(self, source: str, fragment: str, given: set[str | None]) -> Iterable[str]:
        name, separator, begun = fragment.partition("=")
        fields = self._magics.fields.get(source)
        if separator:
            field = next((field for field in fields or () if field.name == name), None)
            choices = ("true", "false") if field and field.kind == "toggle" else field.choices if field else None
            return [f"{name}={_alike(str(choice), begun)}" for choice in choices or ()]
        names = [field.name for field in fields] if fields is not None else _names(source)
        return [f"{name}=" for name in names if name not in given]


def _cut(rest: str) -> tuple[list[Token], str]:
    """The tokens before the one at the cursor, and what there is of that one."""
    for closing in ("", '"', "'"):
        try:
            tokens = split(rest + closing)
        except LineError:
            continue
        if tokens and tokens[-1].end >= len(rest):
            return tokens[:-1], rest[tokens[-1].start :]
        return tokens, ""
    return [], rest


def _files(fragment: str) -> list[str]:
    """Folders and files that may be a workflow or carry one, and begin so; hidden ones are not offered."""
    begun = fragment.lstrip("\"'")
    folder = begun.rpartition("/")[0] + "/" if "/" in begun else ""
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())[:5000]
    except OSError:
        return []
    found = [
        f"{folder}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if not entry.name.startswith(".") and (entry.suffix.lower() in _SUFFIXES or entry.is_dir())
    ]
    return [_alike(path, fragment) for path in found[:_FILES]]


def _names(source: str) -> list[str]:
    try:
        path = Path(source).expanduser()
        if path.suffix.lower() == ".json" and path.stat().st_size > _FILE_BYTES:
            return []
        with path.open("rb") as file:
            return list(Workflow.parse(file).parameters)
    except (OSError, ValueError, ComfyKitError):
        return []


def _alike(text: str, begun: str) -> str:
    """A text quoted as the one that was begun, or as it needs to be."""
    if begun[:1] == '"':
        escaped: Any = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if begun[:1] == "'" and "'" not in text:
        return f"'{text}'"
    return quote(text)
