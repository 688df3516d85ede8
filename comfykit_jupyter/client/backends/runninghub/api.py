"""Requests to RunningHub: its envelopes, its codes, and its key, which goes to this site only.

Requests that change nothing are repeated while the site is busy. A task is never created twice: see `Api.post`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from ssl import SSLError
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.retry import Busy, backoff, retry
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.anonymous import open_url
from comfykit_jupyter.client.transport.body import TooLarge, parse_body, read_body
from comfykit_jupyter.client.transport.connection import Connection, parse_retry_after
from comfykit_jupyter.client.transport.deadline import get_silence
from comfykit_jupyter.client.transport.tls import build_tls_context
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.untrusted_json import parse_json, to_mapping

if TYPE_CHECKING:
    import httpx

_Exchanged: TypeAlias = "tuple[int, httpx.Headers, bytes]"
"""Status, headers, content."""

ANSWER_LIMIT = 64 * 1024 * 1024
"""Maximum size of an answer in bytes."""
ANSWER_TIMEOUT = 120.0
"""Seconds for a whole answer, however slowly it arrives; for an uploaded file see `UPLOAD_TIMEOUT`."""
UPLOAD_TIMEOUT = 3600.0
"""Seconds for the answer to a file, its upload included."""
PAUSE = 1.0
"""Seconds before a request is repeated; twice as many each time."""
PAUSE_MOST = 8.0
"""Maximum of these pauses."""
_PERMANENT = frozenset({301, 302, 303, 307, 308, 401, 403, 404})
"""HTTP statuses that stay the same when the request is repeated."""


@dataclass(frozen=True)
class Answer:
    """An answer of the site, in one of its two envelopes or without one."""

    status: int
    body: Mapping[str, Any]

    @property
    def code(self) -> int | None:
        """The site's code; None if there is none."""
        return words.parse_code(self.body.get("code"))

    @property
    def message(self) -> str:
        """The site's message."""
        return one_line(str(self.body.get("msg") or self.body.get("message") or ""), 500)

    @property
    def data(self) -> Any:
        """The content of the envelope."""
        return self.body.get("data")

    def remove_password(self, password: str) -> Answer:
        """Return the answer without a password that the site may repeat."""
        return Answer(self.status, _remove_secret(self.body, password, "[password]"))


