"""`Follower`: a run as the backend sees it that follows its job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.preview import Preview
    from comfykit_jupyter.workflow.progress.progress import RunError


class Listener(Protocol):
    """One run, as the event socket of a server sees it."""

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Handle a message as ComfyUI's socket sends it; its `prompt_id` is the run's own `id`."""

    def on_preview(self, preview: Preview) -> None:
        """Handle a preview of this run."""

    def on_break(self) -> None:
        """Handle the loss of the connection: events may have been missed."""

    def on_silence(self, gives_up_at: float | None) -> None:
        """Say until when an answer is waited for, on the monotonic clock; None if the server answers."""


class Follower(Listener, Protocol):
    """A run, as `Backend.follow` sees it."""

    id: str
    """Its own ID, which never changes."""
    trusted: bool
    """Whether the socket has seen everything so far."""
    changed_at: float
    """On the monotonic clock: a queue that was read before this moment says nothing about the run."""

    @property
    def prompt_id(self) -> str:
        """The prompt ID."""

    @property
    def ended(self) -> bool:
        """Whether the outcome is known."""

    @property
    def waiting(self) -> bool:
        """Whether it is still queued."""

    @property
    def needs_prompt(self) -> bool:
        """Whether its prompt is not known yet: it was started elsewhere."""

    async def wait_for_doubt(self, timeout: float) -> None:
        """Return when it has ended, when there is reason to ask the server, or after `timeout` seconds."""

    async def wait_for_end(self) -> None:
        """Return when the outcome is known."""

    async def find_job(self, since: float) -> bool:
        """Look for its job under another ID, if the answer to its prompt was lost; return whether it is there.

        Args:
            since: When the look began that has not found it, on the monotonic clock. A cancellation may have found it
                meanwhile.
        """

    def on_history(self, entry: Mapping[str, Any]) -> None:
        """Handle the record of its end, as in ComfyUI's history. This is the truth."""

    def on_queue(self, queue: Mapping[str, Any]) -> None:
        """Handle a queue as ComfyUI has it, with this run in it."""

    def on_note(self, note: str) -> None:
        """Show what it is waiting for, in a few words, until something else happens."""

    def on_warning(self, line: str) -> None:
        """Add a warning to the result."""

    def on_raw(self, answer: Any) -> None:
        """Handle what a cloud answered about the end, in its own words."""

    def on_cost(self, cost: Mapping[str, float]) -> None:
        """Handle what it cost, if that is known: `coins`, `money`, and the `seconds` that were paid."""

    def on_missing(self) -> None:
        """Handle that the server does not know it."""

    def on_failed(self, error: RunError) -> None:
        """Handle that its outcome can't be found out: the server is away for too long, for example."""
