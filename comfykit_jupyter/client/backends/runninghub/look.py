"""Ask RunningHub how far a task is, by either of its routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfykit_jupyter.client.backends.runninghub.api import Api, find_object
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.untrusted_json import to_mapping

ENDED = frozenset({"SUCCESS", "FAILED", "CANCEL"})
"""States of a task that has ended."""
STATES = ENDED | {"CREATE", "QUEUED", "RUNNING"}
"""All states of a task."""
_STATES_BY_CODE = {**words.PENDING, 805: "FAILED"}
"""States that the older route gives as a code. Some answers of the newer route do so as well."""


@dataclass
class Look:
    """What the site said about a task at one look."""

    state: str
    results: list[dict[str, Any]] | None = None
    reason: dict[str, Any] = field(default_factory=dict)
    code: int | None = None
    message: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)
    socket: str | None = field(default=None, repr=False)
    """The address of the task's socket. It is a secret."""
    raw: Any = field(default=None, repr=False)
    """The content of the answer."""


class Missing(Exception):
    """The site does not know the task."""


class Hopeless(ServerError):
    """Asking again changes nothing: the key is not valid any more, for example."""


async def look_by_new_route(api: Api, task_id: str) -> Look | None:
    """Ask the newer route about a task. Return None where the site lacks it.

    Raises:
        Missing: The site does not know the task.
        Hopeless: Asking again changes nothing.
        ServerError: There is no answer, or it makes no sense.
    """
    try:
        answer = await api.ask("/openapi/v2/query", {"taskId": task_id}, with_key=False, retries=0)
    except ServerError as error:
        if error.status == 404:
            return None
        raise
    found = find_object(answer)
    state = str(found.get("status") or found.get("taskStatus") or "").upper()
    code = words.parse_code(found.get("errorCode")) or answer.code
    message = str(found.get("errorMessage") or answer.message or "")
    state = state or _STATES_BY_CODE.get(code or 0, "")
    if not state:
        if code in words.NO_SUCH_ROUTE or answer.status == 404:
            return None
        _raise_for_code(api, code, message)
        if "status" not in found and (code is None or words.is_success(code)):
            return await look_by_old_route(api, task_id)  # this answer has another shape
        why = f": {words.format_reason(code, message)}" if code is not None and not words.is_success(code) else ""
        raise ServerError(f"{api.url} does not give the state of the task{why}", sent=True)
    results = words.parse_results(found["results"]) if isinstance(found.get("results"), list) else None
    return Look(
        state,
        results,
        words.parse_failure(found.get("failedReason")),
        code,
        message,
        words.parse_cost(found.get("usage")),
        raw={name: value for name, value in found.items() if name != "netWssUrl"},
    )


async def look_by_old_route(api: Api, task_id: str) -> Look:
    """Ask the older route, the one for outputs, about a task. Raises as `look_by_new_route`."""
    answer = await api.ask("/task/openapi/outputs", {"taskId": task_id}, retries=0)
    code, data = answer.code, answer.data
    socket = to_mapping(data).get("netWssUrl")
    if code in words.PENDING or (words.is_success(code) and not isinstance(data, list)):
        queued = code == 813 or "QUEUED" in answer.message.upper()
        return Look("QUEUED" if queued else "RUNNING", socket=socket if isinstance(socket, str) else None)
    if words.is_success(code):
        results = words.parse_results(data)
        cost: dict[str, float] = {}
        for each in data:
            cost |= words.parse_cost(each)  # every file comes with the cost of the whole task
        return Look("SUCCESS", results, cost=cost, raw=data)
    if code == 805:
        return Look(
            "FAILED",
            reason=words.parse_failure(to_mapping(data).get("failedReason")),
            code=code,
            message=answer.message,
            raw=data,
        )
    _raise_for_code(api, code, answer.message)
    if code in words.NO_SUCH_ROUTE or answer.status == 404:
        raise Hopeless(f"{api.url} has no route for the state of a task", status=404)
    raise ServerError(
        f"{api.url} does not give the state of the task: {words.format_reason(code, answer.message)}", sent=True
    )


def _raise_for_code(api: Api, code: int | None, message: str) -> None:
    """Raise the error for a code that does not stand for a state of the task."""
    if code in words.MISSING:
        raise Missing
    if code in words.KEY:
        reason = words.format_reason(code, message)
        raise Hopeless(f"authentication failed at {api.url}: {reason}{api.find_hint(code)}", status=401)


async def is_unfinished(api: Api, task_id: str) -> bool:
    """Return whether a task waits or runs. Raises `ServerError` as `look_by_new_route`."""
    try:
        look = await look_by_new_route(api, task_id) or await look_by_old_route(api, task_id)
    except Missing:
        return False
    return look.state not in ENDED
