"""GET from other people's servers: with no secret of ours, and without the address, which may hold one, in any log."""

from __future__ import annotations

import base64
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from comfykit_jupyter.client.settings import is_loopback

if TYPE_CHECKING:
    from ssl import SSLContext

    import httpx

REDIRECTS = 5


@contextlib.asynccontextmanager
async def get(
    url: str, timeout: float, redirects: int = REDIRECTS, *, tls: SSLContext | None = None, proxy: str | None = None
) -> AsyncIterator[httpx.Response]:
    """The answer to a GET, its body still to be read; redirects are followed.

    A client of httpx would log every address, query and all; its transport does not.

    Args:
        url: the address.
        timeout: seconds without a byte.
        redirects: that are followed at most.
        tls: whose certificates are believed; else whose the machine does.
        proxy: the address of a proxy on the way; else the environment's.

    Raises:
        httpx.HTTPError, httpx.InvalidURL, ValueError: there is none.
    """
    from urllib.request import getproxies, proxy_bypass

    import httpx

    target = httpx.URL(url)
    for _ in range(redirects + 1):
        if target.scheme not in ("http", "https") or not target.host:
            raise ValueError("it is no http address")
        direct = is_loopback(str(target)) or proxy_bypass(target.host)
        way = proxy or (None if direct else getproxies().get(target.scheme))
        headers = {"User-Agent": "comfykit-jupyter", "Accept": "*/*"}
        if target.userinfo:
            headers["Authorization"] = f"Basic {base64.b64encode(unquote_to_bytes(target.userinfo)).decode()}"
        times = httpx.Timeout(timeout).as_dict()
        request = httpx.Request("GET", target, headers=headers, extensions={"timeout": times})
        believed = tls or (_machines() if target.scheme == "https" else False)
        async with httpx.AsyncHTTPTransport(verify=believed, proxy=way) as transport:
            response = await transport.handle_async_request(request)
            response.request = request
            try:
                if not response.has_redirect_location:
                    yield response
                    return
                target = target.join(response.headers["location"])
            finally:
                await response.aclose()
    raise ValueError("it redirects again and again")


@functools.cache
def _machines() -> SSLContext:
    """The certificates that the machine believes: reading them takes longer than many a request."""
    import httpx

    return httpx.create_ssl_context()
