"""`CloudTask`: what this process knows of a task on RunningHub, beside what the site answers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CloudTask:
    """One task. The backend and the task's poller share it.

    Attributes:
        socket: The address of its socket, as the site gave it when it created the task. It is a secret.
        remark: What the site said about the prompt then, if it is not an error.
        warnings: What the result should warn of.
        cancelled: Whether somebody here wants it cancelled.
    """

    socket: str | None = field(default=None, repr=False)
    remark: str = ""
    warnings: list[str] = field(default_factory=list)
    cancelled: bool = False
