"""Results and media as mime bundles: what a cell shows of them, and what stays in the saved notebook.

The HTML has no script, no style and no id, as an untrusted notebook loses them: paragraphs, pictures as `data:`
addresses, `<pre>` and `<details>`. All of it is escaped and bounded. Pictures come from the server within a few
seconds; of those that don't the name is shown.
"""

from __future__ import annotations

import base64
import html
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.loop import call, on_background_thread
from comfykit_jupyter.client.thumbnail import Thumbnail, thumbnail

if TYPE_CHECKING:
    from comfykit_jupyter.client.result import ExecuteResult, Media

SIDE, SMALL_SIDE, MANY = 256, 128, 12
"""Pixels of a thumbnail's longer side, and of the smaller one when there are more than `MANY` pictures."""
RUN_BYTES = 150_000
"""Characters that the thumbnails of one run may take in the notebook."""
PNG_BYTES = 60_000
"""Characters of the picture for viewers that show no HTML."""
TEXT_LENGTH, NAME_LENGTH, TRACEBACK_LENGTH = 2_000, 120, 8_000
"""Characters of a text output, of a name or value, and of a traceback."""
PATIENCE = 5.0
"""Seconds that all pictures of a result may take to arrive."""
LARGE_SIDE, PLAYED_BYTES = 768, 3_000_000
"""Pixels of a picture shown by itself, and bytes of a video or sound that is played where it stands."""


def result_bundle(result: ExecuteResult) -> dict[str, Any]:
    """What a cell shows of a result: `text/plain`, `text/html`, and `image/png` of its first picture."""
    pictures = pictures_of(result)
    bundle: dict[str, Any] = {"text/plain": result_text(result), "text/html": result_html(result, pictures)}
    if pictures and (png := _png(next(iter(pictures.values())).data)):
        bundle["image/png"] = png
    return bundle


def media_bundle(media: Media) -> dict[str, Any]:
    """What a cell shows of one picture, video or sound: itself, when it can be had, else its name."""
    bundle: dict[str, Any] = {"text/plain": repr(str(media))}
    name = _escape(media.name)
    if media.kind == "image":
        picture = _thumbnails([media], LARGE_SIDE).get(media)
        if picture is not None:
            bundle["text/html"] = _image(media, picture)
    elif media.kind in ("video", "audio") and (data := _played(media)) is not None:
        loop = " loop muted" if media.kind == "video" else ""
        bundle["text/html"] = f'<{media.kind} controls{loop} src="{_data_url(media.mime, data)}">{name}</{media.kind}>'
    bundle.setdefault("text/html", f"<p>{name} ({_escape(media.kind)})</p>")
    return bundle


def result_text(result: ExecuteResult) -> str:
    """A result in a few lines of plain text."""
    lines = [headline(result)]
    if result.error is not None:
        lines.append(failure(result))
    lines += [f"warning: {_bounded(warning, 500)}" for warning in result.warnings]
    lines += [f"  {_label(media)}  {media.kind}  {_bounded(media.name)}" for media in result.media]
    for variable, texts in result.texts_by_var.items():
        lines += [f"  {_bounded(variable)}  text  {_bounded(text)}" for text in texts]
    return "\n".join(lines)


def headline(result: ExecuteResult, changed: Mapping[str, Any] | None = None) -> str:
    """One line: the workflow, how it ended, in how many seconds, with which seeds and values, on which server.

    Args:
        result: a run's result.
        changed: the values to name, those that differ from the workflow's own; None names all.
    """
    status = "cancelled" if result.error is not None and result.error.kind == "cancelled" else result.status
    spent = (
        "" if result.duration is None else f" {'in' if status == 'completed' else 'after'} {_seconds(result.duration)}"
    )
    values = result.params if changed is None else changed
    facts = [f"{_bounded(result.workflow_name or 'workflow')}: {status}{spent}"]
    facts += [f"{_bounded(name)} {seed}" for name, seed in result.seeds.items()]
    facts += [
        f"{_bounded(name)} = {_bounded(str(value), 60)}" for name, value in values.items() if name not in result.seeds
    ]
    if result.server_version:
        facts.append(f"ComfyUI {_bounded(result.server_version, 40)}")
    return " · ".join(facts)


def failure(result: ExecuteResult) -> str:
    """One line: where a run failed, and why; empty for a run that did not."""
    error = result.error
    if error is None:
        return ""
    where = error.node_title or error.class_type
    message = error.message or result.msg or error.kind
    return _bounded(f"{where}: {message}" if where and where not in message else message, 500)


