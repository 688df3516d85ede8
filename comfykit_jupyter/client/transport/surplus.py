"""Close connections on which more arrives than the answer: httpcore would read it as the answer to the next request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_TO_PARSER = ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state")
"""The attributes from the stream of an answer to the parser of its connection. They are not public: see its test."""


class AnswerGuard:
    """The trace of one request, which watches the end of its answer.

    A gateway that repeats an answer would otherwise shift all later ones on its connection: the answer about one job
    would be taken for the answer about another.

    Args:
        then: Another trace of the request.
    """

    def __init__(self, then: Callable[[str, Any], Awaitable[None]] | None) -> None:
        self.response: httpx.Response | None = None
        self._then = then

    async def __call__(self, name: str, info: Any) -> None:
        """See the extension `trace` of httpcore."""
        if self._then is not None:
            await self._then(name, info)
        response = self.response
        if name == "http11.receive_response_body.complete" and response is not None and has_surplus(response):
            await response.extensions["network_stream"].aclose()


async def guard_request(request: httpx.Request) -> None:
    """Watch the answer to a request; a hook of an httpx client."""
    request.extensions["trace"] = AnswerGuard(request.extensions.get("trace"))


async def guard_answer(response: httpx.Response) -> None:
    """Name the answer that is watched; a hook of an httpx client."""
    guard = response.request.extensions.get("trace")
    if isinstance(guard, AnswerGuard):
        guard.response = response


GUARDS: dict[str, list[Callable[..., Any]]] = {"request": [guard_request], "response": [guard_answer]}
"""The hooks of an httpx client."""


def has_surplus(response: httpx.Response) -> bool:
    """Return whether bytes have arrived after the end of an answer."""
    found: Any = response.stream
    for name in _TO_PARSER:
        found = getattr(found, name, None)
    trailing = getattr(found, "trailing_data", None)
    return bool(trailing and trailing[0])
