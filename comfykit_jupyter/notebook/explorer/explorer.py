"""`Explorer`: the widget of many runs. It sends bytes for all of them, and details of the visible ones."""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import traitlets

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.thumbnail import make_thumbnail
from comfykit_jupyter.explore.points.axes import MAX_POINTS
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.explore.runs.rows import Rows
from comfykit_jupyter.notebook.explorer.details import describe_row
from comfykit_jupyter.notebook.explorer.differences import compare_images, list_differences
from comfykit_jupyter.notebook.explorer.exporting import export_rows
from comfykit_jupyter.notebook.explorer.point_bytes import PointBytes
from comfykit_jupyter.notebook.page.media import read_piece, run_in_background
from comfykit_jupyter.notebook.page.page_widget import PageWidget, Reply
from comfykit_jupyter.notebook.page.writer import writer

if TYPE_CHECKING:
    from pathlib import Path

    from comfykit_jupyter.explore.ledger.ledger import Ledger

THUMBNAILS = 16
"""Thumbnails in one message."""
DETAILS = 100
"""Runs whose details one message has."""
COMPARED = 4
"""Points that are compared, at most."""
MARKED = MAX_POINTS
"""Points that one message marks: all of a sweep."""
ARRANGEMENT_BYTES = 8_000
"""Bytes of what the page keeps of its arrangement."""
LARGE_SIDE = 512
"""Pixels of a thumbnail for large cells."""
KEPT_EXPORTS = 4
"""Exported files that are kept: several pages may request theirs at once."""
EXPORTED = {".zip": "application/zip", ".webp": "image/webp", ".html": "text/html"}
"""The MIME types of exported files."""
PAGE_PAUSE = 0.25
"""Seconds without a request of the page after which it has what it shows."""
PAGE_TIMEOUT = 3.0
"""Seconds that other work waits for the page, at most."""
UPDATE_SECONDS = 0.08
"""Seconds between two messages about points."""


