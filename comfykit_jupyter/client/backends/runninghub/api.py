"""Requests to RunningHub: its envelopes and codes, the key in nothing but the requests to its site.

What changes nothing is asked again when that may help; a task is never created twice: see `Api.create`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ssl import SSLError
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.anonymous import get
from comfykit_jupyter.client.transport.body import TooLarge, whole
from comfykit_jupyter.client.transport.connection import Connection, retry_after
from comfykit_jupyter.client.transport.tls import tls_context
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.untrusted_json import to_mapping

if TYPE_CHECKING:
    import httpx

_Exchanged: TypeAlias = "tuple[int, httpx.Headers, bytes]"
"""Status, headers, content."""

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer at the most."""
ANSWER_TIMEOUT = 120.0
"""Seconds for a whole answer, however slowly it comes; for a file that is sent, see `SENDING_TIMEOUT`."""
SENDING_TIMEOUT = 3600.0
PAUSE, PAUSE_MOST = 1.0, 8.0
"""Seconds before what changes nothing is asked again: twice as many each time."""
_HIDDEN = "[key]"


class Busy(ServerError):
    """Not now: `pause` says in how many seconds, where the site does."""

    def __init__(self, message: str, code: int | None = None, pause: float = 0) -> None:
        super().__init__(message, status=429)
        self.code = code
        self.pause = pause


@dataclass(frozen=True)
class Answer:
    """What the site answered, in either of its envelopes, or without one."""

    status: int
    body: Mapping[str, Any]

    @property
    def code(self) -> int | None:
        """The code; None where there is none."""
        return words.parse_code(self.body.get("code"))

    @property
    def said(self) -> str:
        """What it says about that."""
        return one_line(str(self.body.get("msg") or self.body.get("message") or ""), 500)

    @property
    def data(self) -> Any:
        """What was asked for."""
        return self.body.get("data")


