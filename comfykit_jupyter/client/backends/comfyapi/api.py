"""Requests to a server that speaks Comfy API v2: its errors by their codes, its links, no secret to anybody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from comfykit_jupyter.client.backends.comfyapi.route import PREFIX
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.results.media import to_encodable
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.body import TooLarge, whole
from comfykit_jupyter.client.transport.connection import READ_TIMEOUT, Connection, retry_after
from comfykit_jupyter.client.transport.credentials import secret_headers
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection."""
ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer that is JSON, at the most."""
STREAMS = 6
"""Streams of events that are open at a time; servers allow eight or so, and other runs look instead."""
POOL = 16
"""Connections at the most, those of the streams not counted."""

_KEY_LENGTH = 12
"""Characters of a key that can be told from an ordinary word."""


class Busy(ServerError):
    """429: not now. `code` and `why` say the reason, `pause` how many seconds to wait."""

    def __init__(self, url: str, code: str, why: str, pause: float) -> None:
        super().__init__(f"{url} is busy: {why}", status=429)
        self.code = code
        self.why = why
        self.pause = pause


@dataclass(frozen=True)
class Answer:
    """What a server answered; of a refusal `code`, `message` and `details` say why."""

    status: int
    headers: Mapping[str, str]
    body: Any
    """The JSON; None where it is none."""

    @property
    def code(self) -> str:
        """The error's name, such as `invalid_workflow`; "" for an answer that is not of this API."""
        return str(self._error.get("code") or "")[:100]

    @property
    def message(self) -> str:
        """The error in the server's words."""
        return one_line(str(self._error.get("message") or ""), 1000)

    @property
    def details(self) -> Any:
        """What else there is."""
        return self._error.get("details")

    @property
    def _error(self) -> Mapping[str, Any]:
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return error if isinstance(error, dict) else {}


