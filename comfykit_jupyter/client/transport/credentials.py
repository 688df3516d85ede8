"""The headers that authenticate us to a server, built from `api_key`, `cookies` and `headers`; only it gets them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from comfykit_jupyter.client.errors import ServerError, SettingsError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.anonymous import open_url
from comfykit_jupyter.client.transport.body import TooLarge, read_body

COOKIES_LIMIT = 1 << 20
"""Maximum size in bytes of the page that gives the cookies."""


async def build_secret_headers(settings: Settings) -> dict[str, str]:
    """Build the headers that every request to the server carries.

    Raises:
        SettingsError: One of them can't be used.
        ServerError: The page that gives the cookies can't be read.
    """
    headers = dict(settings.headers)
    if settings.address_secrets.authorization:
        headers["Authorization"] = settings.address_secrets.authorization
    if settings.api_key:
        headers.setdefault("Authorization", f"Bearer {settings.api_key}")
    if cookies := settings.cookies:
        if cookies.startswith(("http://", "https://")):
            cookies = await _fetch_cookies(cookies)
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in _parse_cookies(cookies).items())
    _check_headers(headers)
    return headers


async def _fetch_cookies(url: str) -> str:
    """Return the text of the page that gives the cookies: it is read once, without our secrets."""
    import httpx

    try:
        async with open_url(url, 10) as response:
            text = (await read_body(response, COOKIES_LIMIT)).text
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TooLarge) as error:
        raise ServerError(f"cookies: the page with the cookies can't be read: {type(error).__name__}") from None
    if response.status_code != 200:
        raise ServerError(f"cookies: {urlsplit(url).hostname} answers {response.status_code} instead of cookies")
    return text


def _check_headers(headers: Mapping[str, str]) -> None:
    """Reject what a header can't carry, before a library does so in an error that shows the value.

    Raises:
        SettingsError: A name or value has such characters. The message does not show the value.
    """
    for name, value in headers.items():
        fine = isinstance(name, str) and isinstance(value, str) and name and not set(name) & set(" :")
        if not fine or not f"{name}{value}".isascii() or not f"{name}{value}".isprintable():
            raise SettingsError(
                f"the header {ascii(name)[:40]} can't be sent: name and value must be printable ASCII "
                "(it comes from api_key=, cookies= or headers=)"
            )


def _parse_cookies(text: str) -> dict[str, str]:
    """Parse cookies, by name, from a JSON object or from `name=value; other=value`.

    Raises:
        SettingsError: The text is neither.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise SettingsError(
                "cookies: looks like JSON, but can't be read as an object of names and values"
            ) from None
        return {str(name): str(value) for name, value in found.items()}
    pairs = [part.strip().partition("=") for part in text.split(";") if part.strip()]
    if not pairs or any(not separator or not name.strip() for name, separator, _ in pairs):
        raise SettingsError("cookies: give a JSON object, `name=value; other=value`, or the URL of a page with either")
    return {name.strip(): value.strip() for name, _, value in pairs}
