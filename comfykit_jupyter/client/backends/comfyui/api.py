"""`Api`: the HTTP routes of a ComfyUI server, and what their answers may be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from comfykit_jupyter.client.backends.comfyui.failures import (
    build_connection_error,
    build_nonsense_error,
    build_size_error,
    raise_for_status,
)
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.body import TooLarge, parse_body
from comfykit_jupyter.client.transport.connection import LIST_LIMIT, Connection
from comfykit_jupyter.client.transport.credentials import build_secret_headers
from comfykit_jupyter.client.transport.deadline import get_silence
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.progress.records import QUEUE_PARTS, count_outputs, is_queue, is_record, keep_ids
from comfykit_jupyter.workflow.untrusted_json import MAX_ALL_ELEMENTS, parse_json, parse_members

if TYPE_CHECKING:
    import httpx

    from comfykit_jupyter.client.transport.tunnel import Tunnel

CONNECT_TIMEOUT = 5.0
"""Seconds for a connection."""
POOL = 16
"""Maximum number of connections; a hundred runs at once take turns on them."""
MAX_OUTPUTS = 20_000
"""The most outputs of one job that are read."""


class Api:
    """The HTTP routes of one server. It lives on the background loop, but can be created in any thread.

    Args:
        settings: How the server is reached.
        on_new_loop: Called when the event loop is not the one of before.
        tunnel: Another way to the server.
    """

    def __init__(self, settings: Settings, on_new_loop: Callable[[], None], tunnel: Tunnel | None = None) -> None:
        self.url = settings.comfyui_url
        self.version: str | None = None
        """The version of ComfyUI, once it has been read."""
        self._patience = settings.patience
        headers = partial(build_secret_headers, settings)
        self._connection = Connection(
            self.url,
            settings,
            headers,
            connect=CONNECT_TIMEOUT,
            pool=POOL,
            query=settings.address_secrets.query,
            on_new_loop=on_new_loop,
            tunnel=tunnel,
        )

    async def open(self) -> Mapping[str, str]:
        """Prepare the connection for the running loop, and return the headers that authenticate us."""
        await self._connection.get_client()
        return self._connection.secrets

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self._connection.close()

    def lock_file(self, name: str) -> asyncio.Lock:
        """Return the lock of a file that is uploaded or downloaded: several runs that want it transfer it once."""
        return self._connection.lock_file(name)

    async def request(
        self,
        method: str,
        path: str,
        *,
        retry: bool | None = None,
        long: bool = False,
        size: int = 0,
        **options: Any,
    ) -> httpx.Response:
        """Send one request. A GET or HEAD is sent again, once, if a kept connection turns out to be closed.

        Args:
            method: GET, POST, …
            path: The path of the route.
            retry: Whether it may be sent twice; by default a GET or HEAD may.
            long: Whether the answer may take longer than the kit's patience, as long as it comes fast enough.
            size: Size of the request's body in bytes, which takes its time too.
            options: For httpx.

        Raises:
            ServerError: There is no answer, or its status is 3xx, 401, 403 or 5xx. Other answers are returned.
        """
        import httpx

        again = method in ("GET", "HEAD") if retry is None else retry
        silence = get_silence()
        within = silence.begin(self._patience, size)
        try:
            with self._connection.count_transfer(size):
                response = await self._connection.exchange(
                    method, path, again=again, within=within, long=long, **options
                )
        except httpx.HTTPError as error:
            raise build_connection_error(self.url, error) from None
        except TooLarge as error:
            raise build_size_error(self.url, path, error) from None
        raise_for_status(self.url, response)
        silence.end()
        return response

    @contextlib.asynccontextmanager
    async def stream(self, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """Send a GET whose body is read in chunks.

        Raises:
            ServerError: As `request`, and for any answer other than 200 and 206.
        """
        import httpx

        try:
            with self._connection.count_transfer():
                async with self._connection.stream("GET", path, **options) as response:
                    raise_for_status(self.url, response)
                    if (status := response.status_code) not in (200, 206):
                        raise ServerError(f"{self.url} answers {status} to {path}", status=status)
                    yield response
        except httpx.HTTPError as error:
            raise build_connection_error(self.url, error) from None

    async def request_json(
        self, method: str, path: str, *, parse: Callable[[bytes], Any] = parse_json, **options: Any
    ) -> Any:
        """Send a request and return the parsed body of its answer.

        Raises:
            ServerError: As `request`, and for any answer other than a 200 with JSON.
        """
        response = await self.request(method, path, **options)
        if response.status_code == 404:
            raise ServerError(f"{self.url} is not a ComfyUI server: it does not know {path}", status=404)
        if response.status_code != 200:
            raise ServerError(f"{self.url} answers {response.status_code} to {path}", status=response.status_code)
        try:
            return await parse_body(response.content, parse)
        except TooLarge as error:
            raise build_size_error(self.url, path, error) from None
        except (ValueError, RecursionError):
            raise build_nonsense_error(self.url, path) from None

    async def request_members(
        self, path: str, keep: Callable[[str, Any], Any], lists: Collection[str] = (), **options: Any
    ) -> dict[str, Any]:
        """Send a GET for a long list, and keep of each part of its answer only what `keep` returns.

        See `parse_members`.

        Raises:
            ServerError: The server can't be reached, or its answer is not an object.
        """
        parse = partial(parse_members, keep=keep, lists=lists)
        found: dict[str, Any] = await self.request_json(
            "GET", path, parse=parse, long=True, limit=LIST_LIMIT, **options
        )
        return found

    async def read_stats(self) -> Any:
        """Read `/system_stats`, and learn the server's version.

        Raises:
            ServerError: The server can't be reached, or its answer is not JSON.
        """
        stats = await self.request_json("GET", "/system_stats")
        self.version = _read_version(stats)
        return stats

    async def list_names(self, path: str) -> list[str]:
        """Return the names that a route lists, such as `/models` or `/object_info`; none if there is no such route.

        Raises:
            ServerError: The server can't be reached.
        """
        response = await self.request("GET", path, long=True, limit=LIST_LIMIT)
        try:
            parse = partial(parse_json, most=MAX_ALL_ELEMENTS)
            found = await parse_body(response.content, parse) if response.status_code == 200 else None
        except TooLarge as error:
            raise build_size_error(self.url, path, error) from None
        except (ValueError, RecursionError):
            found = None
        return [name for name in found if isinstance(name, str)] if isinstance(found, (list, dict)) else []

    async def read_queue(self, keep: Callable[[str, Any], Any] = keep_ids) -> Mapping[str, Any]:
        """Read `/queue`; of each item only what `keep` returns, by default its ID and client.

        Raises:
            ServerError: The server can't be reached, or its answer makes no sense.
        """
        queue = await self.request_members("/queue", keep, QUEUE_PARTS)
        if not is_queue(queue):
            raise build_nonsense_error(self.url, "/queue")
        return queue

    async def read_record(self, prompt_id: str) -> Mapping[str, Any] | None:
        """Read the record of a job that has ended; None if there is none.

        Raises:
            ServerError: The server can't be reached, or its answer makes no sense: that is not the same as no record.
        """
        found = await self.request_json("GET", f"/history/{quote(prompt_id, safe='')}")
        if found == {}:
            return None
        entry = found.get(prompt_id) if isinstance(found, dict) else None
        if not is_record(entry):
            raise build_nonsense_error(self.url, "/history")
        if count_outputs(entry) > MAX_OUTPUTS:
            raise build_size_error(self.url, "/history", TooLarge(f"more than {MAX_OUTPUTS:,} outputs"))
        return entry


def _read_version(stats: Any) -> str | None:
    system = stats.get("system") if isinstance(stats, dict) else None
    version = system.get("comfyui_version") if isinstance(system, dict) else None
    return one_line(version, 40) if isinstance(version, str) and version else None
