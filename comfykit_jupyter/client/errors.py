"""All errors that the API raises.

ComfyKitError
├── WorkflowError      not a workflow, or one that can't be run
├── ParameterError     a wrong name, type, bound or choice; nothing was sent
├── SettingsError      a setting that can't be used
├── ServerError        the server is unreachable, or its response makes no sense
├── SourceError        a file, URL or object that can't be read
├── OutputError        a result has no such output, or several
└── RunFailed          the run failed or was rejected; `.result` has what there is

The message of each is one line: what is wrong, where, and what to do. `.result` of each is the failed `ExecuteResult`,
or None if there was no run.
"""

from __future__ import annotations

from comfykit_jupyter.workflow.errors import ComfyKitError, ParameterError, Problem, WorkflowError

__all__ = [
    "ComfyKitError",
    "OutputError",
    "ParameterError",
    "Problem",
    "RunFailed",
    "ServerError",
    "SettingsError",
    "SourceError",
    "WorkflowError",
]


class SettingsError(ComfyKitError):
    """A setting can't be used; the message says which, and what is allowed.

    Example:
        >>> from comfykit_jupyter import ComfyKit, SettingsError
        >>> try:
        ...     ComfyKit(timeout=0)
        ... except SettingsError as error:
        ...     print(error)
        timeout must be a positive number of seconds, or None
    """


class ServerError(ComfyKitError):
    """The server is unreachable, rejects the request, or does not speak its protocol.

    Attributes:
        status: HTTP status of the response; None if there was none.
        sent: Whether the request may have been carried out all the same.

    Example:
        >>> from comfykit_jupyter import ComfyKit, ServerError
        >>> try:
        ...     ComfyKit("http://127.0.0.1:1").queue()
        ... except ServerError as error:
        ...     print(error.status, error.sent)
        None False
    """

    def __init__(self, message: str, *, status: int | None = None, sent: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.sent = sent


class SourceError(ComfyKitError):
    """A file, URL or object, given as a workflow or a value, can't be read.

    Attributes:
        passing: Whether it may be readable again in a moment, for example after a lost connection.

    Example:
        >>> from comfykit_jupyter import SourceError
        >>> try:
        ...     kit.load("txt.json")
        ... except SourceError as error:
        ...     print(error)  # doctest: +ELLIPSIS
        no file txt.json in ...: did you mean text.json?
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class OutputError(ComfyKitError, AttributeError):
    """A result has no such output, or several: `result.text` is for the only one.

    It is an `AttributeError` as well, so that `hasattr(result, "text")` and `getattr(result, "text", None)` work.

    Example:
        >>> result = kit.run("text.json")
        >>> hasattr(result, "text"), hasattr(result, "image")
        (True, False)
    """


class RunFailed(ComfyKitError):
    """A run failed, was rejected or cancelled.

    Attributes:
        result: The `ExecuteResult`, with its `prompt_id`, `error`, and the outputs so far.

    Example:
        try:
            result = kit.run("text_to_image.json", steps=20)
        except RunFailed as error:
            print(error.result.error.kind, error.result.error.node_title)
    """
