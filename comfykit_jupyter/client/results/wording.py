"""A run, its values and its outputs in words: headlines, labels, and why it failed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from comfykit_jupyter.client.local_files import strip_folders
from comfykit_jupyter.client.results.media import Media

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult

MAX_NAMES = 50
"""Outputs that are named."""
MAX_NAME_LENGTH = 120
"""Characters of a name or value."""


def format_cost(cost: Mapping[str, float]) -> str:
    """What a run cost, in words: `17 coins`. Empty where that is not told."""
    names = {"coins": "coins", "money": "in money", "third_party_money": "in money for services of others"}
    told = [f"{cost[name]:.10g} {words}" for name, words in names.items() if name in cost]
    return ", ".join("1 coin" if each == "1 coins" else each for each in told)


def format_result(result: ExecuteResult) -> str:
    """A result in a few lines of plain text."""
    lines = [format_headline(result)]
    if result.error is not None:
        lines.append(format_failure(result))
    lines += [f"warning: {shorten(warning, 500)}" for warning in result.warnings]
    lines += [f"  {format_label(media)}  {media.kind}  {shorten(media.name)}" for media in result.media[:MAX_NAMES]]
    if len(result.media) > MAX_NAMES:
        lines.append(f"  and {len(result.media) - MAX_NAMES} more")
    for variable, texts in result.texts_by_var.items():
        lines += [f"  {shorten(variable)}  text  {shorten(text)}" for text in texts]
    return "\n".join(lines)


def format_headline(result: ExecuteResult) -> str:
    """One line: the workflow, how it ended, after how long and at what cost, its seeds and changed values, on what."""
    status = "cancelled" if result.error is not None and result.error.stopped else result.status
    spent = (
        "" if result.duration is None else f" {'in' if status == 'completed' else 'after'} {_seconds(result.duration)}"
    )
    unnamed = f"run {result.prompt_id}" if result.prompt_id else "workflow"  # one attached, that nobody has on record
    facts = [f"{shorten(result.workflow_name or unnamed)}: {status}{spent}"]
    facts += [price] if (price := format_cost(result.cost)) else []
    facts += [f"{shorten(name)} {seed}" for name, seed in result.seeds.items()]
    facts += [f"{shorten(name)} = {shorten(format_value(value), 60)}" for name, value in result.changed.items()]
    if result.server_version:
        facts.append(f"ComfyUI {shorten(result.server_version, 40)}")
    return " · ".join(facts)


def format_values(name: str, values: Mapping[str, Any]) -> str:
    """A workflow and its values in one line."""
    facts = [f"{shorten(each)} = {shorten(format_value(value), 60)}" for each, value in values.items()]
    return truncate(" · ".join([shorten(name), *facts]), 2_000)


_OUTPUT = re.compile(r"https?://[^\s?]+/view\?filename=([^&\s]+)")


def format_value(value: Any) -> str:
    """A value in a caption: of a file its name."""
    if isinstance(value, Media):
        return value.name
    text = str(value)
    if found := _OUTPUT.match(text):
        return unquote_plus(found[1])
    return strip_folders(text)


def format_failure(result: ExecuteResult) -> str:
    """One line: where a run failed, and why; empty for a run that did not."""
    error = result.error
    if error is None:
        return ""
    where = error.node_title or error.class_type
    message = error.message or result.msg or error.kind
    return shorten(f"{where}: {message}" if where and where not in message else message, 500)


def format_label(media: Media) -> str:
    """What a person calls the output: the name given in the workflow, else the node's number."""
    return shorten(media.var if media.var != media.node else f"node {media.node}")


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"


def shorten(text: str, length: int = MAX_NAME_LENGTH) -> str:
    """One line of at most `length` characters, without those that control or reorder what stands around them."""
    line = strip_controls("".join(" " if c.isspace() else c for c in text[: 2 * length + 100]))
    return line if len(line) <= length else f"{line[: length - 1]}…"


def strip_controls(text: str) -> str:
    """Remove characters that control a terminal or turn the direction of what follows."""
    return "".join(
        c for c in text if unicodedata.category(c) not in _CONTROLS and unicodedata.bidirectional(c) not in _TURNS
    )


_CONTROLS = ("Cc", "Cs")


_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Characters that control a terminal or are none, and those that turn the direction of what follows."""


def truncate(text: str, length: int) -> str:
    """Cut a text of any number of lines to `length` characters."""
    return text if len(text) <= length else f"{text[:length]}…"
