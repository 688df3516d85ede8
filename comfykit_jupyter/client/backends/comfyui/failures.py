"""The errors for requests to a ComfyUI server that fail, in words that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.transport.body import TooLarge
from comfykit_jupyter.client.transport.connection import describe_redirect

if TYPE_CHECKING:
    import httpx


def raise_for_status(url: str, response: httpx.Response) -> None:
    """Raise ServerError for an answer that is a redirect, asks for authentication, or is the server's failure."""
    status = response.status_code
    if status in (401, 403):
        advice = "check api_key=, cookies= or headers="
        raise ServerError(f"authentication failed at {url} ({status}): {advice}", status=status)
    if 300 <= status < 400:
        target = describe_redirect(response.headers.get("location", ""))
        raise ServerError(f"{url} redirects to {target}: give that address, if you trust it", status=status)
    if status >= 500:
        raise ServerError(f"{url} answers {status} to {response.request.url.path}", status=status, sent=True)


def build_connection_error(url: str, error: Exception) -> ServerError:
    """Describe why there is no answer, from the error of httpx."""
    import httpx

    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return ServerError(
            f"no ComfyUI server at {url}: start it, or give another address (comfyui_url=, COMFYUI_BASE_URL, "
            "%comfykit connect URL)"
        )
    if isinstance(error, httpx.TimeoutException):
        return ServerError(f"no answer from {url} in time: is the server busy?", sent=True)
    return ServerError(f"the connection to {url} broke: {str(error) or type(error).__name__}", sent=True)


def build_nonsense_error(url: str, path: str) -> ServerError:
    """Describe an answer that is not the one of a ComfyUI server."""
    return ServerError(f"{url} is not a ComfyUI server: its answer to {path} makes no sense")


def build_size_error(url: str, path: str, error: TooLarge) -> ServerError:
    """Describe an answer that is larger than what is read."""
    return ServerError(f"the answer of {url} to {path} is too large: {error}", sent=True)
