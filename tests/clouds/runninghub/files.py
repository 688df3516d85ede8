"""The file server: an object store on its own port and host name, which needs no key."""

from __future__ import annotations

import mimetypes
import random
import secrets
import string
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import web

from .task import USER, Output

_EXPIRED = {
    403: ("AccessDenied", "Request has expired"),
    404: ("NoSuchKey", "The specified key does not exist."),
}


@dataclass(frozen=True)
class Request:
    """A recorded request to the API or the file server."""

    endpoint: str
    """Name of the endpoint; empty for an unknown path."""
    method: str
    path: str
    """The raw path with its query."""
    headers: Mapping[str, str]
    body: Any
    """The JSON, or the form fields (for a file: name, media type and size); None without a body."""

    def __str__(self) -> str:
        return f"{self.method} {self.path} {dict(self.headers)} {self.body}"


class Files:
    """The files by path, and the requests for them."""

    def __init__(self, known_secrets: Callable[[], Iterable[str]]) -> None:
        self.contents: dict[str, tuple[bytes, str]] = {}
        """Bytes and media type by path."""
        self.requests: list[Request] = []
        self.expired: int | None = None
        """Status (403 or 404) of every URL once it has expired."""
        self.name: Callable[[str], str] = lambda name: name
        """Changes the names of outputs."""
        self.url = ""
        """Address of the server; a test can replace it by one that must not be requested."""
        self.expected: set[str] = set()
        """Paths to which a client may send a file."""
        self._secrets = known_secrets

    @property
    def leaks(self) -> list[str]:
        """Credentials, cookies and secrets in requests, which must never arrive here."""
        found = []
        for request in self.requests:
            names = {name.lower() for name in request.headers}
            found += [f"{request.path}: {name}" for name in sorted(names & {"authorization", "cookie", "x-api-key"})]
            found += [f"{request.path}: a secret" for secret in self._secrets() if secret in unquote(str(request))]
        return found

    def add(self, output: Output) -> str:
        """Store an output and return its path."""
        name = PurePosixPath(self.name(output.name))
        letters = "".join(random.choices(string.ascii_lowercase, k=5))
        return self.put(
            f"/{USER}/output/{name.stem.rstrip('_')}_{letters}_{int(time.time())}{name.suffix}", output.content
        )

    def put(self, path: str, content: bytes) -> str:
        """Store bytes and return their path."""
        self.contents[path] = (content, _guess_media_type(path))
        return path

    def expect(self, path: str) -> str:
        """Return the URL to which a client may send a file with PUT."""
        self.expected.add(path)
        return self.build_url(path)

    def build_url(self, path: str) -> str:
        """Return a file's URL."""
        return self.url + quote(path)

    def answer(self, request: web.Request, content: bytes = b"") -> web.Response:
        """Return the file, or an error; keep a file that was expected."""
        if request.method == "PUT" and request.path in self.expected:
            self.put(request.path, content)
            return web.Response(headers={"Server": "tencent-cos"})
        if request.method not in {"GET", "HEAD"}:
            return _build_error(405, "MethodNotAllowed", "The method is not allowed", request.path)
        if self.expired is not None:
            return _build_error(self.expired, *_EXPIRED[self.expired], request.path)
        if request.path not in self.contents:
            return _build_error(404, *_EXPIRED[404], request.path)
        stored, media_type = self.contents[request.path]
        return web.Response(body=stored, headers={"Content-Type": media_type, "Server": "tencent-cos"})


def _guess_media_type(path: str) -> str:
    if path.endswith(".txt"):
        return "text/plain; charset=utf-8"
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def _build_error(status: int, code: str, message: str, path: str) -> web.Response:
    text = (
        "<?xml version='1.0' encoding='utf-8' ?>\n"
        f"<Error>\n\t<Code>{code}</Code>\n\t<Message>{message}</Message>\n\t<Resource>{quote(path)}</Resource>\n"
        f"\t<RequestId>{secrets.token_hex(8)}</RequestId>\n</Error>\n"
    )
    return web.Response(status=status, text=text, content_type="application/xml")
