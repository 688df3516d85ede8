"""Requests to a server of Comfy API v2: its errors by their codes, its links, and secrets that go to it only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from comfykit_jupyter.client.addresses import COMFY_API_PATH
from comfykit_jupyter.client.backends.retry import Busy
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.body import TooLarge, parse_body, read_body
from comfykit_jupyter.client.transport.connection import READ_TIMEOUT, Connection, describe_redirect, parse_retry_after
from comfykit_jupyter.client.transport.credentials import build_secret_headers
from comfykit_jupyter.client.transport.deadline import get_silence
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.file_names import to_encodable
from comfykit_jupyter.workflow.untrusted_json import parse_json

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection."""
ANSWER_LIMIT = 64 * 1024 * 1024
"""Maximum size in bytes of an answer in JSON."""
STREAMS = 6
"""Maximum number of open event streams. Servers allow eight or so; the other runs ask for the state of their jobs."""
POOL = 16
"""Maximum number of connections, without event streams."""
_KEY_LENGTH = 12
"""Minimum length of a key that can't be mistaken for an ordinary word."""


@dataclass(frozen=True)
class Answer:
    """An answer of the server; of an error, `code`, `message` and `details` give the reason."""

    status: int
    headers: Mapping[str, str]
    body: Any
    """The JSON; None if it is not JSON."""

    @property
    def code(self) -> str:
        """The name of the error, such as `invalid_workflow`; empty for an answer that is not of this API."""
        return str(self._error.get("code") or "")[:100]

    @property
    def message(self) -> str:
        """The error in the server's words."""
        return one_line(str(self._error.get("message") or ""), 1000)

    @property
    def details(self) -> Any:
        """The details of the error."""
        return self._error.get("details")

    @property
    def _error(self) -> Mapping[str, Any]:
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return error if isinstance(error, dict) else {}


