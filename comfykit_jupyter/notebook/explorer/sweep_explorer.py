"""`SweepExplorer`: the grid of a sweep, live: its points, how far it is, and what its header does."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import get_local_folder
from comfykit_jupyter.client.results.wording import hide_address
from comfykit_jupyter.explore.points.plan import LONG, MANY_POINTS
from comfykit_jupyter.explore.points.preparation import describe_label
from comfykit_jupyter.explore.sweeps.edits import read_values
from comfykit_jupyter.explore.sweeps.sweep import ASKED_PAUSES, RELOADED, Sweep
from comfykit_jupyter.notebook.explorer.actions import set_form, use_output, write_code
from comfykit_jupyter.notebook.explorer.details import describe_progress, describe_value, shorten_error
from comfykit_jupyter.notebook.explorer.explorer import Explorer
from comfykit_jupyter.notebook.explorer.legend import SWEEP_LEGEND
from comfykit_jupyter.notebook.explorer.point_previews import PointPreviews
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.page_widget import Reply
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.workflow.file_names import to_safe_name

if TYPE_CHECKING:
    from comfykit_jupyter.explore.points.axes import Axis

PROGRESS_SECONDS = 0.2
"""Seconds between two messages about running points."""
STALE_SECONDS = 1.0
"""Seconds between two comparisons of model files."""
ESTIMATE_SECONDS = 1.0
"""Seconds for which an estimate is good."""
DEFAULT_RATIO = 1.0
SHEET_SIDE = 256
"""Pixels of an image in a contact sheet."""
MESSAGE_LENGTH = 500
"""Characters of why a sweep waits, and of a note."""
NOTES = 5
"""Lines of the plan that the header shows."""


class SweepExplorer(Explorer):
    """The grid of a sweep.

    Args:
        sweep: The sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self._estimate: tuple[float, float | None] = (float("-inf"), None)
        self._previews = PointPreviews(self.send)
        super().__init__(sweep._ledger, title=sweep.name)  # noqa: SLF001 - the sweep's own page
        self.handlers |= {
            "start": (run_in_background, self._on_start),
            "pause": (run_in_background, self._on_pause),
            "stop": (run_in_background, self._on_stop),
            "retry": (run_in_background, self._on_retry),
            "rerun": (run_in_background, self._on_rerun),
            "code": (run_in_background, self._on_code),
            "use": (run_in_background, self._on_use),
            "form": (run_in_background, self._on_form),
            "sheet": (run_in_background, self._on_sheet),
            "edit": (run_in_background, self._on_edit),
            "look": (writer.post, self._on_look),
        }
        self._sight: list[int] = []
        """The points that a page shows."""
        self.load()
        self._find_stale()
        self._stop_watching = sweep.watch(self._on_change)

    def __repr__(self) -> str:
        return f"<SweepExplorer {self.title}: {self.sweep.summary}>"

    def close(self) -> None:
        """Remove the grid from the page. The sweep continues."""
        self._stop_watching()
        self._previews.follow({})
        super().close()

    # -- what it shows -------------------------------------------------------------------------------------------------

    def get_run_id(self, index: int) -> str:
        """Return the ID of a point's run; "" if it has none yet."""
        # Values may have been removed, and the page not be reloaded yet.
        return self.sweep.get_run_id(index) if index < len(self.sweep) else ""

    def find_run(self, run_id: str) -> int | None:
        """Return the number of the point of a run; None if it has none."""
        return next((index for index in range(len(self.sweep.points)) if self.get_run_id(index) == run_id), None)

    def list_states(self) -> Sequence[str]:
        """Return the states of all points."""
        return [self.find_state(index) for index in range(len(self.sweep.points))]

    def describe(self) -> dict[str, Any]:
        """Return the axes, and the values that all points share."""
        sweep = self.sweep
        return {
            "name": sweep.name,
            "axes": [_describe_axis(axis) for axis in sweep.axes],
            "base": {name: describe_value(value) for name, value in sweep.base.items()},
            "ratio": self._find_ratio(),
            "legend": SWEEP_LEGEND,
        }

    def _find_ratio(self) -> float:
        """Return width by height of the images: of the first one that is there, else of the workflow's size."""
        import io

        from comfykit_jupyter.client.results.images import open_image

        for index, state in enumerate(self.sweep.states):
            if state == "completed" and (row := self.find_row(index)) is not None:
                with contextlib.suppress(ComfyKitError, ValueError, OSError):
                    data = row.build_thumbnail()
                    if data is None:
                        return DEFAULT_RATIO
                    with open_image(io.BytesIO(data)) as image:
                        return float(round(image.width / image.height, 4))
                return DEFAULT_RATIO
        return self._find_planned_ratio()

    def _find_planned_ratio(self) -> float:
        sizes = {name: value for name, value in self.sweep.values.items() if name in ("width", "height")}
        width, height = sizes.get("width"), sizes.get("height")
        if isinstance(width, (int, float)) and isinstance(height, (int, float)) and width > 0 and height > 0:
            return round(width / height, 4)
        return DEFAULT_RATIO

    def describe_header(self) -> dict[str, Any]:
        """Return whether it runs, how it has ended, why it waits, and how long the rest takes."""
        sweep = self.sweep
        seconds = self._estimate_seconds()
        waiting = sweep.states.count("waiting")
        status = self._find_status()
        return {
            "status": status,
            "summary": "" if status == "running" else self._hide(sweep.summary),
            "running": sweep.running,
            "paused": self._hide(sweep.paused),
            "away": self._hide(sweep.away),
            "seconds": seconds,
            "large": waiting > MANY_POINTS or (seconds or 0) > LONG,
            "notes": [self._hide(note) for note in sweep.notes[:NOTES]],
            "sparse": sweep.sparse,
        }

    def _find_status(self) -> str:
        """Return what it does, in the words of a run.

        `paused` is for a pause that the user did not ask for; it ends when the last points are cancelled.
        """
        paused = self.sweep.paused
        if paused:
            return "cancelled" if paused in ASKED_PAUSES else "paused"
        states = set(self.sweep.states)
        if states & {"waiting", "running"}:
            return "running" if self.sweep.running else "idle"
        if states & {"failed", "unknown"}:
            return "failed"
        return "cancelled" if "cancelled" in states else "completed"

    def _hide(self, text: str) -> str:
        urls = [each.comfyui_url or "" for each in self.sweep.kit.servers]
        return hide_address(text, *urls)[:MESSAGE_LENGTH]

    def _estimate_seconds(self) -> float | None:
        at, seconds = self._estimate
        if time.monotonic() - at > ESTIMATE_SECONDS:
            seconds = self.sweep.estimate()
            self._estimate = (time.monotonic(), seconds)
        return seconds

    def describe_point(self, index: int) -> dict[str, Any]:
        """Return the details of a point: of its run, its error, and how far it is."""
        found = super().describe_point(index)
        if error := self.sweep.get_error(index) or self.sweep.get_problem(index):
            found["reason"] = self._hide(shorten_error(error))
        if (progress := self.sweep.get_progress(index)) is not None:
            found["progress"] = describe_progress(progress)
        return found

    # -- what changes --------------------------------------------------------------------------------------------------

    def _on_change(self, index: int) -> None:
        """Note a change. Called on the background loop's thread."""
        if index == RELOADED:
            writer.post(self._reload)
            return
        if index >= 0:
            self.note(index)
            if self.sweep.get_progress(index) is not None:
                writer.offer((self, "progress"), self._send_progress, PROGRESS_SECONDS)
        else:
            writer.offer((self, "stale"), self._find_stale, STALE_SECONDS)
            self.update()

    def find_state(self, index: int) -> str:
        """Return the state of a point."""
        if index >= len(self.sweep):
            return "waiting"  # it was removed just now
        state = self.sweep.get_state(index)
        return "lost" if state == "waiting" and self.sweep.is_lost(index) else state

    def _reload(self) -> None:
        self._estimate = (float("-inf"), None)
        self.load()
        self._find_stale()
        self.send_all()

    def _find_stale(self) -> None:
        """Find the points whose model files are others of the same name now."""
        if self.sweep.running:
            return
        replaced = self.sweep.find_replaced_models(range(len(self.sweep.points)))
        with self.lock:
            self.points.set_stale(index for found in replaced.values() for index in found)
        self.update()

    def _send_progress(self) -> None:
        running = {
            index: progress
            for index, state in enumerate(self.sweep.states)
            if state == "running" and (progress := self.sweep.get_progress(index)) is not None
        }
        self._previews.follow({self.sweep.get_run_id(index): index for index in running if index in self._sight})
        self.send(
            {"kind": "progress", "points": {str(each): describe_progress(found) for each, found in running.items()}}
        )

    # -- messages from the page ----------------------------------------------------------------------------------------

    def _on_look(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Note which running points a page shows: their previews are sent."""
        self._sight = self._read_points(content, 1000)
        return {}, ()

    def _on_start(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self.sweep.sparse = content.get("sparse") is True
        self.sweep.start(sure=content.get("sure") is True, skip_invalid=True)
        self.update()
        return {}, ()

    def _on_pause(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self.sweep.pause()
        return {}, ()

    def _on_stop(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self.sweep.stop(now=content.get("now") is True)
        return {}, ()

    def _on_retry(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self.sweep.retry(stale=content.get("stale") is True)
        return {}, ()

    def _on_rerun(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self.sweep.rerun(*self._read_points(content, 10_000))
        return {}, ()

    def _on_code(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the code that makes a point again."""
        (index,) = self._read_points(content, 1)
        return {"code": write_code(self.sweep, index, self.find_row(index))}, ()

    def _on_use(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Use the first file of a point as the input of a form; see `use_output`."""
        (index,) = self._read_points(content, 1)
        row = self.find_row(index)
        if row is None:
            raise ComfyKitError("this point has no file")
        return use_output(row, content), ()

    def _on_form(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Set a form of the same workflow to the values of a point. The answer has code if there is none."""
        (index,) = self._read_points(content, 1)
        if title := set_form(self.sweep, index):
            return {"form": title}, ()
        return {"code": write_code(self.sweep, index, self.find_row(index), "form")}, ()

    def _on_sheet(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Make a contact sheet, which the page requests as a file."""
        name = f"{to_safe_name(self.sweep.name) or 'sheet'}.webp"
        folder = Path(tempfile.mkdtemp(dir=get_local_folder()))
        return {"name": name, "key": self._keep_export(self.sweep.sheet(folder / name, SHEET_SIDE))}, ()

    def _on_edit(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Add values to an axis, or remove some of them."""
        axis = self.sweep.axes[int(content["axis"])]
        name = axis.names[0]
        if "remove" in content:
            places = [int(each) for each in content["remove"]]
            self.sweep.remove_places(name, places)
        else:
            over, axis = self.sweep.find_axis(name)
            self.sweep.add_values(name, *read_values(axis, over[name], str(content["add"])))
        return {}, ()


def _describe_axis(axis: Axis) -> dict[str, Any]:
    labels = [
        [None if each is None else describe_label(each) for each in found] if axis.paired else describe_label(found[0])
        for found in axis.labels
    ]
    numbers = all(isinstance(found[0], (int, float)) and not isinstance(found[0], bool) for found in axis.labels)
    return {"names": [describe_value(name) for name in axis.names], "labels": labels, "paired": axis.paired,
            "numbers": numbers and not axis.paired}  # fmt: skip
