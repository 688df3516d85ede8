"""Add the query of a server's address to every request: below httpx, which logs the addresses of requests."""

from __future__ import annotations

import httpx


class QueryTransport(httpx.AsyncBaseTransport):
    """A transport that adds a query to the address of each request. The request itself does not change.

    Args:
        query: The query, as in an address.
        transport: What sends the requests.
    """

    def __init__(self, query: str, transport: httpx.AsyncBaseTransport) -> None:
        self._query = query.encode()
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        query = b"&".join(filter(None, [request.url.query, self._query]))
        return await self._transport.handle_async_request(
            httpx.Request(
                request.method,
                request.url.copy_with(query=query),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()
