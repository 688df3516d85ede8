"""Send the previews of runs to the page: always the newest, and never more than the connection carries.

A page acknowledges the previews that it has painted. While it does, the next preview is sent as soon as the last ones
are painted. While it does not (its messages wait behind a busy cell, or the page is hidden), few and small previews are
sent. All previews of this process share one budget: with more runs, previews get smaller, and do not queue up.
Visible forms share it; forms that are scrolled away get a small preview now and then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from comfykit_jupyter.client.results.thumbnail import make_thumbnail
from comfykit_jupyter.notebook.page.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.preview import Preview

BYTES_PER_SECOND = 900_000
"""The budget of all previews together: less than Jupyter's servers let pass by default."""
ACKNOWLEDGED_SECONDS = 1 / 12
"""Time between two previews of a run, at least, while the page acknowledges them."""
UNACKNOWLEDGED_SECONDS = 1 / 5
"""Time between two previews of a run, at least, while it does not."""
ACKNOWLEDGED_BYTES = 60_000
"""Size of a preview, at most, while the page acknowledges them."""
UNACKNOWLEDGED_BYTES = 30_000
"""Size of a preview, at most, while it does not."""
MIN_BYTES = 8_000
"""Size of a preview that is still recognizable. Where the budget allows less, previews are sent less often."""
HIDDEN_SECONDS = 1.0
"""Time between two previews of a run that is out of sight."""
HIDDEN_BYTES = 4_000
"""Size of a preview that is out of sight, at most."""
MAX_UNPAINTED = 2
"""Previews that may be on their way to a page that acknowledges them."""
PATIENCE = 1.0
"""Seconds without an acknowledgement after which a page counts as not acknowledging."""
LEVELS = ((512, 75), (512, 60), (512, 45), (384, 50), (320, 40), (256, 35), (192, 30), (128, 30))
"""The longer side in pixels and the JPEG quality to which a large preview is reduced, from best to worst."""

Send = Callable[[dict[str, Any], Sequence[Any] | None], None]

_active: WeakSet[Previews] = WeakSet()
_active_lock = threading.Lock()


class Previews:
    """The previews of one run. The background loop offers them; the writer sends and acknowledges them.

    Args:
        send: Sends a message with buffers to the page.
        in_sight: Whether a page shows them, as far as is known.
    """

    def __init__(self, send: Send, *, in_sight: bool = True) -> None:
        self._send = send
        self._in_sight = in_sight
        self._waiting: Preview | None = None
        self._newest: tuple[dict[str, Any], bytes] | None = None
        self._sequence = 0
        self._acknowledged = 0
        self._acknowledged_at = float("-inf")
        self._level: tuple[int, int] = (0, 0)
        self._ended = False

    def offer(self, preview: Preview) -> None:
        """Send a preview when there is room, in place of one that still waits. Returns at once."""
        if not self._ended:
            self._waiting = preview
            with _active_lock:
                _active.add(self)
            writer.offer(self, self._send_next, self._get_pause())

    def acknowledge(self, sequence: int) -> None:
        """Note that the page has painted the preview with this number, and all before it."""
        if self._acknowledged < sequence <= self._sequence:
            self._acknowledged, self._acknowledged_at = sequence, time.monotonic()
            if self._waiting is not None and not self._ended:
                writer.offer(self, self._send_next, self._get_pause())

    @property
    def is_in_sight(self) -> bool:
        """Whether a page shows them."""
        return self._in_sight

    def set_sight(self, in_sight: bool) -> None:
        """Note whether a page shows them."""
        if in_sight == self._in_sight:
            return
        self._in_sight = in_sight
        if self._waiting is not None and not self._ended:
            writer.offer(self, self._send_next, self._get_pause())

    def send_newest(self) -> None:
        """Send the newest preview, which a page that has just loaded has not received."""
        if self._newest is not None:
            content, data = self._newest
            self._send(content, [data])

    def end(self) -> None:
        """Stop sending."""
        self._ended = True
        self._waiting = None
        with _active_lock:
            _active.discard(self)
        writer.drop(self)

    @property
    def _is_acknowledged(self) -> bool:
        """Whether a page acknowledges previews."""
        return time.monotonic() - self._acknowledged_at < PATIENCE

    def _get_pause(self) -> float:
        """Return the seconds from the last preview to the next one."""
        if not self._in_sight:
            return HIDDEN_SECONDS
        if self._is_acknowledged and self._sequence - self._acknowledged >= MAX_UNPAINTED:
            return PATIENCE
        return self._get_interval()

    def _get_interval(self) -> float:
        """Return the seconds between two previews that the budget allows."""
        interval = ACKNOWLEDGED_SECONDS if self._is_acknowledged else UNACKNOWLEDGED_SECONDS
        return max(interval, MIN_BYTES / _get_share())

    def _send_next(self) -> None:
        preview, self._waiting = self._waiting, None
        if preview is None or self._ended:
            return
        reduced = self._fit(preview)
        if reduced is None:
            return
        data, mime = reduced
        self._sequence += 1
        content = {"kind": "preview", "prompt_id": preview.prompt_id, "node_id": preview.node_id, "step": preview.step}
        self._newest = ({**content, "mime": mime, "seq": self._sequence}, data)
        self.send_newest()

    def _fit(self, preview: Preview) -> tuple[bytes, str] | None:
        """Return the preview and its MIME type, made small enough; None if it is not an image."""
        if self._in_sight:
            limit = ACKNOWLEDGED_BYTES if self._is_acknowledged else UNACKNOWLEDGED_BYTES
            room = int(min(limit, _get_share() * self._get_interval()))
        else:
            room = HIDDEN_BYTES
        if len(preview.data) <= room:
            return preview.data, preview.mime
        kept, level = self._level  # the previews of a run are alike: try first what fitted last
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


def _get_share() -> float:
    """Return the bytes per second that each run with visible previews may use."""
    with _active_lock:
        in_sight = sum(each.is_in_sight for each in _active)
        hidden = len(_active) - in_sight
    return max(0.5, 1 - hidden * HIDDEN_BYTES / HIDDEN_SECONDS / BYTES_PER_SECOND) * BYTES_PER_SECOND / max(1, in_sight)
