"""What the address of a server says: the parts of it that may be secret, and whether it is this machine."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, unquote_to_bytes, urlsplit

COMFY_API_PATH = "/api/v2"
"""The end of the address of a server that speaks Comfy API v2."""


@dataclass(frozen=True, repr=False)
class AddressSecrets:
    """The parts of a server's address that may be secret, and are never shown.

    Attributes:
        query: The query, which every request to the server carries.
        authorization: The header for the name and password.
    """

    query: str = ""
    authorization: str = ""

    @classmethod
    def parse(cls, url: str) -> AddressSecrets:
        """Return the secrets of an address that `_check_server_url` accepts."""
        parts = urlsplit(url.strip() if "://" in url else f"http://{url.strip()}")
        query = quote(parts.query, safe="!$&'()*+,;=:@/?%~")
        login, separator, _ = parts.netloc.rpartition("@")
        if not separator:
            return cls(query)
        login = login if ":" in login else f"{login}:"
        return cls(query, f"Basic {base64.b64encode(unquote_to_bytes(login)).decode()}")


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
