"""GET from any server: without our secrets, and without logging the address, which may hold one.

This is not `httpx.AsyncClient(follow_redirects=True)`, for three reasons: that logs every address, it reads the body of
each redirect without a limit, and it uses the environment's proxy for addresses of this machine as well.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit

from comfykit_jupyter.client.addresses import is_loopback
from comfykit_jupyter.client.transport.tls import build_tls_context

if TYPE_CHECKING:
    from ssl import SSLContext

    import httpx

REDIRECTS = 5
"""How many redirects are followed."""


@contextlib.asynccontextmanager
async def open_url(
    url: str,
    timeout: float,
    redirects: int = REDIRECTS,
    *,
    tls: SSLContext | None = None,
    proxy: str | None = None,
    more: Mapping[str, str] | None = None,
    check: Callable[[httpx.URL], None] | None = None,
    on_redirect: Callable[[httpx.Response], None] | None = None,
) -> AsyncIterator[httpx.Response]:
    """Send a GET, follow redirects, and yield the answer, whose body is not read yet.

    Args:
        url: The address.
        timeout: Seconds without a byte.
        redirects: How many redirects are followed.
        tls: Whose certificates are accepted; by default those that the machine trusts.
        proxy: The address of a proxy; by default the environment's.
        more: Further headers.
        check: Is called with each address before the request, and may raise an error.
        on_redirect: Is called with each redirect.

    Raises:
        httpx.HTTPError: There is no answer.
        httpx.InvalidURL, ValueError: It is not an HTTP address, or there are too many redirects.
    """
    import httpx

    target = httpx.URL(url)
    for _ in range(redirects + 1):
        if target.scheme not in ("http", "https") or not target.host:
            raise ValueError("it is not an HTTP address")
        if check is not None:
            check(target)
        route = proxy or find_proxy(str(target))
        headers = {"User-Agent": "comfykit-jupyter", "Accept": "*/*", **(more or {})}
        if target.userinfo:
            headers["Authorization"] = f"Basic {base64.b64encode(unquote_to_bytes(target.userinfo)).decode()}"
        times = httpx.Timeout(timeout).as_dict()
        request = httpx.Request("GET", target, headers=headers, extensions={"timeout": times})
        trusted = tls or (build_tls_context() if target.scheme == "https" else False)
        async with httpx.AsyncHTTPTransport(verify=trusted, proxy=route) as transport:
            response = await transport.handle_async_request(request)
            response.request = request
            try:
                if not response.has_redirect_location:
                    yield response
                    return
                if on_redirect is not None:
                    on_redirect(response)
                target = target.join(response.headers["location"])
            finally:
                await response.aclose()
    raise ValueError("too many redirects")


def find_proxy(url: str) -> str | None:
    """Return the environment's proxy for an address; None for one of this machine."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    direct = is_loopback(url) or proxy_bypass(parts.hostname or "")
    return None if direct else getproxies().get(parts.scheme)
