"""`Order`: a prompt on its way to a server, and how one attempt to post it may end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.senders import Sender, build_sender

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.values.binding import Binding


class Refused(Exception):
    """The server rejected a prompt for good.

    Attributes:
        body: The server's reasons, as ComfyUI gives them: `{"error": …, "node_errors": …}`.
        prompt_id: The prompt ID, if the job got one anyway.
    """

    def __init__(self, body: Mapping[str, Any], prompt_id: str | None = None) -> None:
        super().__init__()
        self.body = body
        self.prompt_id = prompt_id


class TryAgain(Exception):
    """The server rejected a job for the moment. No job exists, so the order may be posted again.

    Attributes:
        pause: Seconds to wait before the next attempt.
        why: The reason in a few words.
        failure: The error to raise when giving up.
        retries: How often an order may be posted again for reasons that have such a limit; None: without limit.
        within: Seconds after the first attempt in which the next one has to begin; None: without limit.
    """

    def __init__(
        self, pause: float, why: str, failure: Exception, *, retries: int | None = None, within: float | None = None
    ) -> None:
        super().__init__(why)
        self.pause = pause
        self.why = why
        self.failure = failure
        self.retries = retries
        self.within = within


@dataclass(frozen=True)
class Accepted:
    """The server has accepted a job.

    Attributes:
        prompt_id: The prompt ID.
        node_errors: As in ComfyUI's answer: not empty if the server accepted only a part of the prompt.
    """

    prompt_id: str
    node_errors: Any = None


@dataclass(frozen=True)
class Order:
    """What to run, for `Backend.post`.

    Attributes:
        id: The run's own ID.
        workflow: The workflow.
        binding: Its prompt with all values, and with the references to uploaded files.
        extra_pnginfo: What the server stores in the files that it saves.
        attempt: How often it was posted before.
        since: When this attempt began, in seconds since 1970.
        sender: Who sends it; kept with the job, to recognize it later.
    """

    id: str
    workflow: Workflow
    binding: Binding
    extra_pnginfo: Mapping[str, Any] | None
    attempt: int = 0
    since: float = 0.0
    sender: Sender = field(default_factory=build_sender)
