"""Start and stop an HTTP server, so that it leaves no connection open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl

_ACCEPTING = 3
"""Turns of the event loop until asyncio has handed over a connection that it accepted."""
_OTHERS = 0.2
"""Seconds for tasks that have not ended with their server, such as a TLS handshake."""


async def start_server(
    runner: web.BaseRunner, host: str, port: int = 0, tls: ssl.SSLContext | None = None
) -> socket.socket:
    """Listen on an address, and return the listening socket; see `stop_server`.

    Raises:
        OSError: The server can't listen on this address.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(address[:2], family=family, backlog=128)
    await web.SockSite(runner, listener, ssl_context=tls).start()
    return listener


async def stop_server(runner: web.BaseRunner, listener: socket.socket) -> None:
    """Stop a server, and cut its connections: a peer that reads nothing would keep them open."""
    if (server := runner.server) is None:  # it was never set up
        return
    # asyncio forgets a connection that it is accepting when its server is closed: the socket would stay open.
    with contextlib.suppress(NotImplementedError):  # on Windows its loop has no readers
        asyncio.get_running_loop().remove_reader(listener)
    for _ in range(_ACCEPTING):
        await asyncio.sleep(0)
    transports = {handler.transport for handler in server.connections}
    await runner.cleanup()
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=_OTHERS)
    for transport in transports | {handler.transport for handler in server.connections}:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
    await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn
