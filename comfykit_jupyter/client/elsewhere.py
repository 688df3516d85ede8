"""GET from other people's servers: with no secret of ours, and without the address, which may hold one, in any log."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    import httpx

REDIRECTS = 5


@contextlib.asynccontextmanager
async def get(url: str, timeout: float, redirects: int = REDIRECTS) -> AsyncIterator[httpx.Response]:
    """The answer to a GET, its body still to be read; redirects are followed.

    A client of httpx would log every address, query and all; its transport does not.

    Args:
        url: the address.
        timeout: seconds without a byte.
        redirects: that are followed at most.

    Raises:
        httpx.HTTPError, httpx.InvalidURL, ValueError: there is none.
    """
    from urllib.request import getproxies, proxy_bypass

    import httpx

    target = httpx.URL(url)
    for _ in range(redirects + 1):
        if target.scheme not in ("http", "https") or not target.host:
            raise ValueError("it is no http address")
        proxy = None if proxy_bypass(target.host) else getproxies().get(target.scheme)
        headers = {"User-Agent": "comfykit-jupyter", "Accept": "*/*"}
        if target.userinfo:
            headers["Authorization"] = f"Basic {base64.b64encode(unquote_to_bytes(target.userinfo)).decode()}"
        times = httpx.Timeout(timeout).as_dict()
        request = httpx.Request("GET", target, headers=headers, extensions={"timeout": times})
        async with httpx.AsyncHTTPTransport(proxy=proxy) as transport:
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
