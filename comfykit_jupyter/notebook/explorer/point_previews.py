"""`PointPreviews`: the previews of running points that a page shows, within the budget of all previews."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.running.registry import find_unfinished_runs
from comfykit_jupyter.notebook.widget.stage.previews import Previews

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.run import Run

Send = Callable[[dict[str, Any], Sequence[Any] | None], None]


class PointPreviews:
    """The previews of some runs. Everything here happens on the writer's thread.

    Args:
        send: Sends a message with buffers to the page.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._followed: dict[str, tuple[Previews, Callable[[], None]]] = {}

    def follow(self, run_ids: Mapping[str, int]) -> None:
        """Send the previews of these runs, and of no others.

        Args:
            run_ids: The number of the point of each run, by its ID.
        """
        for run_id in set(self._followed) - set(run_ids):
            previews, stop = self._followed.pop(run_id)
            stop()
            previews.end()
        for run in find_unfinished_runs():
            if run.id in run_ids and run.id not in self._followed:
                self._followed[run.id] = self._subscribe(run, run_ids[run.id])

    def _subscribe(self, run: Run, point: int) -> tuple[Previews, Callable[[], None]]:
        previews = Previews(lambda content, buffers: self._send({**content, "kind": "frame", "point": point}, buffers))
        return previews, run.subscribe(preview=previews.offer)
