"""Results in words: headlines, labels, values, and why a run failed. Everything is bounded and safe to print."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from comfykit_jupyter.client.local_files import strip_folders
from comfykit_jupyter.client.results.captions import format_cost, format_label, shorten
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.workflow.errors import WorkflowError, truncate
from comfykit_jupyter.workflow.lora_stack import format_stack, read_stack

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult

MAX_NAMES = 50
"""Outputs that are listed by name."""
MAX_LINE_LENGTH = 500
"""Characters of a warning or an error."""
MIN_WAIT = 0.1
"""Seconds in the queue that are worth a word."""
MAX_VALUES_LENGTH = 2_000
"""Characters of a workflow and its values in one line."""

_OUTPUT = re.compile(r"https?://[^\s?]+/view\?filename=([^&\s]+)")
"""The address of an output on a ComfyUI server."""


def find_host(url: str) -> str:
    """Return the host of an address, with its port; "" if it is not an address, as in a journal that was edited."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def hide_address(text: str, *urls: str) -> str:
    """Return a text without the addresses of these servers, since what a notebook keeps may be shown to others."""
    for url in filter(None, urls):
        host = find_host(url)
        for address in (url, host) if re.search(r"[.:]", host) else (url,):  # a word may be in any text
            text = text.replace(f" at {address}", " at its address").replace(address, "the server")
    return text


def format_result(result: ExecuteResult) -> str:
    """Format a result as a few lines of plain text."""
    lines = [format_headline(result)]
    if result.error is not None:
        lines.append(format_failure(result))
    lines += [f"warning: {warning}" for warning in format_warnings(result)]
    lines += [f"  {format_label(media)}  {media.kind}  {shorten(media.name)}" for media in result.media[:MAX_NAMES]]
    if len(result.media) > MAX_NAMES:
        lines.append(f"  and {len(result.media) - MAX_NAMES} more")
    for variable, texts in result.texts_by_var.items():
        lines += [f"  {shorten(variable)}  text  {shorten(text)}" for text in texts]
    return "\n".join(lines)


def format_headline(result: ExecuteResult) -> str:
    """Format one line: workflow, status, seconds of execution, cost, seeds, changed values, version of ComfyUI."""
    status = "cancelled" if result.error is not None and result.error.stopped else result.status
    spent = ""
    if (seconds := result.duration if result.seconds is None else result.seconds) is not None:
        spent = f" {'in' if status == 'completed' else 'after'} {_format_seconds(seconds)}"
    # the workflow of an attached run may be unknown
    name = result.workflow_name or (f"run {result.prompt_id}" if result.prompt_id else "workflow")
    facts = [f"{shorten(name)}: {status}{spent}"]
    facts += [cost] if (cost := format_cost(result.cost)) else []
    facts += [f"{shorten(name)} {seed}" for name, seed in result.seeds.items()]
    facts += _format_pairs({**result.changed, **list_loras(result)})
    if result.server_version:
        facts.append(f"ComfyUI {shorten(result.server_version, 40)}")
    return " · ".join(facts)


def list_loras(result: ExecuteResult) -> dict[str, str]:
    """Return the stack of LoRAs as a value with a name, for a list of values; nothing if it has none."""
    with contextlib.suppress(WorkflowError):  # the result may come from a file
        if result.loras and (text := format_stack(read_stack(result.loras))):
            return {"LoRAs": text}
    return {}


def format_wait(result: ExecuteResult) -> str:
    """Format how long a run waited in the queue; empty if it did not, or that is not known."""
    if result.waited is None or result.waited < MIN_WAIT:
        return ""
    return f"waited {_format_seconds(result.waited)} in the queue"


def format_values(name: str, values: Mapping[str, Any]) -> str:
    """Format a workflow's name and values in one line."""
    return truncate(" · ".join([shorten(name), *_format_pairs(values)]), MAX_VALUES_LENGTH)


def _format_pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{shorten(name)} = {shorten(format_value(value), 60)}" for name, value in values.items()]


def format_value(value: Any) -> str:
    """Format a value for a caption: a file by its name, without the folder or the server."""
    if isinstance(value, Media):
        return value.name
    text = str(value)
    if found := _OUTPUT.match(text):
        return unquote_plus(found[1])
    return strip_folders(text)


def format_failure(result: ExecuteResult) -> str:
    """Format one line that says where and why a run failed; empty if it did not."""
    error = result.error
    if error is None:
        return ""
    where = error.node_title or error.class_type
    message = error.message or result.msg or error.kind
    message = f"{where}: {message}" if where and where not in message else message
    return shorten(hide_address(message, result.server), MAX_LINE_LENGTH)


def format_warnings(result: ExecuteResult) -> list[str]:
    """Format the warnings of a run, one line each."""
    return [shorten(hide_address(warning, result.server), MAX_LINE_LENGTH) for warning in result.warnings]


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"
