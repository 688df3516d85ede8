"""Mime bundles of results and media: what a cell shows, and what the saved notebook keeps.

The HTML contains no script, style or id, as an untrusted notebook loses them: only paragraphs, images as `data:`
addresses, `<code>` and `<details>`. Everything is escaped and bounded. Images are fetched from the server within a few
seconds; an image that does not arrive in time is listed by name.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.results.captions import MAX_NAME_LENGTH, format_label, strip_controls
from comfykit_jupyter.client.results.hints import find_hint
from comfykit_jupyter.client.results.keep import get_keep
from comfykit_jupyter.client.results.render_media import (
    SMALL_SIDE,
    build_data_url,
    escape,
    make_thumbnails,
    render_image,
)
from comfykit_jupyter.client.results.thumbnail import Thumbnail, make_thumbnail
from comfykit_jupyter.client.results.wording import (
    MAX_LINE_LENGTH,
    MAX_NAMES,
    format_failure,
    format_headline,
    format_result,
    format_value,
    format_wait,
    format_warnings,
)
from comfykit_jupyter.workflow.errors import truncate
from comfykit_jupyter.workflow.media_kinds import KINDS

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.results.result import ExecuteResult

PNG_SIDES = (256, 192, 128, 64)
"""Pixels that the PNG for viewers without HTML may have, the largest that fits."""
MAX_IMAGES = 48
"""Images of one run that are fetched for the notebook."""
MAX_PNG_LENGTH = 60_000
"""Base64 characters of the PNG for viewers without HTML."""
MAX_HEADLINE_LENGTH = 2_000
"""Characters of the headline."""
MAX_TEXT_LENGTH = 2_000
"""Characters of a text output."""
MAX_TRACEBACK_LENGTH = 8_000
"""Characters of a traceback."""
MAX_WARNINGS = 20
FRAME_BYTES = 300
"""Bytes of the HTML around a result."""


def build_result_bundle(result: ExecuteResult, share: float = 1.0, *, failure: bool = True) -> dict[str, Any]:
    """Build what a cell shows of a result: `text/plain`, `text/html`, and `image/png` of its first image.

    Args:
        result: The result of a run.
        share: The part of the kilobytes set by `keep` that it may use.
        failure: Whether it says why the run failed; the error of the cell may say it already.
    """
    keep = get_keep()
    room = int(keep.kilobytes * 1000 * share)
    text = format_result(result)
    above = _render_outcome(result, failure=failure)
    if keep.mode == "off":
        return {"text/plain": truncate(text, MAX_HEADLINE_LENGTH), "text/html": _wrap(above)}
    text = truncate(text, room // 10)
    below = _render_texts(result, room // 3)
    if keep.mode == "links":
        return {"text/plain": text, "text/html": _wrap([*above, *_render_links(result.media, room // 3), *below])}
    below = [*_render_masked(result, room // 4), *below]
    left = room - sum(map(_count_bytes, [*above, *below])) - _count_bytes(text) - FRAME_BYTES
    picked = _pick_evenly([media for media in result.media if KINDS[media.kind].has_thumbnail], MAX_IMAGES)
    thumbnails = make_thumbnails(picked)
    bundle: dict[str, Any] = {"text/plain": text}
    if thumbnails:
        png_room = min(MAX_PNG_LENGTH, left // (2 if len(thumbnails) == 1 else 4))
        if png := _encode_png(next(iter(thumbnails.values())).data, png_room):
            bundle["image/png"] = png
            left -= len(png)
    bundle["text/html"] = _wrap([*above, *_render_gallery(result.media, picked, thumbnails, left), *below])
    return bundle


def _render_outcome(result: ExecuteResult, *, failure: bool = True) -> list[str]:
    """Render what ran, how it ended, and what can be done about a failure."""
    wait = format_wait(result)
    title = f' title="{escape(wait)}"' if wait else ""
    parts = [f"<p{title}>{escape(format_headline(result), MAX_HEADLINE_LENGTH)}</p>"]
    if result.error is not None:
        if failure:
            parts.append(f"<p><strong>{escape(format_failure(result), MAX_LINE_LENGTH)}</strong></p>")
        if hint := find_hint(result.error):
            parts.append(f"<p>{escape(hint[0].upper() + hint[1:])}.</p>")
    return parts


def _render_texts(result: ExecuteResult, room: int) -> list[str]:
    """Render the traceback, warnings and texts of a result, in about `room` bytes."""
    parts: list[str] = []
    if result.error is not None and (trace := "\n".join(line.rstrip("\n") for line in result.error.traceback)):
        cut = _escape_lines(trace, min(MAX_TRACEBACK_LENGTH, room))
        parts.append(f"<details><summary>Traceback</summary><p><code>{cut}</code></p></details>")
    parts += [f"<p>{escape(warning, MAX_LINE_LENGTH)}</p>" for warning in format_warnings(result)[:MAX_WARNINGS]]
    texts = [(variable, text) for variable, found in result.texts_by_var.items() for text in found]
    left = room - sum(map(_count_bytes, parts))
    for index, (variable, text) in enumerate(texts):
        part = f"<p>{escape(variable)}</p><p>{_escape_lines(text, MAX_TEXT_LENGTH)}</p>"
        left -= _count_bytes(part)
        if left < 0:
            parts.append(f"<p>and {len(texts) - index} more texts</p>")
            break
        parts.append(part)
    return parts


def _render_masked(result: ExecuteResult, room: int) -> list[str]:
    """Render the images that were given with a mask, each with its mask drawn over it, in about `room` bytes."""
    images: list[str] = []
    for name, value in result.changed.items():
        overlay = getattr(value, "overlay", None)
        if not isinstance(overlay, bytes):
            continue
        text = escape(f"{name}: {format_value(value)}", 2 * MAX_NAME_LENGTH)
        image = f'<img src="{build_data_url("image/webp", overlay)}" alt="{text}" title="{text}">'
        if (room := room - _count_bytes(image)) < 0:
            break
        images.append(image)
    return [f"<p>{' '.join(images)}</p>"] if images else []


def _render_gallery(
    media: Sequence[Media], picked: Sequence[Media], thumbnails: Mapping[Media, Thumbnail], room: int
) -> list[str]:
    """Render as many thumbnails as fit into `room` bytes, how many there are, and the names of the rest.

    `thumbnails` has the outputs in `picked` that could be fetched.
    """
    missing = [each for each in picked if each not in thumbnails]
    names = _render_names([_render_name(each) for each in media if each in missing or each.kind != "image"])
    images = _fit_images(thumbnails, room - sum(map(_count_bytes, names)) - MAX_NAME_LENGTH)
    if not images:
        return _render_names([_render_name(each) for each in media])
    parts = [f"<p>{' '.join(images.values())}</p>"]
    visual = sum(KINDS[each.kind].has_thumbnail for each in media)
    if len(images) + len(missing) < visual:
        parts.append(f"<p>{len(images)} of {visual} images</p>")
    return [*parts, *names]


def _render_name(media: Media) -> str:
    return f"{escape(format_label(media))}: {escape(media.name)} ({escape(media.kind)})"


def _render_links(media: Sequence[Media], room: int) -> list[str]:
    links: list[str] = []
    for each in media:
        link = f'{escape(format_label(each))}: <a href="{html.escape(str(each))}">{escape(each.name)}</a>'
        room -= _count_bytes(link)
        if room < 0:
            break
        links.append(link)
    return _render_names(links, len(media))


def _render_names(names: Sequence[str], count: int | None = None) -> list[str]:
    listed = list(names[:MAX_NAMES])
    more = (len(names) if count is None else count) - len(listed)
    if more > 0:
        listed.append(f"and {more} more")
    return [f"<p>{' · '.join(listed)}</p>"] if listed else []


def _fit_images(thumbnails: Mapping[Media, Thumbnail], room: int) -> dict[Media, str]:
    """Render thumbnails: all of them, or smaller ones, or as many as fit, picked evenly."""
    images = {media: render_image(media, thumbnail) for media, thumbnail in thumbnails.items()}
    if sum(map(_count_bytes, images.values())) > room:
        images = {media: render_image(media, _shrink(thumbnail)) for media, thumbnail in thumbnails.items()}
    sizes = {media: _count_bytes(image) for media, image in images.items()}
    for count in range(len(images), 0, -1):
        picked = _pick_evenly(list(images), count)
        if sum(sizes[media] for media in picked) <= room:
            return {media: images[media] for media in picked}
    return {}


def _pick_evenly(media: Sequence[Media], limit: int) -> list[Media]:
    """Return at most `limit` of them at even distances, with the first and the last."""
    if len(media) <= limit:
        return list(media)
    return [media[index * (len(media) - 1) // max(1, limit - 1)] for index in range(limit)]


def _shrink(thumbnail: Thumbnail) -> Thumbnail:
    return replace(make_thumbnail(thumbnail.data, SMALL_SIDE), original=thumbnail.original)


def _encode_png(data: bytes, room: int) -> str | None:
    """Encode an image as PNG in base64, in at most `room` characters."""
    for side in PNG_SIDES:
        text = base64.b64encode(make_thumbnail(data, side, "PNG").data).decode("ascii")
        if len(text) <= room:
            return text
    return None


def _escape_lines(text: str, limit: int) -> str:
    """Escape the first `limit` characters of a text of many lines, and say how many are left out.

    This needs no `<pre>`, which breaks lines in the middle of words in JupyterLab.
    """
    lines = [html.escape(strip_controls(line.replace("\t", "    "))) for line in text[:limit].split("\n")]
    rest = len(text) - limit
    lines += [f"… and {rest:,} more characters"] if rest > 0 else []
    return "<br>".join(_keep_indent(line) for line in lines)


def _keep_indent(line: str) -> str:
    """Keep the spaces at the start of a line of HTML."""
    text = line.lstrip(" ")
    return "\N{NO-BREAK SPACE}" * (len(line) - len(text)) + text


def _wrap(parts: Sequence[str]) -> str:
    return f'<div class="ck-result">{"".join(parts)}</div>'


def _count_bytes(text: str) -> int:
    """Count the bytes that a text takes in a notebook's file."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))
