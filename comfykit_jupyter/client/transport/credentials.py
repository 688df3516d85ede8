"""What tells a server who we are: the headers made from `api_key`, `cookies` and `headers`. They go to it alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from comfykit_jupyter.client.errors import ServerError, SettingsError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.anonymous import get
from comfykit_jupyter.client.transport.body import TooLarge, whole

COOKIES_LIMIT = 1 << 20
"""Bytes of the page that gives the cookies at the most."""


async def secret_headers(settings: Settings) -> dict[str, str]:
    """The headers that every request to the server carries.

    Raises:
        SettingsError: one of them can't be used. ServerError: the page that gives the cookies can't be read.
    """
    headers = dict(settings.headers)
    if settings.api_key:
        headers.setdefault("Authorization", f"Bearer {settings.api_key}")
    if cookies := settings.cookies:
        if cookies.startswith(("http://", "https://")):
            cookies = await _fetch_cookies(cookies)
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in _parse_cookies(cookies).items())
    _check(headers)
    return headers


async def _fetch_cookies(url: str) -> str:
    """The text of the page that gives the cookies: fetched once, with no secret of ours."""
    import httpx

    try:
        async with get(url, 10) as response:
            text = (await whole(response, COOKIES_LIMIT)).text
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TooLarge) as error:
        raise ServerError(f"cookies: the page that gives them can't be read: {type(error).__name__}") from None
    if response.status_code != 200:
        raise ServerError(f"cookies: {urlsplit(url).hostname} answers {response.status_code} instead of giving them")
    return text


def _check(headers: Mapping[str, str]) -> None:
    """Refuse what no header can carry, before a library names it in an error of its own, value and all.

    Raises:
        SettingsError: a name or value has characters of that kind. The message does not show the value.
    """
    for name, value in headers.items():
        fine = isinstance(name, str) and isinstance(value, str) and name and not set(name) & set(" :")
        if not fine or not f"{name}{value}".isascii() or not f"{name}{value}".isprintable():
            raise SettingsError(
                f"the header {ascii(name)[:40]} can't be sent: name and value must be printable ASCII "
                "(it is from api_key=, cookies= or headers=)"
            )


def _parse_cookies(text: str) -> dict[str, str]:
    """Cookies by name, from a JSON object or from `name=value; other=value`.

    Raises:
        SettingsError: it is neither.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            raise SettingsError(
                "cookies: looks like JSON, but can't be read as an object of names and values"
            ) from None
        return {str(name): str(value) for name, value in found.items()}
    pairs = [part.strip().partition("=") for part in text.split(";") if part.strip()]
    if not pairs or any(not separator or not name.strip() for name, separator, _ in pairs):
        raise SettingsError("cookies: give a JSON object, `name=value; other=value`, or the URL of a page with either")
    return {name.strip(): value.strip() for name, _, value in pairs}
