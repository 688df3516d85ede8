"""What RunningHub answered when it created a task."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CloudTask:
    """What was told of a task when it was created."""

    socket: str | None = field(repr=False)
    """The address of its socket: a secret."""
    remark: str
    """What was said of its prompt, and is no error."""
