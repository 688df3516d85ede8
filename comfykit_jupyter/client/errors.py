"""Errors of the client, with those of the workflows beside them.

ComfyKitError
├── WorkflowError      what was given is no workflow
├── ParameterError     a wrong name, type, bound or choice; nothing was sent
├── SettingsError      a setting that can't be used
├── ServerError        the server can't be reached, or answers with nonsense
├── SourceError        a file, URL or object that can't be read
└── RunFailed          the server ran it, or refused it, and it failed; `.result` holds what there is

Each has one line that says what is wrong, where, and what to do. `.result` is there on all of them: the failed
`ExecuteResult` where there was a run, else None.
"""

from __future__ import annotations

from comfykit_jupyter.workflow.errors import ComfyKitError, ParameterError, Problem, WorkflowError

__all__ = [
    "ComfyKitError",
    "ParameterError",
    "Problem",
    "RunFailed",
    "ServerError",
    "SettingsError",
    "SourceError",
    "WorkflowError",
]


class SettingsError(ComfyKitError):
    """A setting that can't be used; the message says which, and what it may be."""


class ServerError(ComfyKitError):
    """The server can't be reached, refuses us, or does not speak ComfyUI's protocol."""

    def __init__(self, message: str, *, status: int | None = None, sent: bool = False) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of its answer; None when there was none."""
        self.sent = sent
        """Whether the request may have been carried out all the same."""


class SourceError(ComfyKitError):
    """A file, URL or object that was given as a value or workflow and can't be read."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing
        """Whether it may be read in a moment: a connection broke, say."""


class RunFailed(ComfyKitError):
    """A run failed, was refused or cancelled. `.result` has its `prompt_id`, partial outputs and `error`."""
