"""Complete `%comfykit` and the lines below it: commands, options, workflow files, parameters and their choices.

A key press must not wait, so no server is asked. What only a server knows is offered once a command has listed it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.inputs.examples import find_example, list_examples
from comfykit_jupyter.client.presets.folder import PresetFolder
from comfykit_jupyter.client.results.keep import KeepMode
from comfykit_jupyter.client.running.registry import find_unfinished_runs
from comfykit_jupyter.notebook.magic.commands import COMMANDS
from comfykit_jupyter.notebook.magic.line import LineError, Token, quote, split
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
from comfykit_jupyter.workflow.media_kinds import WORKFLOW_SUFFIXES

if TYPE_CHECKING:
    from comfykit_jupyter.notebook.magic.magics import ComfyKitMagics

_LINE = re.compile(r"\s*(?:[\w.,\s\[\]]+=\s*)?%?%comfykit\s+(?P<rest>.*)", re.DOTALL)
_BODY = re.compile(
    rf"\s*%%comfykit\s+(?P<rest>(?:{'|'.join(name for name, command in COMMANDS.items() if command.values)})\s.*)"
)
_SUFFIXES = WORKFLOW_SUFFIXES | {".json"}
MAX_ENTRIES = 5000
"""Entries of a folder that are looked at."""
MAX_FILES = 200
"""Files that are offered."""
MAX_FILE_BYTES = 4_000_000
"""Bytes of a JSON file that is read for its parameters."""


class Completion:
    """The completer of one shell's `%comfykit`.

    Args:
        magics: Knows what the commands have listed.
    """

    def __init__(self, magics: ComfyKitMagics) -> None:
        self._magics = magics

    @context_matcher()  # type: ignore[untyped-decorator]
    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Return what can be typed at the cursor."""
        lines = context.full_text.split("\n")
        line = lines[context.cursor_line][: context.cursor_position]
        if found := _LINE.fullmatch(line):
            before, fragment = _split_at_cursor(found["rest"])
            texts = self._complete_line(before, fragment)
        elif context.cursor_line > 0 and (found := _BODY.fullmatch(lines[0])):
            fragment = line
            texts = self._complete_body(found["rest"], lines[1:])
        else:
            return {"completions": [], "suppress": False}
        texts = sorted(text for text in texts if text.startswith(fragment))
        return {
            "completions": [SimpleCompletion(text=text, type="magic") for text in texts],
            "matched_fragment": fragment,
            "suppress": True,
        }

    def _complete_line(self, before: list[Token], fragment: str) -> Iterable[str]:
        """Return the tokens that can follow those before the cursor."""
        if not before:
            return COMMANDS
        name = before[0].text
        command = COMMANDS.get(name)
        if command is None:
            return ()
        if before[-1].text in command.options and before[-1].name is None:
            return _find_presets(fragment) if before[-1].text == "--preset" else ()  # others can be anything
        if name == "connect":
            return ("sandbox",)
        if name in ("models", "attach", "cancel"):
            return self._complete_argument(name) if len(before) == 1 else command.options
        if name == "keep":
            return get_args(KeepMode) if len(before) == 1 else ()
        if not command.workflow:
            return command.options
        if len(before) == 1:
            return [
                *_find_files(fragment),
                *(source for source in self._magics.fields if HostedWorkflow.parse(source, "")),
            ]
        texts = {token.text for token in before}
        options = [option for option in (*command.options, *command.flags) if option not in texts]
        if not command.values:
            return options
        given = {token.name for token in before}
        return [*options, *self._complete_parameter(before[1].text, fragment, given)]

    def _complete_argument(self, command: str) -> Iterable[str]:
        if command == "models":
            return self._magics.folders
        unfinished_ids = [run.prompt_id for run in find_unfinished_runs()]
        return unfinished_ids if command == "cancel" else [*unfinished_ids, *self._magics.prompt_ids]

    def _complete_body(self, rest: str, lines: list[str]) -> list[str]:
        """Return the parameter names that can begin a line of the body."""
        before, last = _split_at_cursor(rest)
        words = [token.text for token in before] + ([last] if last else [])
        if len(words) < 2:
            return []
        given: set[str | None] = {line.partition(":")[0] for line in lines if ":" in line}
        given |= {token.name for token in before}
        return [f"{name.rstrip('=')}: " for name in self._complete_parameter(words[1], "", given)]

    def _complete_parameter(self, source: str, fragment: str, given: set[str | None]) -> Iterable[str]:
        """Return the names that are not given yet, each with a `=`; after the `=`, the choices of the parameter."""
        name, separator, begun = fragment.partition("=")
        fields = self._magics.fields.get(source)
        if separator:
            field = next((field for field in fields or () if field.name == name), None)
            choices = ("true", "false") if field and field.kind == "toggle" else field.choices if field else None
            return [f"{name}={_quote_like(str(choice), begun)}" for choice in choices or ()]
        names = [field.name for field in fields] if fields is not None else _read_names(source)
        return [f"{name}=" for name in names if name not in given]


def _split_at_cursor(rest: str) -> tuple[list[Token], str]:
    """Return the complete tokens before the cursor, and the beginning of the token at the cursor."""
    for closing in ("", '"', "'"):
        try:
            tokens = split(rest + closing)
        except LineError:
            continue
        if tokens and tokens[-1].end >= len(rest):
            return tokens[:-1], rest[tokens[-1].start :]
        return tokens, ""
    return [], rest


def _find_files(fragment: str) -> list[str]:
    """Return the examples, and the visible folders and workflow files in the folder that the fragment names."""
    begun = fragment.lstrip("\"'")
    examples = [example for example in list_examples() if example.startswith(begun)]
    folder = begun.rpartition("/")[0] + "/" if "/" in begun else ""
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())[:MAX_ENTRIES]
    except OSError:
        return examples
    found = [
        f"{folder}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if not entry.name.startswith(".") and (entry.suffix.lower() in _SUFFIXES or entry.is_dir())
    ]
    return [_quote_like(path, fragment) for path in [*examples, *found[:MAX_FILES]]]


def _find_presets(fragment: str) -> list[str]:
    """Return the names of the presets in the current folder."""
    with contextlib.suppress(OSError, ComfyKitError):
        return [_quote_like(name, fragment) for name in PresetFolder().find_names()]
    return []


def _read_names(source: str) -> list[str]:
    """Read the names of a workflow file's parameters; none where that fails or takes long."""
    try:
        path = find_example(source) or Path(source).expanduser()
        if path.suffix.lower() == ".json" and path.stat().st_size > MAX_FILE_BYTES:
            return []
        with path.open("rb") as file:
            return list(Workflow.parse(file).parameters)
    except (OSError, ValueError, ComfyKitError):
        return []


def _quote_like(text: str, begun: str) -> str:
    """Quote a text with the quote that was begun, or where it needs quotes."""
    if begun[:1] == '"':
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if begun[:1] == "'" and "'" not in text:
        return f"'{text}'"
    return quote(text)