def result_html(
    result: ExecuteResult,
    pictures: Mapping[Media, Thumbnail] | None = None,
    changed: Mapping[str, Any] | None = None,
    room: float = 1.0,
) -> str:
    """A result as HTML that can stay in a notebook.

    Args:
        result: a run's result.
        pictures: thumbnails that are there already; None fetches them.
        changed: the values to name, as for `headline`.
        room: the part of `RUN_BYTES` that its thumbnails may take.
    """
    if pictures is None:
        pictures = pictures_of(result)
    parts = [f"<p>{_escape(headline(result, changed), 2_000)}</p>"]
    if result.error is not None:
        parts.append(f"<p><strong>{_escape(failure(result), 500)}</strong></p>")
        if trace := "\n".join(line.rstrip("\n") for line in result.error.traceback):
            parts.append(f"<details><summary>Traceback</summary><pre>{_cut(trace, TRACEBACK_LENGTH)}</pre></details>")
    parts += [f"<p>{_escape(warning, 500)}</p>" for warning in result.warnings]
    images, others = [], []
    left = int(RUN_BYTES * room)
    for media in result.media:
        image = _image(media, pictures[media]) if media in pictures else None
        if image is not None and len(image) <= left:
            left -= len(image)
            images.append(image)
        else:
            others.append(f"{_escape(_label(media))}: {_escape(media.name)} ({_escape(media.kind)})")
    if images:
        parts.append(f"<p>{' '.join(images)}</p>")
    if others:
        shown = others[:50] + ([f"and {len(others) - 50} more"] if len(others) > 50 else [])
        parts.append(f"<p>{' · '.join(shown)}</p>")
    for variable, texts in result.texts_by_var.items():
        parts += [f"<p>{_escape(variable)}</p><pre>{_cut(text, TEXT_LENGTH)}</pre>" for text in texts[:20]]
    return f'<div class="ck-result">{"".join(parts)}</div>'


def pictures_of(result: ExecuteResult) -> dict[Media, Thumbnail]:
    """Thumbnails of a result's pictures: of those that arrive in time and can be read."""
    return _thumbnails([media for media in result.media if media.kind == "image"])


def _thumbnails(pictures: Sequence[Media], side: int | None = None) -> dict[Media, Thumbnail]:
    """Thumbnails of those pictures that arrive in time and can be read."""
    side = side or (SIDE if len(pictures) <= MANY else SMALL_SIDE)
    made = {media: _thumbnail(path, side) for media, path in _files(pictures).items()}
    return {media: small for media, small in made.items() if small is not None}


def _thumbnail(path: Path, side: int) -> Thumbnail | None:
    try:
        return thumbnail(path, side)
    except ValueError:
        return None


def _played(media: Media) -> bytes | None:
    """The bytes of a video or sound that is small enough to stand in a notebook."""
    path = _files([media]).get(media)
    return path.read_bytes() if path is not None and path.stat().st_size <= PLAYED_BYTES else None


def _files(media: Sequence[Media]) -> dict[Media, Path]:
    """The local files of those that arrive in time, fetched side by side; the others are left out."""
    if not media or on_background_thread():
        return {}
    return call(_fetch(media))


async def _fetch(media: Sequence[Media]) -> dict[Media, Path]:
    import asyncio

    tasks = {one: asyncio.ensure_future(one.origin.fetch(one)) for one in dict.fromkeys(media)}
    done, late = await asyncio.wait(tasks.values(), timeout=PATIENCE)
    for task in late:
        task.cancel()
    return {one: task.result() for one, task in tasks.items() if task in done and not task.exception()}


def _png(data: bytes) -> str | None:
    """A picture as PNG in base64, small enough to stand beside its thumbnail."""
    for side in (SIDE, 192, 128, 64):
        text = base64.b64encode(thumbnail(data, side, "PNG").data).decode("ascii")
        if len(text) <= PNG_BYTES:
            return text
    return None


def _image(media: Media, picture: Thumbnail) -> str:
    width, height = picture.original
    about = f"{_label(media)}: {_bounded(media.name)}, {width} × {height}"
    return (
        f'<img src="{_data_url(picture.mime, picture.data)}" width="{picture.width}" height="{picture.height}"'
        f' alt="{_escape(about)}" title="{_escape(about)}">'
    )


def _label(media: Media) -> str:
    """What a person calls the output: the name given in the workflow, else the node's number."""
    return _bounded(media.var if media.var != media.node else f"node {media.node}")


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def _bounded(text: str, length: int = NAME_LENGTH) -> str:
    """One line of at most `length` characters, without those that control or reorder what stands around them."""
    line = _plain("".join(" " if c.isspace() else c for c in text[: 2 * length + 100]))
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _plain(text: str) -> str:
    return "".join(
        c for c in text if unicodedata.category(c) not in _CONTROLS and unicodedata.bidirectional(c) not in _TURNS
    )


_CONTROLS = ("Cc", "Cs")
_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Characters that control a terminal or are none, and those that turn the direction of what follows."""


def _escape(text: str, length: int = NAME_LENGTH) -> str:
    return html.escape(_bounded(text, length))


def _cut(text: str, length: int) -> str:
    """A text of many lines: whole up to `length` characters, then cut, with the number of those left out."""
    shown = "\n".join(_plain(line.replace("\t", "    ")) for line in text[:length].split("\n"))
    rest = len(text) - length
    return html.escape(shown) + (f"\n… and {rest:,} characters more" if rest > 0 else "")
