"""The MIME bundle of one output, and the thumbnails of several: fetched from the server within a few seconds."""

from __future__ import annotations

import asyncio
import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.loop import call, is_loop_thread
from comfykit_jupyter.client.results.captions import MAX_NAME_LENGTH, format_label, format_media, shorten
from comfykit_jupyter.client.results.thumbnail import Thumbnail, make_thumbnail
from comfykit_jupyter.workflow.media_kinds import find_format

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.media import Media

SIDE = 256
"""Pixels of a thumbnail's longer side."""
SMALL_SIDE = 128
"""The same when there are more than `MANY_IMAGES`, or larger ones do not fit."""
MANY_IMAGES = 12
LARGE_SIDE = 768
"""Pixels of an image that is shown by itself."""
MAX_PLAYED_BYTES = 3_000_000
"""Bytes of a video or audio file that a cell plays."""
FETCH_TIMEOUT = 5.0
"""Seconds in which all images of a result must arrive."""

_ELEMENTS = {
    "img": '<img src="{address}" alt="{name}">',
    "video": '<video controls loop muted src="{address}">{name}</video>',
    "audio": '<audio controls src="{address}">{name}</audio>',
}
"""The HTML that shows a file in full, by the element of its format."""


def build_media_bundle(media: Media) -> dict[str, Any]:
    """Build what a cell shows of one output: the output itself if it can be fetched, else its name."""
    bundle: dict[str, Any] = {"text/plain": format_media(media)}
    name = escape(media.name)
    element = find_format(media.name)[1].element
    if media.kind == "image":
        thumbnail = make_thumbnails([media], LARGE_SIDE).get(media)
        if thumbnail is not None:
            bundle["text/html"] = render_image(media, thumbnail)
    elif element is not None and (data := _read_small(media)) is not None:
        bundle["text/html"] = _ELEMENTS[element].format(address=build_data_url(media.mime, data), name=name)
    bundle.setdefault("text/html", f"<p>{name} ({escape(media.kind)})</p>")
    return bundle


def make_thumbnails(media: Sequence[Media], side: int | None = None) -> dict[Media, Thumbnail]:
    """Make thumbnails of the outputs that arrive in time and can be read."""
    side = side or (SIDE if len(media) <= MANY_IMAGES else SMALL_SIDE)
    made = {each: _try_thumbnail(path, side) for each, path in _fetch(media).items()}
    return {each: thumbnail for each, thumbnail in made.items() if thumbnail is not None}


def _try_thumbnail(path: Path, side: int) -> Thumbnail | None:
    try:
        return make_thumbnail(path, side)
    except ValueError:
        return None


def _read_small(media: Media) -> bytes | None:
    """Read a file that is small enough to be part of a notebook."""
    path = _fetch([media]).get(media)
    return path.read_bytes() if path is not None and path.stat().st_size <= MAX_PLAYED_BYTES else None


def _fetch(media: Sequence[Media]) -> dict[Media, Path]:
    """Fetch files side by side; those that do not arrive in time are left out."""
    if not media or is_loop_thread():
        return {}
    return call(_fetch_all(media))


async def _fetch_all(media: Sequence[Media]) -> dict[Media, Path]:
    tasks = {each: asyncio.ensure_future(each.origin.fetch(each)) for each in dict.fromkeys(media)}
    done, late = await asyncio.wait(tasks.values(), timeout=FETCH_TIMEOUT)
    for task in late:
        task.cancel()
    return {each: task.result() for each, task in tasks.items() if task in done and not task.exception()}


def render_image(media: Media, thumbnail: Thumbnail) -> str:
    """Render a thumbnail, with what it shows as its text."""
    width, height = thumbnail.original
    description = f"{format_label(media)}: {shorten(media.name)}, {width} × {height}"
    if media.kind == "video":
        description += ", first frame"
    text = escape(description, 2 * MAX_NAME_LENGTH)
    return (
        f'<img src="{build_data_url(thumbnail.mime, thumbnail.data)}"'
        f' width="{thumbnail.width}" height="{thumbnail.height}" alt="{text}" title="{text}">'
    )


def build_data_url(mime: str, data: bytes) -> str:
    """Return the address that contains a file."""
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def escape(text: str, limit: int = MAX_NAME_LENGTH) -> str:
    """Return a text as one line of HTML, of at most `limit` characters."""
    return html.escape(shorten(text, limit))