class Api:
    """The API of one server. Lives on the background loop; made without contacting it.

    Args:
        settings: the server's address, and how it is reached.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.comfyui_url
        self.base = f"{self.url.removesuffix(PREFIX).removesuffix('/api')}{PREFIX}"
        self.settings = settings
        self._key = settings.api_key
        headers = partial(secret_headers, settings)
        self.connection = Connection(
            self.base, settings, headers, connect=CONNECT_TIMEOUT, pool=POOL + STREAMS, renewed=self._renewed
        )
        self._renewed()

    def _renewed(self) -> None:
        """All that belongs to one event loop, anew: the loop of a forked process is another one."""
        self.streams = asyncio.Semaphore(STREAMS)

    def link(self, told: Any, path: str) -> str:
        """A link that the server gave, if it is one of its own; else the address of `path`, where it should be.

        A link that begins with a slash belongs to the origin, whatever the path of the server's address.
        """
        if isinstance(told, str) and 0 < len(told) < 4000 and told.isascii() and told.isprintable():
            with contextlib.suppress(ValueError):
                resolved = urljoin(f"{_origin(self.base)}/", told)
                if self.owns(resolved):
                    return resolved
        return f"{self.base}{path}"

    def owns(self, url: str) -> bool:
        """Whether an address is on this server's origin: only there do our secrets go."""
        try:
            return _origin(url) == _origin(self.base)
        except ValueError:
            return False

    async def request(self, method: str, path: str, *, again: bool | None = None, **options: Any) -> Answer:
        """One request. What changes nothing is tried again once when a kept connection turns out to be closed.

        Args:
            method: GET, POST, …
            path: after `/api/v2`; or an address that `link` gave.
            again: whether it may be sent twice; by default a GET may.
            options: for httpx.

        Raises:
            Busy: 429.
            ServerError: no answer, or one that says no (3xx, 401, 403, 5xx); other answers are returned.
        """
        import httpx

        again = method == "GET" if again is None else again
        address = self._address(path)
        try:
            response = await self.connection.exchange(method, address, again=again, limit=ANSWER_LIMIT, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None
        except TooLarge as error:
            raise ServerError(f"{self.url} answers with {error}", sent=True) from None
        answer = self._answer(response)
        self._check(answer)
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, quiet: float = READ_TIMEOUT, accept: str = "*/*"
    ) -> AsyncIterator[httpx.Response]:
        """A GET whose body is read piece by piece; a redirect is given as it is.

        Args:
            path: after `/api/v2`; or an address that `link` gave.
            quiet: seconds without a byte after which it is given up.
            accept: the kind of content.

        Raises:
            Busy, ServerError: as `request`, and for any other answer that is neither 200, 206, nor a redirect.
        """
        import httpx

        client = await self.connection.client()
        timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT, pool=None, read=quiet)
        try:
            async with client.stream(
                "GET", self._address(path), headers={"Accept": accept}, timeout=timeout
            ) as response:
                if response.status_code not in (200, 206) and not response.has_redirect_location:
                    answer = self._answer(await whole(response, ANSWER_LIMIT))
                    self._check(answer)
                    raise self.unexpected(answer, urlsplit(self._address(path)).path)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None
        except TooLarge as error:
            raise ServerError(f"{self.url} answers with {error}") from None

    def unexpected(self, answer: Answer, what: str) -> ServerError:
        """An answer that there should not be."""
        if not answer.code:
            return ServerError(
                f"{self.url} does not speak Comfy API v2: it answers {answer.status} to {what}", status=answer.status
            )
        return ServerError(f"{self.url} answers {answer.status} to {what}: {_told(answer)}", status=answer.status)

    def _address(self, path: str) -> str:
        return f"{self.base}{path}" if path.startswith("/") else path

    def _answer(self, response: httpx.Response) -> Answer:
        """The answer, without our key, should the server repeat it in a message."""
        content = response.content
        if self._key and len(self._key) >= _KEY_LENGTH:
            content = content.replace(self._key.encode("utf-8", "replace"), b"[key]")
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        return Answer(response.status_code, response.headers, body)

    def _check(self, answer: Answer) -> None:
        status = answer.status
        if status in (401, 403):
            key = "check api_key= of the kit" if self._key else "give the kit its key, api_key="
            raise ServerError(f"{self.url} refuses us ({status}{_because(answer)}): {key}", status=status)
        if status == 429:
            raise Busy(self.url, answer.code, _told(answer), retry_after(answer.headers.get("retry-after")))
        if 300 <= status < 400:
            target = urlsplit(answer.headers.get("location", ""))
            where = one_line(f"{target.scheme}://{target.hostname}" if target.hostname else "elsewhere", 200)
            raise ServerError(f"{self.url} redirects to {where}: give that address, if you trust it", status=status)
        if status >= 500 and status != 501:
            raise ServerError(f"{self.url} answers {status}{_because(answer)}", status=status, sent=True)

    def _unreachable(self, error: Exception) -> ServerError:
        import httpx

        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return ServerError(f"no server of Comfy API v2 at {self.url}: start it, or give its address (comfyui_url=)")
        if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.ProxyError)):
            return ServerError(f"{self.url} can't be reached: {type(error).__name__}")
        if isinstance(error, httpx.TimeoutException):
            return ServerError(f"no answer from {self.url} in time", sent=True)
        return ServerError(f"the connection to {self.url} broke: {str(error) or type(error).__name__}", sent=True)


def job_path(id_: str) -> str:
    """Where a job is, after `/api/v2`."""
    return f"/jobs/{quote(to_encodable(id_), safe='')}"


async def insist(work: Callable[[], Awaitable[T]], pauses: Sequence[float]) -> T:
    """Do what may be done twice, and again while the server does not hear it.

    Args:
        work: what to do.
        pauses: seconds before each further attempt; longer if the server asks for that.

    Raises:
        ServerError: the last attempt failed, or one was answered with a no.
    """
    left = list(pauses)
    while True:
        try:
            return await work()
        except ServerError as error:
            unheard = error.status is None or error.status >= 500 or isinstance(error, Busy)
            if not unheard or not left:
                raise
            pause = error.pause if isinstance(error, Busy) else 0.0
        await asyncio.sleep(max(pause, left.pop(0)))


def _told(answer: Answer) -> str:
    return answer.message or answer.code.replace("_", " ") or f"it answers {answer.status}"


def _because(answer: Answer) -> str:
    return f", {_told(answer)}" if answer.code else ""


def _origin(url: str) -> str:
    """Scheme, host and port.

    Raises:
        ValueError: it is no address.
    """
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    if parts.username or parts.password:
        raise ValueError("a name and password have no place in a link")
    host = (parts.hostname or "").lower()
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
