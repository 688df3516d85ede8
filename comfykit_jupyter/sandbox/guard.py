"""Who may speak to the server: no page of another origin, and, while it serves this machine only, no borrowed name."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_guard(*, allow_remote: bool) -> Middleware:
    """The middleware that answers 403 to requests from other sites' pages.

    A page can send a request to 127.0.0.1 as anybody can: its `Origin` tells it from the server's own page. If its own
    name was made to mean 127.0.0.1 (DNS rebinding), `Host` tells: it is no name of this machine.

    Args:
        allow_remote: the server is there for other machines as well, under whatever name.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _parse_url(f"//{request.headers.get(hdrs.HOST, '')}")
        if not allow_remote and not (host is not None and is_loopback(host.hostname or "")):
            raise web.HTTPForbidden(text="The host of the request is not this machine.")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not _is_same_origin(_parse_url(origin), host):
            raise web.HTTPForbidden(text="The request comes from a page of another origin.")
        # A link that somebody follows is no danger: it changes nothing, and the other page does not see the answer.
        followed = request.method == hdrs.METH_GET and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and not followed:
            raise web.HTTPForbidden(text="The request comes from a page of another site.")
        return await handler(request)

    return check


def _parse_url(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # is checked when it is asked for
    except ValueError:
        return None
    return parts


def _is_same_origin(origin: SplitResult | None, host: SplitResult | None) -> bool:
    if origin is None or host is None or not origin.hostname:
        return False
    default = {"http": 80, "https": 443}.get(origin.scheme)
    return (origin.hostname, origin.port or default) == (host.hostname, host.port or default)