class Api:
    """The site, for one key. Lives on the background loop; made without contacting it."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.runninghub_url
        self.settings = settings
        self._key = settings.runninghub_api_key
        self._again = max(0, settings.runninghub_retry_count)
        self.connection = Connection(self.url, settings, self._headers)

    async def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.key}", "User-Agent": "comfykit-jupyter"}

    @property
    def key(self) -> str:
        """The key.

        Raises:
            ServerError: there is none, or none that a header can carry.
        """
        key = self._key
        if not key:
            raise ServerError(
                "RunningHub needs a key: give runninghub_api_key= or set RUNNINGHUB_API_KEY "
                f"(the site has it, for members, under API: {self.url})",
                status=401,
            )
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ServerError("runninghub_api_key: a key is 32 letters and digits, without spaces", status=401)
        return key

    async def ask(self, path: str, body: Mapping[str, Any], *, keyed: bool = True, again: int | None = None) -> Answer:
        """A POST that changes nothing: asked again after a while where that may help.

        Args:
            path: of the route.
            body: what is asked; with `keyed` the key is added, as the older routes want it.
            again: how often it is asked again; as the settings say if not given.

        Raises:
            Busy: it is asked too often, or has a moment of weakness.
            ServerError: no answer, or one that is none. Any code is returned.
        """
        return await self._patiently(
            lambda: self.post(path, {"apiKey": self.key, **body} if keyed else body),
            self._again if again is None else again,
        )

    async def _patiently(self, send: Callable[[], Awaitable[Answer]], left: int) -> Answer:
        pause = PAUSE
        while True:
            try:
                answer = await send()
                if answer.code not in words.PASSING:
                    return answer
                failure: ServerError = Busy(f"{self.url}: {words.format_reason(answer.code, answer.said)}", answer.code)
            except ServerError as error:
                if error.status in (301, 302, 303, 307, 308, 401, 403, 404):
                    raise
                failure = error
            if left <= 0:
                raise failure
            left -= 1
            await asyncio.sleep(max(pause, failure.pause if isinstance(failure, Busy) else 0))
            pause = min(2 * pause, PAUSE_MOST)

    async def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """A POST of JSON, sent once.

        Raises:
            Busy: HTTP 429. ServerError: no answer, or none in JSON; `sent` says whether it may have been carried out.
        """
        content = json.dumps(body, allow_nan=False).encode()
        return await self._send(self._post(path, content=content, headers={"Content-Type": "application/json"}))

    async def send_file(self, path: str, files: Mapping[str, Any], data: Mapping[str, str]) -> Answer:
        """A POST of a file, sent once. Raises as `post`."""
        return await self._send(self._post(path, files=files, data=data), SENDING_TIMEOUT)

    async def app_demo(self, webapp_id: str) -> Answer:
        """What may be set of an app. The one route that wants the key in its address: that is in no log.

        Raises:
            ServerError: no answer, or one that is none.
        """
        query = urlencode({"apiKey": self.key, "webappId": webapp_id})
        return await self._patiently(
            lambda: self._send(self._get(f"{self.url}/api/webapp/apiCallDemo?{query}")), self._again
        )

    async def _send(self, exchange: Awaitable[_Exchanged], within: float | None = None) -> Answer:
        import httpx

        try:
            within = ANSWER_TIMEOUT if within is None else within
            status, headers, content = await loop.wait_for(exchange, within)
        except asyncio.TimeoutError:
            raise ServerError(f"no answer from {self.url} within {within:g} s", sent=True) from None
        except (httpx.HTTPError, SSLError) as error:
            raise self._unreachable(error) from None
        if status == 429:
            told = headers.get("retry-after")
            raise Busy(f"{self.url} is asked too often (429)", pause=retry_after(told) if told else 0)
        if 300 <= status < 400:
            raise self._redirects(status)
        try:
            body = _without(json.loads(content.decode("utf-8-sig", "replace")), self.key)
        except (ValueError, RecursionError):
            body = None
        answer = Answer(status, body if isinstance(body, dict) else {})
        if answer.code is None and status in (401, 403):
            raise ServerError(f"{self.url} refuses us ({status}): check runninghub_api_key=", status=status)
        if not isinstance(body, dict) or status >= 500 or (answer.code is None and 400 <= status != 404):
            what = f": {answer.said}" if answer.said else "" if answer.body else " with something that is no answer"
            maybe = status in (200, 408) or status >= 500
            raise ServerError(f"{self.url} answers {status}{what}", status=status, sent=maybe)
        return answer

    async def _post(self, path: str, **options: Any) -> _Exchanged:
        client = await self.connection.client()
        async with client.stream("POST", f"{self.url}{path}", **options) as response:
            return await self._read(response)

    async def _get(self, url: str) -> _Exchanged:
        tls, proxy = tls_context(self.settings.verify), self.settings.proxy
        try:
            async with get(url, ANSWER_TIMEOUT, redirects=0, tls=tls, proxy=proxy) as response:
                return await self._read(response)
        except ValueError:
            raise self._redirects(302) from None

    async def _read(self, response: httpx.Response) -> _Exchanged:
        try:
            read = await whole(response, ANSWER_LIMIT)
        except TooLarge as error:
            raise ServerError(f"{self.url} answers with {error}", sent=True) from None
        return read.status_code, read.headers, read.content

    def _redirects(self, status: int) -> ServerError:
        return ServerError(f"{self.url} redirects to another address: give that, if you trust it", status=status)

    def line(self, answer: Answer, what: str) -> str:
        """One line that says why the site does not do what it was asked for."""
        return f"{self.url} refuses {what}: {words.format_reason(answer.code, answer.said)}{self.hint(answer.code)}"

    def hint(self, code: int | None) -> str:
        """That the other site may be meant, where that is a likely cause."""
        if code not in words.OTHER_SITE or "runninghub." not in self.url:
            return ""
        other = self.url.replace(".cn", ".ai") if ".cn" in self.url else self.url.replace(".ai", ".cn")
        return (
            f". Keys, workflows and files belong to one of its sites: if these are of {other}, "
            f"give runninghub_url={other!r}"
        )

    def _unreachable(self, error: Exception) -> ServerError:
        import httpx

        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)):
            why = str(error) or type(error).__name__
            advice = " (verify= says whose certificates are believed)" if "CERTIFICATE" in why else ""
            return ServerError(f"RunningHub can't be reached at {self.url}: {one_line(why, 200)}{advice}")
        if isinstance(error, httpx.TimeoutException):
            return ServerError(f"no answer from {self.url} in time", sent=True)
        return ServerError(
            f"the connection to {self.url} broke: {one_line(str(error), 200).rstrip('.') or type(error).__name__}",
            sent=True,
        )


def _without(told: Any, key: str) -> Any:
    """What was told without our key, however that was spelt in its JSON."""
    if isinstance(told, str):
        return told.replace(key, _HIDDEN)
    if isinstance(told, list):
        return [_without(each, key) for each in told]
    if isinstance(told, dict):
        return {name.replace(key, _HIDDEN): _without(each, key) for name, each in told.items()}
    return told


def told_of(answer: Answer) -> Mapping[str, Any]:
    """The object that was asked for, in its envelope or without one."""
    return to_mapping(answer.data) if "data" in answer.body and "status" not in answer.body else answer.body