class Api:
    """The site, for one key. It lives on the background loop, but can be created in any thread."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.runninghub_url
        self.settings = settings
        self.retries = max(0, settings.runninghub_retry_count)
        """How often a request that changes nothing is repeated."""
        self._key = settings.runninghub_api_key
        self.connection = Connection(self.url, settings, self._build_headers)

    async def _build_headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.key}", "User-Agent": "comfykit-jupyter"}

    @property
    def key(self) -> str:
        """The key.

        Raises:
            ServerError: There is none, or it has characters that a header can't carry.
        """
        key = self._key
        if not key:
            raise ServerError(
                "RunningHub needs a key: give runninghub_api_key= or set RUNNINGHUB_API_KEY "
                f"(members find it on the site, under API: {self.url})",
                status=401,
            )
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ServerError("runninghub_api_key: a key is 32 letters and digits, without spaces", status=401)
        return key

    async def ask(
        self, path: str, body: Mapping[str, Any], *, with_key: bool = True, retries: int | None = None
    ) -> Answer:
        """Send a POST that changes nothing, and repeat it while the site is busy.

        Args:
            path: The path of the route.
            body: The question.
            with_key: Whether the key is added to the body: the older routes want it there.
            retries: How often it is repeated; as the settings say if not given.

        Raises:
            Busy: The site is asked too often, or fails for a moment.
            ServerError: There is no answer, or it makes no sense. Answers with any other code are returned.
        """
        return await self._retry(
            lambda: self.post(path, {"apiKey": self.key, **body} if with_key else body, shares_patience=True),
            self.retries if retries is None else retries,
        )

    async def _retry(self, send: Callable[[], Awaitable[Answer]], times: int) -> Answer:
        async def attempt() -> Answer:
            answer = await send()
            if answer.code in words.PASSING:
                raise Busy(f"{self.url}: {words.format_reason(answer.code, answer.message)}", code=answer.code)
            return answer

        def is_worth_it(error: ComfyKitError) -> bool:
            return is_temporary(error) and get_silence().seconds <= self.settings.patience

        return await retry(attempt, islice(backoff(PAUSE, PAUSE_MOST), times), is_worth_it)

    async def post(self, path: str, body: Mapping[str, Any], *, shares_patience: bool = False) -> Answer:
        """Send a POST with JSON, once.

        Args:
            path: The path of the route.
            body: The question.
            shares_patience: Whether the answer may only take what is left of the kit's patience. A task that is created
                gets its time in any case: its answer is worth money.

        Raises:
            Busy: HTTP status 429.
            ServerError: There is no answer, or it is not JSON; `sent` says whether the request may have worked.
        """
        content = json.dumps(body, allow_nan=False).encode()
        sent = self._post(path, content=content, headers={"Content-Type": "application/json"})
        return await self._send(sent, shares_patience=shares_patience)

    async def send_file(self, path: str, files: Mapping[str, Any], data: Mapping[str, str]) -> Answer:
        """Send a POST with a file, once. Raises as `post`."""
        return await self._send(self._post(path, files=files, data=data), UPLOAD_TIMEOUT)

    async def read_app(self, webapp_id: str) -> Answer:
        """Read the inputs of an app. Only this route wants the key in its address, which no log shows.

        Raises:
            ServerError: There is no answer, or it makes no sense.
        """
        query = urlencode({"apiKey": self.key, "webappId": webapp_id})
        return await self._retry(
            lambda: self._send(self._get(f"{self.url}/api/webapp/apiCallDemo?{query}"), shares_patience=True),
            self.retries,
        )

    async def _send(
        self, exchange: Awaitable[_Exchanged], timeout: float | None = None, *, shares_patience: bool = False
    ) -> Answer:
        import httpx

        silence = get_silence()
        left = silence.begin(self.settings.patience)
        try:
            timeout = ANSWER_TIMEOUT if timeout is None else timeout
            timeout = min(timeout, left) if shares_patience else timeout
            status, headers, content = await loop.wait_for(exchange, timeout)
        except asyncio.TimeoutError:
            raise ServerError(f"no answer from {self.url} within {timeout:g} s", sent=True) from None
        except (httpx.HTTPError, SSLError) as error:
            raise self._build_connection_error(error) from None
        if status < 500:
            silence.end()
        if status == 429:
            after = headers.get("retry-after")
            raise Busy(f"too many requests to {self.url} (429)", pause=parse_retry_after(after) if after else 0)
        if 300 <= status < 400:
            raise self._build_redirect_error(status)
        try:
            body = await parse_body(content, self._parse)
        except TooLarge as error:
            raise self._build_size_error(error) from None
        except (ValueError, RecursionError):
            body = None
        answer = Answer(status, body if isinstance(body, dict) else {})
        if answer.code is None and status in (401, 403):
            advice = "check runninghub_api_key="
            raise ServerError(f"authentication failed at {self.url} ({status}): {advice}", status=status)
        if not isinstance(body, dict) or status >= 500 or (answer.code is None and 400 <= status != 404):
            what = f": {answer.message}" if answer.message else "" if answer.body else " with something other than JSON"
            maybe = status in (200, 408) or status >= 500
            raise ServerError(f"{self.url} answers {status}{what}", status=status, sent=maybe)
        return answer

    async def _post(self, path: str, **options: Any) -> _Exchanged:
        async with self.connection.stream("POST", f"{self.url}{path}", **options) as response:
            return await self._read(response)

    async def _get(self, url: str) -> _Exchanged:
        tls, proxy = build_tls_context(self.settings.verify), self.settings.proxy
        try:
            async with open_url(url, ANSWER_TIMEOUT, redirects=0, tls=tls, proxy=proxy) as response:
                return await self._read(response)
        except ValueError:
            raise self._build_redirect_error(302) from None

    async def _read(self, response: httpx.Response) -> _Exchanged:
        try:
            read = await read_body(response, ANSWER_LIMIT)
        except TooLarge as error:
            raise self._build_size_error(error) from None
        return read.status_code, read.headers, read.content

    def _parse(self, content: bytes) -> Any:
        return _remove_secret(parse_json(content.decode("utf-8-sig", "replace")), self.key, "[key]")

    def _build_size_error(self, error: TooLarge) -> ServerError:
        return ServerError(f"the answer of {self.url} is too large: {error}", sent=True)

    def _build_redirect_error(self, status: int) -> ServerError:
        advice = "give that address, if you trust it"
        return ServerError(f"{self.url} redirects to another address: {advice}", status=status)

    def format_refusal(self, answer: Answer, what: str) -> str:
        """Return one line that says why the site rejects a request."""
        reason = words.format_reason(answer.code, answer.message)
        return f"{self.url} rejects {what}: {reason}{self.find_hint(answer.code)}"

    def find_hint(self, code: int | None) -> str:
        """Return the advice to use the other site, where that is a likely cause of a code; else an empty text."""
        if code not in words.OTHER_SITE or "runninghub." not in self.url:
            return ""
        other = self.url.replace(".cn", ".ai") if ".cn" in self.url else self.url.replace(".ai", ".cn")
        return (
            f". Keys, workflows and files belong to one of the two sites: if yours are on {other}, "
            f"give runninghub_url={other!r}"
        )

    def _build_connection_error(self, error: Exception) -> ServerError:
        import httpx

        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)):
            why = str(error) or type(error).__name__
            advice = " (verify= sets which certificates are trusted)" if "CERTIFICATE" in why else ""
            return ServerError(f"RunningHub can't be reached at {self.url}: {one_line(why, 200)}{advice}")
        if isinstance(error, httpx.TimeoutException):
            return ServerError(f"no answer from {self.url} in time", sent=True)
        return ServerError(
            f"the connection to {self.url} broke: {one_line(str(error), 200).rstrip('.') or type(error).__name__}",
            sent=True,
        )


def is_temporary(error: ComfyKitError) -> bool:
    """Return whether a request may work when it is repeated."""
    return isinstance(error, ServerError) and error.status not in _PERMANENT


def _remove_secret(content: Any, secret: str, hidden: str) -> Any:
    """Return JSON with `hidden` in place of one of our secrets, however it is spelt there."""
    if isinstance(content, str):
        return content.replace(secret, hidden)
    if isinstance(content, list):
        return [_remove_secret(each, secret, hidden) for each in content]
    if isinstance(content, dict):
        return {name.replace(secret, hidden): _remove_secret(each, secret, hidden) for name, each in content.items()}
    return content


def find_object(answer: Answer) -> Mapping[str, Any]:
    """Return the object that was asked for, out of its envelope if it has one."""
    return to_mapping(answer.data) if "data" in answer.body and "status" not in answer.body else answer.body
