"""Results and media as mime bundles: what a cell shows of them, and what stays in the saved notebook.

The HTML has no script, no style and no id, as an untrusted notebook loses them: paragraphs, pictures as `data:`
addresses, `<pre>` and `<details>`. All of it is escaped and bounded. Pictures come from the server within a few
seconds; of those that don't the name is shown.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.loop import call, is_loop_thread
from comfykit_jupyter.client.results.keep import get_keep
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.client.results.thumbnail import Thumbnail, make_thumbnail
from comfykit_jupyter.client.results.wording import (
    MAX_NAME_LENGTH,
    MAX_NAMES,
    format_failure,
    format_headline,
    format_label,
    format_result,
    shorten,
    strip_controls,
    truncate,
)
from comfykit_jupyter.workflow.media_kinds import KINDS, find_format

SIDE, SMALL_SIDE, MANY = 256, 128, 12
"""Pixels of a thumbnail's longer side, and of the smaller one when there are more than `MANY` pictures."""
MOST_PICTURES = 48
"""Pictures of one run that are fetched for the notebook, and outputs that are named there."""
PNG_BYTES = 60_000
"""Characters of the picture for viewers that show no HTML."""
TEXT_LENGTH, TRACEBACK_LENGTH = 2_000, 8_000
"""Characters of a text output, of a name or value, and of a traceback."""
PATIENCE = 5.0
"""Seconds that all pictures of a result may take to arrive."""
LARGE_SIDE, PLAYED_BYTES = 768, 3_000_000
"""Pixels of a picture shown by itself, and bytes of a video or sound that is played where it stands."""


_ELEMENTS = {
    "img": '<img src="{address}" alt="{name}">',
    "video": '<video controls loop muted src="{address}">{name}</video>',
    "audio": '<audio controls src="{address}">{name}</audio>',
}
"""How a file that is played where it stands is shown, by the element of its format."""


