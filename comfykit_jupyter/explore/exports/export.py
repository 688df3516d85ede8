"""Save the outputs of a sweep's points under names from their values; texts, too."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import copy_file
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.results.save import collect_pattern_values
from comfykit_jupyter.explore.exports.metadata import strip_metadata
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.file_names import fill_pattern, find_pattern_suffix, to_safe_name
from comfykit_jupyter.workflow.media_kinds import find_format

if TYPE_CHECKING:
    from comfykit_jupyter.explore.sweeps.point_rows import PointRows


def export_points(sweep: PointRows, folder: Path, name: str, *, overwrite: bool, metadata: bool) -> list[Path]:
    """Save what the points that are done have produced; see `Sweep.export`.

    Raises:
        ComfyKitError: The pattern is wrong, or an original is no longer here.
        OSError: A file can't be written.
    """
    suffix = find_pattern_suffix(name)
    planned: list[tuple[Path, Media | str]] = []
    for point, state in zip(sweep.points, sweep.states, strict=True):
        if state != "completed" or sweep.is_forgotten(point.index):
            continue
        row = sweep[point.index]
        values = {**collect_values(row), **point.labels, "index": point.index}
        for output, own in choose_outputs(row, suffix):
            more = {"var": own["var"], "kind": own["kind"], "ext": own["ext"]}
            target = folder / fill_pattern(name, {**more, **values, "ext": own["ext"]}, f".{own['ext']}")
            planned.append((target, output))
    saved: list[Path] = []
    for target, output in planned:  # all names first: a wrong one leaves no file
        saved.append(_write(output, target, saved, overwrite=overwrite, metadata=metadata))
    return saved


def collect_values(row: Row) -> dict[str, Any]:
    """Return the values of a run that a pattern can name."""
    at = (row.at or datetime.now().astimezone()).astimezone()
    return collect_pattern_values(row.result, row.id, at)


def choose_outputs(row: Row, suffix: str | None) -> Iterator[tuple[Media | str, Mapping[str, str]]]:
    """Yield the outputs of a run that a pattern is for: its texts for `.txt`, else its files, else its texts."""
    saved = [media for media in row.media if not media.temp] or row.media
    if suffix == ".txt" or not saved:
        for text in row.texts:
            yield text, {"var": "text", "kind": "text", "ext": "txt"}
        return
    for media in saved:
        if suffix not in (None, ".{ext}") and find_format(f"x{suffix}")[1].mime != media.mime:
            raise ComfyKitError(
                f"export: {one_line(media.name)} is not a {suffix} file: leave the suffix out, or write .{{ext}}"
            )
        ext = Path(to_safe_name(media.name)).suffix.removeprefix(".") or "bin"
        yield media, {"var": media.var, "kind": media.kind, "ext": ext}


def _write(output: Media | str, target: Path, saved: list[Path], *, overwrite: bool, metadata: bool) -> Path:
    if not isinstance(output, Media):
        content: bytes = output.encode("utf-8", "replace")
    elif metadata:
        return copy_file(output.path, target, overwrite=overwrite, taken=saved)
    else:
        content = strip_metadata(output.read(), one_line(output.name))
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part")
        part.write_bytes(content)
        return copy_file(part, target, overwrite=overwrite, taken=saved)