class Api:
    """The API of one server. It lives on the background loop, but can be created in any thread.

    Args:
        settings: The server's address, and how it is reached.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.comfyui_url
        self.base = f"{self.url.removesuffix(COMFY_API_PATH).removesuffix('/api')}{COMFY_API_PATH}"
        self.settings = settings
        self._key = settings.api_key
        headers = partial(build_secret_headers, settings)
        self.connection = Connection(
            self.base,
            settings,
            headers,
            connect=CONNECT_TIMEOUT,
            pool=POOL + STREAMS,
            query=settings.address_secrets.query,
            on_new_loop=self._reset,
        )
        self._reset()

    def _reset(self) -> None:
        """Create what belongs to one event loop: a forked process has another one."""
        self.streams = asyncio.Semaphore(STREAMS)

    def resolve_link(self, link: Any, path: str) -> str:
        """Return the address of a link that the server gave, if it is on this server; else the address of `path`.

        A link that begins with a slash belongs to the origin, whatever the path of the server's address.
        """
        if isinstance(link, str) and 0 < len(link) < 4000 and link.isascii() and link.isprintable():
            with contextlib.suppress(ValueError):
                resolved = urljoin(f"{_parse_origin(self.base)}/", link)
                if self.owns(resolved):
                    return resolved
        return f"{self.base}{path}"

    def owns(self, url: str) -> bool:
        """Return whether an address is on this server's origin: our secrets go nowhere else."""
        try:
            return _parse_origin(url) == _parse_origin(self.base)
        except ValueError:
            return False

    async def request(
        self, method: str, path: str, *, again: bool | None = None, long: bool = False, size: int = 0, **options: Any
    ) -> Answer:
        """Send one request. A GET is sent again, once, if a kept connection turns out to be closed.

        Args:
            method: GET, POST, …
            path: A path after `/api/v2`, or an address from `resolve_link`.
            again: Whether it may be sent twice; by default a GET may.
            long: Whether the answer may take longer than the kit's patience, as long as it comes fast enough.
            size: Size of the request's body in bytes, which takes its time too.
            options: For httpx.

        Raises:
            Busy: Status 429.
            ServerError: There is no answer, or its status is 3xx, 401, 403 or 5xx. Other answers are returned.
        """
        import httpx

        again = method == "GET" if again is None else again
        address = self._build_address(path)
        silence = get_silence()
        within = silence.begin(self.settings.patience, size)
        try:
            with self.connection.count_transfer(size):
                response = await self.connection.exchange(
                    method, address, again=again, limit=ANSWER_LIMIT, within=within, long=long, **options
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._build_connection_error(error) from None
        except TooLarge as error:
            raise ServerError(f"the answer of {self.url} is too large: {error}", sent=True) from None
        answer = await self._parse(response)
        self._raise_for_status(answer)
        silence.end()
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, quiet: float = READ_TIMEOUT, accept: str = "*/*"
    ) -> AsyncIterator[httpx.Response]:
        """Send a GET whose body is read in chunks. A redirect is returned as it is.

        Args:
            path: A path after `/api/v2`, or an address from `resolve_link`.
            quiet: Seconds without a byte after which it is given up.
            accept: The content type.

        Raises:
            Busy, ServerError: As `request`, and for any answer that is neither 200, 206, nor a redirect.
        """
        import httpx

        timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT, pool=None, read=quiet)
        try:
            async with self.connection.stream(
                "GET", self._build_address(path), headers={"Accept": accept}, timeout=timeout
            ) as response:
                if response.status_code not in (200, 206) and not response.has_redirect_location:
                    answer = await self._parse(await read_body(response, ANSWER_LIMIT))
                    self._raise_for_status(answer)
                    raise self.build_error(answer, urlsplit(self._build_address(path)).path)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._build_connection_error(error) from None
        except TooLarge as error:
            raise ServerError(f"the answer of {self.url} is too large: {error}") from None

    def build_error(self, answer: Answer, what: str) -> ServerError:
        """Return the error for an unexpected answer."""
        if not answer.code:
            return ServerError(
                f"{self.url} does not speak Comfy API v2: it answers {answer.status} to {what}", status=answer.status
            )
        return ServerError(f"{self.url} answers {answer.status} to {what}: {_describe(answer)}", status=answer.status)

    def _build_address(self, path: str) -> str:
        return f"{self.base}{path}" if path.startswith("/") else path

    async def _parse(self, response: httpx.Response) -> Answer:
        """Parse an answer. Our key is removed, in case the server repeats it in a message.

        Raises:
            ServerError: It has too many elements.
        """
        content = response.content
        if self._key and len(self._key) >= _KEY_LENGTH:
            content = content.replace(self._key.encode("utf-8", "replace"), b"[key]")
        try:
            body = await parse_body(content, parse_json)
        except TooLarge as error:
            raise ServerError(f"the answer of {self.url} is too large: {error}", sent=True) from None
        except (ValueError, RecursionError):
            body = None
        return Answer(response.status_code, response.headers, body)

    def _raise_for_status(self, answer: Answer) -> None:
        status = answer.status
        if status in (401, 403):
            advice = f"{_format_reason(answer)}): {'check' if self._key else 'give'} api_key="
            raise ServerError(f"authentication failed at {self.url} ({status}{advice}", status=status)
        if status == 429:
            why, pause = _describe(answer), parse_retry_after(answer.headers.get("retry-after"))
            raise Busy(f"{self.url} is busy: {why}", why=why, code=answer.code, pause=pause)
        if 300 <= status < 400:
            where = describe_redirect(answer.headers.get("location", ""))
            raise ServerError(f"{self.url} redirects to {where}: give that address, if you trust it", status=status)
        if status >= 500 and status != 501:
            raise ServerError(f"{self.url} answers {status}{_format_reason(answer)}", status=status, sent=True)

    def _build_connection_error(self, error: Exception) -> ServerError:
        import httpx

        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            advice = "start it, or give another address (comfyui_url=)"
            return ServerError(f"no server with Comfy API v2 at {self.url}: {advice}")
        if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.ProxyError)):
            return ServerError(f"{self.url} can't be reached: {type(error).__name__}")
        if isinstance(error, httpx.TimeoutException):
            return ServerError(f"no answer from {self.url} in time", sent=True)
        return ServerError(f"the connection to {self.url} broke: {str(error) or type(error).__name__}", sent=True)


def build_job_path(id_: str) -> str:
    """Return the path of a job, after `/api/v2`."""
    return f"/jobs/{quote(to_encodable(id_), safe='')}"


def is_temporary(error: ComfyKitError) -> bool:
    """Return whether a request may work when it is repeated: the server did not hear it, or was busy."""
    return isinstance(error, ServerError) and (error.status is None or error.status >= 500 or isinstance(error, Busy))


def _describe(answer: Answer) -> str:
    return answer.message or answer.code.replace("_", " ") or f"it answers {answer.status}"


def _format_reason(answer: Answer) -> str:
    return f", {_describe(answer)}" if answer.code else ""


def _parse_origin(url: str) -> str:
    """Return the scheme, host and port of an address.

    Raises:
        ValueError: It is not an address.
    """
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    if parts.username or parts.password:
        raise ValueError("a link must not have a name and password")
    host = (parts.hostname or "").lower()
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