def build_result_bundle(result: ExecuteResult, share: float = 1.0) -> dict[str, Any]:
    """What a cell shows of a result: `text/plain`, `text/html`, and `image/png` of its first picture.

    Args:
        result: a run's result.
        share: the part of what `keep` says that it may take.
    """
    keep = get_keep()
    room = int(keep.kilobytes * 1000 * share)
    text = format_result(result)
    if keep.mode == "off":
        return {"text/plain": truncate(text, 2_000), "text/html": _wrapped(_told(result))}
    text = truncate(text, room // 10)
    html = _without_pictures(result, room // 3)
    if keep.mode == "links":
        return {"text/plain": text, "text/html": _wrapped([*html, _links(result.media, room // 3)])}
    left = room - sum(map(_size, html)) - _size(text) - 300  # what is around them
    picked = _evenly([media for media in result.media if KINDS[media.kind].has_thumbnail], MOST_PICTURES)
    pictures = _thumbnails(picked)
    bundle: dict[str, Any] = {"text/plain": text}
    if pictures and (
        png := _png(next(iter(pictures.values())).data, min(PNG_BYTES, left // (2 if len(pictures) == 1 else 4)))
    ):
        bundle["image/png"] = png
        left -= len(png)
    bundle["text/html"] = _wrapped([*html, *_gallery(result.media, picked, pictures, left)])
    return bundle


def build_media_bundle(media: Media) -> dict[str, Any]:
    """What a cell shows of one picture, video or sound: itself, when it can be had, else its name."""
    bundle: dict[str, Any] = {"text/plain": repr(str(media))}
    name = _escape(media.name)
    if media.kind == "image":
        picture = _thumbnails([media], LARGE_SIDE).get(media)
        if picture is not None:
            bundle["text/html"] = _image(media, picture)
    elif (element := find_format(media.name)[1].element) and (data := _played(media)) is not None:
        bundle["text/html"] = _ELEMENTS[element].format(address=_data_url(media.mime, data), name=name)
    bundle.setdefault("text/html", f"<p>{name} ({_escape(media.kind)})</p>")
    return bundle


def _told(result: ExecuteResult) -> list[str]:
    """What was run and how it ended."""
    parts = [f"<p>{_escape(format_headline(result), 2_000)}</p>"]
    if result.error is not None:
        parts.append(f"<p><strong>{_escape(format_failure(result), 500)}</strong></p>")
    return parts


def _without_pictures(result: ExecuteResult, room: int) -> list[str]:
    """All of a result but its media, in about `room` bytes."""
    parts = _told(result)
    if result.error is not None and (trace := "\n".join(line.rstrip("\n") for line in result.error.traceback)):
        cut = _cut(trace, min(TRACEBACK_LENGTH, room))
        parts.append(f"<details><summary>Traceback</summary><pre>{cut}</pre></details>")
    parts += [f"<p>{_escape(warning, 500)}</p>" for warning in result.warnings[:20]]
    texts = [(variable, text) for variable, found in result.texts_by_var.items() for text in found]
    left = room - sum(map(_size, parts))
    for index, (variable, text) in enumerate(texts):
        part = f"<p>{_escape(variable)}</p><pre>{_cut(text, TEXT_LENGTH)}</pre>"
        left -= _size(part)
        if left < 0:
            parts.append(f"<p>and {len(texts) - index} more texts</p>")
            break
        parts.append(part)
    return parts


def _gallery(
    media: Sequence[Media], picked: Sequence[Media], pictures: Mapping[Media, Thumbnail], room: int
) -> list[str]:
    """Of the pictures picked as many as fit into so many bytes; how many there are; and the names of what is not seen.

    `pictures` are the thumbnails of those `picked` that could be had.
    """
    missing = [each for each in picked if each not in pictures]
    names = _listed([_named(each) for each in media if each in missing or each.kind != "image"])
    images = _fitting(pictures, room - sum(map(_size, names)) - MAX_NAME_LENGTH)
    if not images:
        return _listed([_named(each) for each in media])
    parts = [f"<p>{' '.join(images.values())}</p>"]
    visual = sum(KINDS[each.kind].has_thumbnail for each in media)
    if len(images) + len(missing) < visual:
        parts.append(f"<p>{len(images)} of {visual} pictures</p>")
    return [*parts, *names]


def _named(media: Media) -> str:
    return f"{_escape(format_label(media))}: {_escape(media.name)} ({_escape(media.kind)})"


def _links(media: Sequence[Media], room: int) -> str:
    links: list[str] = []
    for each in media:
        link = f'{_escape(format_label(each))}: <a href="{html.escape(str(each))}">{_escape(each.name)}</a>'
        room -= _size(link)
        if room < 0:
            break
        links.append(link)
    return "".join(_listed(links, len(media)))


def _listed(names: Sequence[str], count: int | None = None) -> list[str]:
    shown = list(names[:MAX_NAMES])
    more = (len(names) if count is None else count) - len(shown)
    if more > 0:
        shown.append(f"and {more} more")
    return [f"<p>{' · '.join(shown)}</p>"] if shown else []


def _fitting(pictures: Mapping[Media, Thumbnail], room: int) -> dict[Media, str]:
    """Thumbnails as elements: all of them, or smaller ones, or as many as fit, picked evenly."""
    images = {media: _image(media, picture) for media, picture in pictures.items()}
    if sum(map(_size, images.values())) > room:
        images = {media: _image(media, _smaller(picture)) for media, picture in pictures.items()}
    sizes = {media: _size(image) for media, image in images.items()}
    for count in range(len(images), 0, -1):
        picked = _evenly(list(images), count)
        if sum(sizes[media] for media in picked) <= room:
            return {media: images[media] for media in picked}
    return {}


def _evenly(media: Sequence[Media], most: int) -> list[Media]:
    """At most so many of them, the first and the last among them, at even distances."""
    if len(media) <= most:
        return list(media)
    return [media[index * (len(media) - 1) // max(1, most - 1)] for index in range(most)]


def _thumbnails(pictures: Sequence[Media], side: int | None = None) -> dict[Media, Thumbnail]:
    """Thumbnails of those pictures that arrive in time and can be read."""
    side = side or (SIDE if len(pictures) <= MANY else SMALL_SIDE)
    made = {media: _thumbnail(path, side) for media, path in _files(pictures).items()}
    return {media: small for media, small in made.items() if small is not None}


def _thumbnail(path: Path, side: int) -> Thumbnail | None:
    try:
        return make_thumbnail(path, side)
    except ValueError:
        return None


def _smaller(picture: Thumbnail) -> Thumbnail:
    return replace(make_thumbnail(picture.data, SMALL_SIDE), original=picture.original)


def _played(media: Media) -> bytes | None:
    """The bytes of a video or sound that is small enough to stand in a notebook."""
    path = _files([media]).get(media)
    return path.read_bytes() if path is not None and path.stat().st_size <= PLAYED_BYTES else None


def _files(media: Sequence[Media]) -> dict[Media, Path]:
    """The local files of those that arrive in time, fetched side by side; the others are left out."""
    if not media or is_loop_thread():
        return {}
    return call(_fetch(media))


async def _fetch(media: Sequence[Media]) -> dict[Media, Path]:
    import asyncio

    tasks = {one: asyncio.ensure_future(one.origin.fetch(one)) for one in dict.fromkeys(media)}
    done, late = await asyncio.wait(tasks.values(), timeout=PATIENCE)
    for task in late:
        task.cancel()
    return {one: task.result() for one, task in tasks.items() if task in done and not task.exception()}


def _png(data: bytes, room: int) -> str | None:
    """A picture as PNG in base64, small enough to stand beside its thumbnail."""
    for side in (SIDE, 192, 128, 64):
        text = base64.b64encode(make_thumbnail(data, side, "PNG").data).decode("ascii")
        if len(text) <= room:
            return text
    return None


def _image(media: Media, picture: Thumbnail) -> str:
    width, height = picture.original
    about = f"{format_label(media)}: {shorten(media.name)}, {width} × {height}"
    if media.kind == "video":
        about += ", first picture"
    return (
        f'<img src="{_data_url(picture.mime, picture.data)}" width="{picture.width}" height="{picture.height}"'
        f' alt="{_escape(about, 2 * MAX_NAME_LENGTH)}" title="{_escape(about, 2 * MAX_NAME_LENGTH)}">'
    )


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def _escape(text: str, length: int = MAX_NAME_LENGTH) -> str:
    return html.escape(shorten(text, length))


def _wrapped(parts: Sequence[str]) -> str:
    return f'<div class="ck-result">{"".join(parts)}</div>'


def _size(text: str) -> int:
    """Bytes that a text takes in a notebook's file."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))


def _cut(text: str, length: int) -> str:
    """A text of many lines: whole up to `length` characters, then cut, with the number of those left out."""
    shown = "\n".join(strip_controls(line.replace("\t", "    ")) for line in text[:length].split("\n"))
    rest = len(text) - length
    return html.escape(shown) + (f"\n… and {rest:,} characters more" if rest > 0 else "")
