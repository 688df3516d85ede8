"""The previews of runs on their way to the page: the newest wins, and the channel is never filled.

A page says which preview it has painted. While it does, the next one goes as soon as the last ones were painted; while
it does not (its messages wait behind a busy cell, or nobody looks), few and small ones go. All previews of this process
share one budget, so that many runs at once get smaller pictures and no longer queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from comfykit_jupyter.client.results.thumbnail import make_thumbnail
from comfykit_jupyter.notebook.widget.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.preview import Preview

RATE = 900_000
"""Bytes a second of all previews together: below what Jupyter's servers let pass by default."""
PAINTED_INTERVAL, BLIND_INTERVAL = 1 / 12, 1 / 5
"""Seconds between two previews of a run at least: while the page tells what it paints, and while it does not."""
PAINTED_BYTES, BLIND_BYTES = 60_000, 30_000
"""Bytes of one preview at most, in both cases."""
LEAST_BYTES = 8_000
"""Bytes of a preview that can be made out: where the budget has less for each, they go less often."""
AHEAD = 2
"""Previews that may be under way to a page that paints."""
PATIENCE = 1.0
"""Seconds without a word after which a page counts as one that does not tell."""
LEVELS = ((512, 75), (512, 60), (512, 45), (384, 50), (320, 40), (256, 35), (192, 30), (128, 30))
"""Pixels of the longer side and quality of a preview that has to be made smaller, from the best to the least."""

Send = Callable[[dict[str, Any], Sequence[Any] | None], None]

_lively: WeakSet[Previews] = WeakSet()
_lively_lock = threading.Lock()


class Previews:
    """The previews of one run. They are offered by the background loop, and sent and acknowledged by the writer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: Preview | None = None
        self._newest: tuple[dict[str, Any], bytes] | None = None
        self._sequence = 0
        self._painted = 0
        self._painted_at = float("-inf")
        self._level: tuple[int, int] = (0, 0)
        self._ended = False

    def offer(self, preview: Preview) -> None:
        """A new preview: it takes the place of one that still waits. Returns at once."""
        if not self._ended:
            self._waiting = preview
            with _lively_lock:
                _lively.add(self)
            writer.offer(self, self._show, self._pause())

    def painted(self, sequence: int) -> None:
        """The page has painted the preview of this number, and with it all before."""
        if self._painted < sequence <= self._sequence:
            self._painted, self._painted_at = sequence, time.monotonic()
            if self._waiting is not None and not self._ended:
                writer.offer(self, self._show, self._pause())

    def again(self) -> None:
        """Send the newest once more: a view has come that has seen none."""
        if self._newest is not None:
            content, data = self._newest
            self._send(content, [data])

    def end(self) -> None:
        """Send no more."""
        self._ended = True
        self._waiting = None
        with _lively_lock:
            _lively.discard(self)
        writer.drop(self)

    @property
    def _seen(self) -> bool:
        """Whether a page tells what it paints."""
        return time.monotonic() - self._painted_at < PATIENCE

    def _pause(self) -> float:
        """Seconds from the last preview to the next one."""
        if self._seen and self._sequence - self._painted >= AHEAD:
            return PATIENCE
        return self._interval()

    def _interval(self) -> float:
        """Seconds between two previews, as far as the budget allows."""
        return max(PAINTED_INTERVAL if self._seen else BLIND_INTERVAL, LEAST_BYTES / _share())

    def _show(self) -> None:
        preview, self._waiting = self._waiting, None
        if preview is None or self._ended:
            return
        fitting = self._fitted(preview)
        if fitting is None:
            return
        data, mime = fitting
        self._sequence += 1
        content = {"kind": "preview", "prompt_id": preview.prompt_id, "node_id": preview.node_id, "step": preview.step}
        self._newest = ({**content, "mime": mime, "seq": self._sequence}, data)
        self.again()

    def _fitted(self, preview: Preview) -> tuple[bytes, str] | None:
        """The preview in the bytes that it may take now; None when it is no picture."""
        room = int(min(PAINTED_BYTES if self._seen else BLIND_BYTES, _share() * self._interval()))
        if len(preview.data) <= room:
            return preview.data, preview.mime
        kept, level = self._level  # frames of one run are alike: what fitted last is tried first
        first = level if kept == room else 0
        for index in range(first, len(LEVELS)):
            side, quality = LEVELS[index]
            try:
                small = make_thumbnail(preview.data, side, "JPEG", quality)
            except ValueError:
                return None
            self._level = (room, index)
            if len(small.data) <= room:
                break
        return small.data, small.mime


def _share() -> float:
    """Bytes a second that each run with previews may take."""
    with _lively_lock:
        return RATE / max(1, len(_lively))