class Explorer(PageWidget):
    """Many runs side by side.

    Attributes:
        arrangement: How the page shows them: which axis is where, filter, order, size of the cells.
        points: Their states and marks.
        on_marked: Called when the page has set marks.
    """

    view = traitlets.Unicode("sweep").tag(sync=True)
    arrangement = traitlets.Dict().tag(sync=True)

    def __init__(self, ledger: Ledger, **traits: Any) -> None:
        self._ledger = ledger
        self._sequence = -1
        self.points = PointBytes()
        self._noted: deque[int] = deque()
        """The points that have changed since the last message."""
        self.on_marked: Callable[[], object] = lambda: None
        self.handlers = {
            "hello": (writer.post, self._on_hello),
            "ping": (writer.post, lambda _content, _buffers: ({}, ())),
            "details": (run_in_background, self._on_details),
            "thumbs": (run_in_background, self._on_thumbs),
            "media": (run_in_background, self._on_media),
            "times": (writer.post, lambda _content, _buffers: ({"nodes": []}, ())),
            "mark": (writer.post, self._on_mark),
            "arrange": (writer.post, self._on_arrange),
            "differ": (run_in_background, self._on_differ),
            "export": (run_in_background, self._on_export),
        }
        self._asked = 0.0
        """When a page has asked for something last, in seconds."""
        self._exported: dict[str, Path] = {}
        """The files that were exported last, which pages request by these numbers."""
        self._exports = 0
        super().__init__(**traits)

    # -- what subclasses say -------------------------------------------------------------------------------------------

    def get_run_id(self, index: int) -> str:
        """Return the ID of a point's run; "" if it has none yet."""
        raise NotImplementedError

    def list_states(self) -> Sequence[str]:
        """Return the states of all points."""
        raise NotImplementedError

    def find_state(self, index: int) -> str:
        """Return the state of a point."""
        return self.list_states()[index]

    def describe(self) -> dict[str, Any]:
        """Return what the page needs once: axes, values that all share."""
        raise NotImplementedError

    def describe_header(self) -> dict[str, Any]:
        """Return what the header shows beside the number of points in each state."""
        return {}

    def find_row(self, index: int) -> Row | None:
        """Return the run of a point; None if it has none yet."""
        run_id = self.get_run_id(index)
        return Row(self._ledger, run_id) if run_id and run_id in self._ledger.read().runs else None

    def describe_point(self, index: int) -> dict[str, Any]:
        """Return the details of a point."""
        row = self.find_row(index)
        return {} if row is None else describe_row(row, self._ledger)

    # -- messages to the page ------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Read the states and marks of all points."""
        with self.lock:
            entries = self._ledger.read()
            self._sequence = entries.sequence
            states = self.list_states()
            run_ids = [self.get_run_id(index) for index in range(len(states))]
            self.points.replace(states, map(entries.get_marks, run_ids), run_ids)

    def send_all(self) -> None:
        """Send everything, to a page that has just loaded, or has missed a message."""
        with self.lock:
            self._load_marks()
            revision, buffers = self.points.list_all()
            content = {"kind": "points", **revision, "header": self.describe_header(), "about": self.describe()}
            self.send(content, buffers)

    def note(self, index: int) -> None:
        """Note that a point has changed. Can be called from any thread; returns at once."""
        self._noted.append(index)
        self.update()

    def update(self) -> None:
        """Send what has changed, soon. Can be called from any thread."""
        writer.offer(self, self._send_changes, UPDATE_SECONDS)

    def _send_changes(self) -> None:
        if self.comm is None:
            return
        with self.lock:
            self._read_noted()
            revision, buffers = self.points.take_changes()
            self.send({"kind": "points", **revision, "header": self.describe_header()}, buffers)

    def _read_noted(self) -> None:
        entries = self._ledger.read() if self._noted else None
        noted = {self._noted.popleft() for _ in range(len(self._noted))}
        for index in noted:
            if entries is not None and index < len(self.points):
                run_id = self.get_run_id(index)
                self.points.set_state(index, self.find_state(index), run_id)
                self.points.set_marks(index, entries.get_marks(run_id))

    def follow_marks(self) -> None:
        """Show marks that were set elsewhere, such as in a cell."""
        if self._load_marks():
            self.update()

    def _load_marks(self) -> bool:
        """Read the marks again if there are new ones."""
        with self.lock:
            entries = self._ledger.read()
            if entries.sequence == self._sequence:
                return False
            self._sequence = entries.sequence
            for index in range(len(self.points)):
                self.points.set_marks(index, entries.get_marks(self.get_run_id(index)))
            return True

    # -- messages from the page ----------------------------------------------------------------------------------------

    def wait_for_page(self) -> None:
        """Wait until a page has what it shows first, or there is none: other work would delay its images."""
        start = time.monotonic()
        while (now := time.monotonic()) < start + PAGE_TIMEOUT and now < max(start, self._asked) + PAGE_PAUSE:
            time.sleep(PAGE_PAUSE / 5)

    def _on_hello(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self._asked = time.monotonic()
        self.send_all()
        return {}, ()

    def _read_points(self, content: Mapping[str, Any], most: int) -> list[int]:
        found = [int(each) for each in content["points"]]
        if len(found) > most or not all(0 <= each < len(self.points) for each in found):
            raise ValueError(f"points must be at most {most} numbers between 0 and {len(self.points) - 1}")
        return found

    def _on_details(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        return {"details": [self.describe_point(index) for index in self._read_points(content, DETAILS)]}, ()

    def _on_thumbs(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return thumbnails; a point that has none is missing in the answer."""
        self._asked = time.monotonic()
        large = content.get("large") is True
        found = [
            (index, data)
            for index in self._read_points(content, THUMBNAILS)
            if (row := self.find_row(index)) is not None and (data := _find_thumbnail(row, large=large)) is not None
        ]
        return {"points": [index for index, _ in found]}, [data for _, data in found]

    def _on_media(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        path, mime = self.find_file(str(content["run"]), str(content["key"]))
        return read_piece(path, mime, content.get("size", "full"), int(content.get("offset") or 0))

    def find_file(self, run: str, key: str) -> tuple[Path, str]:
        """Return the local file of an output, and its MIME type.

        Args:
            run: The ID of the run.
            key: The number of the output among the files of the run.

        Raises:
            ComfyKitError: There is no such output, or its original is no longer here.
        """
        if run == "export" and (path := self._exported.get(key)) is not None:
            return path, EXPORTED.get(path.suffix, "application/octet-stream")
        media = Row(self._ledger, run).media if run in self._ledger.read().runs else []
        if not key.isdecimal() or int(key) >= len(media):
            raise ComfyKitError("this output is no longer here")
        return media[int(key)].path, media[int(key)].mime

    def _on_mark(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Mark points, at once and in the ledger."""
        values = dict(content.get("set") or {})
        tags = {name: [str(tag) for tag in content.get(name) or []] for name in ("add_tags", "remove_tags")}
        if "tags" in content:
            tags = _read_tag_changes(*map(str, content["tags"]))
        indices = self._read_points(content, MARKED)
        with self.lock:
            try:
                for index in indices:
                    if (row := self.find_row(index)) is not None:
                        self._ledger.mark(row.id, values, **tags)
            finally:  # the page shows marks before they are kept: it gets back what is kept
                self.points.touch(indices)
                self._load_marks()
                self._send_changes()
        self.on_marked()
        return {}, ()

    def _on_differ(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the values in which runs differ, and how the first image differs from each of the others."""
        rows = [row for index in self._read_points(content, COMPARED) if (row := self.find_row(index)) is not None]
        return {"rows": list_differences(rows), "pixels": compare_images([row.find_image() for row in rows])}, ()

    def _on_export(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Export runs. The answer has the name of a file, which the page requests, or the folder that was written."""
        ids = [self.get_run_id(index) for index in self._read_points(content, MARKED)]
        known = self._ledger.read().runs
        kind = str(content["format"])
        path = export_rows(Rows(self._ledger, [id_ for id_ in ids if id_ in known]), kind, self.title)
        if kind == "folder":
            return {"folder": path.as_posix()}, ()
        return {"name": path.name, "key": self._keep_export(path)}, ()

    def _keep_export(self, path: Path) -> str:
        """Keep a file in a folder of its own for the page, and remove older ones; return its number."""
        with self.lock:
            self._exports += 1
            self._exported[str(self._exports)] = path
            for key in list(self._exported)[:-KEPT_EXPORTS]:
                shutil.rmtree(self._exported.pop(key).parent, ignore_errors=True)
            return str(self._exports)

    def _on_arrange(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Keep the arrangement of the page, for pages that load later."""
        arrangement = content["arrangement"]
        if not isinstance(arrangement, dict) or len(json.dumps(arrangement)) > ARRANGEMENT_BYTES:
            raise ValueError("the arrangement is too large")
        with self.lock:
            self.arrangement = arrangement
        return {}, ()


def _read_tag_changes(before: str, after: str) -> dict[str, list[str]]:
    """Return which tags were added to a text with commas, and which were removed from it."""
    old, new = (
        {tag: None for each in text.split(",") if (tag := each.strip().removeprefix("#").strip())}
        for text in (before, after)
    )
    return {"add_tags": [tag for tag in new if tag not in old], "remove_tags": [tag for tag in old if tag not in new]}


def _find_thumbnail(row: Row, *, large: bool) -> bytes | None:
    try:
        if large and (source := row.find_image()) is not None:
            return make_thumbnail(source, LARGE_SIDE).data
        return row.build_thumbnail()
    except (ComfyKitError, ValueError, OSError):
        return None
