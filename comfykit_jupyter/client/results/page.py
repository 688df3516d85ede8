"""A result as one self-contained HTML file: its media in full, its texts, and how it was made.

The file is written in chunks, so that a video is never in memory as a whole. It runs no script and loads
nothing: its own content security policy forbids both.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError, SettingsError
from comfykit_jupyter.client.local_files import write_whole
from comfykit_jupyter.client.results.captions import format_cost, format_label
from comfykit_jupyter.client.results.wording import format_failure, format_headline, format_value, list_loras
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.media_kinds import find_format

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.results.result import ExecuteResult

_CHUNK_SIZE = 3 * 256 * 1024
"""Bytes that are encoded at a time: a multiple of 3, so that the chunks of base64 join."""
_MAX_NAME_LENGTH = 300
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }}
figure {{ margin: 1.5rem 0; }}
img, video {{ display: block; max-width: 100%; max-height: 90vh; }}
audio {{ display: block; width: 100%; max-width: 40rem; }}
figcaption, dt {{ opacity: .75; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }}
dd {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; padding: .75rem; border: 1px solid color-mix(in srgb, currentColor 20%, transparent); }}
</style>
</head>
<body>
"""  # noqa: E501 - the policy has to be one line


def write_page(result: ExecuteResult, path: str | Path, megabytes: int) -> Path:
    """Write a result as one file and return its path; see `ExecuteResult.to_html`."""
    if isinstance(megabytes, bool) or not isinstance(megabytes, int) or megabytes < 0:
        raise SettingsError(f"to_html: megabytes must be an integer of at least 0, not {short_repr(megabytes)}")
    target = Path(path).expanduser()
    with write_whole(target) as draft, draft.open("w", encoding="utf-8", errors="replace") as file:
        _write(result, file, megabytes * 1_000_000)
    return target


def _write(result: ExecuteResult, file: IO[str], room: int) -> None:
    name = html.escape(one_line(result.workflow_name or "workflow", 200))
    file.write(_HEAD.format(title=name))
    file.write(f"<h1>{name}</h1>\n<p>{html.escape(format_headline(result))}</p>\n")
    if result.error is not None:
        file.write(f"<p><strong>{html.escape(format_failure(result))}</strong></p>\n")
        if result.error.traceback:
            file.write(_render_details("Traceback", "\n".join(line.rstrip("\n") for line in result.error.traceback)))
    file.writelines(f"<p>{html.escape(warning)}</p>\n" for warning in result.warnings)
    for media in result.media:
        room -= _write_media(media, file, room)
    for variable, texts in result.texts_by_var.items():
        file.writelines(f"<h2>{html.escape(variable)}</h2>\n<pre>{html.escape(text)}</pre>\n" for text in texts)
    file.write("<h2>How it was made</h2>\n")
    file.write(_render_list({**result.params, **list_loras(result), **result.seeds}))
    facts = {
        "server": result.server,
        "ComfyUI": result.server_version,
        "prompt_id": result.prompt_id,
        "cost": format_cost(result.cost),
    }
    file.write(_render_list({name: value for name, value in facts.items() if value}))
    if result.prompt:
        file.write(_render_details("Prompt as sent", json.dumps(result.prompt, indent=2, ensure_ascii=False)))
    file.write("</body>\n</html>\n")


def _write_media(media: Media, file: IO[str], room: int) -> int:
    """Write one output in full, if it fits into `room` bytes; return the bytes that it takes."""
    caption = html.escape(f"{format_label(media)}: {one_line(media.name, _MAX_NAME_LENGTH)}")
    try:
        path = media.path
        size = path.stat().st_size
    except (ComfyKitError, OSError) as error:
        reason = str(error) if isinstance(error, ComfyKitError) else "the local copy was deleted"
        file.write(f"<p>{caption} ({html.escape(reason)})</p>\n")
        return 0
    if size > room:
        file.write(f"<p>{caption} ({size / 1e6:,.1f} MB: too large for this page)</p>\n")
        return 0
    before, after = _split_element(media, caption)
    file.write(f"<figure>{before}data:{media.mime};base64,")
    with path.open("rb") as source:
        for chunk in iter(lambda: source.read(_CHUNK_SIZE), b""):
            file.write(base64.b64encode(chunk).decode("ascii"))
    file.write(f"{after}<figcaption>{caption}</figcaption></figure>\n")
    return size


def _split_element(media: Media, caption: str) -> tuple[str, str]:
    """Return the HTML before and after the address of an output's bytes."""
    element = find_format(media.name)[1].element
    if element == "img":
        return '<img src="', f'" alt="{caption}">'
    if element is not None:
        return f'<{element} controls src="', f'"></{element}>'
    name = html.escape(one_line(media.name, _MAX_NAME_LENGTH))
    return f'<a download="{name}" href="', f'">Save {caption}</a>'


def _render_list(values: Mapping[str, Any]) -> str:
    rows = [
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(format_value(value))}</dd>\n" for name, value in values.items()
    ]
    return f"<dl>\n{''.join(rows)}</dl>\n" if rows else ""


def _render_details(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary><pre>{html.escape(text)}</pre></details>\n"
