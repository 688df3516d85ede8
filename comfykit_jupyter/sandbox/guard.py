"""Protection against other sites' pages: requests of another origin and DNS rebinding are rejected."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is a loopback one."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_guard(*, allow_remote: bool) -> Middleware:
    """Return the middleware that answers 403 to requests from other sites' pages.

    Any page can send requests to 127.0.0.1. Its `Origin` header shows that it is not the server's own page. If the
    page's name was made to resolve to 127.0.0.1 (DNS rebinding), its `Host` header is not a name of this machine.

    Args:
        allow_remote: Whether the server also serves other machines, under any host name.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _parse_url(f"//{request.headers.get(hdrs.HOST, '')}")
        if not allow_remote and not (host is not None and is_loopback(host.hostname or "")):
            raise web.HTTPForbidden(text="The Host header does not name this machine.")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not _is_same_origin(_parse_url(origin), host):
            raise web.HTTPForbidden(text="The request comes from a page of another origin.")
        # Following a link is harmless: it changes nothing, and the other page can't read the response.
        followed = request.method == hdrs.METH_GET and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and not followed:
            raise web.HTTPForbidden(text="The request comes from a page of another site.")
        return await handler(request)

    return check


def _parse_url(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # the port is parsed, and may raise, only when accessed
    except ValueError:
        return None
    return parts


def _is_same_origin(origin: SplitResult | None, host: SplitResult | None) -> bool:
    if origin is None or host is None or not origin.hostname:
        return False
    default = {"http": 80, "https": 443}.get(origin.scheme)
    return (origin.hostname, origin.port or default) == (host.hostname, host.port or default)
