"""Where the results are: a server on a port and a host of its own, as an object store that knows no keys."""

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
    """What came: at the API or at the file server."""

    endpoint: str
    """The name of the endpoint; `""` for a path that there is not."""
    method: str
    path: str
    """The path with its query, as it was sent."""
    headers: Mapping[str, str]
    body: Any
    """What the JSON said, or the fields of a form (of a file: name, media type and size); None without a body."""

    def __str__(self) -> str:
        return f"{self.method} {self.path} {dict(self.headers)} {self.body}"


class Files:
    """The files by path, what was asked for, and which secrets came along."""

    def __init__(self, known_secrets: Callable[[], Iterable[str]]) -> None:
        self.contents: dict[str, tuple[bytes, str]] = {}
        """Bytes and media type by path."""
        self.requests: list[Request] = []
        self.expired: int | None = None
        """403 or 404: what every address answers by now."""
        self.name: Callable[[str], str] = lambda name: name
        """Gives results other names than their nodes did."""
        self.url = ""
        """The address of the server; a test may say another one, that of a host that must not be asked."""
        self._secrets = known_secrets

    @property
    def leaks(self) -> list[str]:
        """What came here and must not: credentials, cookies, or a secret anywhere in a request."""
        found = []
        for request in self.requests:
            names = {name.lower() for name in request.headers}
            found += [f"{request.path}: {name}" for name in sorted(names & {"authorization", "cookie", "x-api-key"})]
            found += [f"{request.path}: a secret" for secret in self._secrets() if secret in unquote(str(request))]
        return found

    def add(self, output: Output) -> str:
        """Keep a result; gives the path of its address."""
        name = PurePosixPath(self.name(output.name))
        letters = "".join(random.choices(string.ascii_lowercase, k=5))
        return self.put(
            f"/{USER}/output/{name.stem.rstrip('_')}_{letters}_{int(time.time())}{name.suffix}", output.content
        )

    def put(self, path: str, content: bytes) -> str:
        """Keep bytes below a path."""
        self.contents[path] = (content, _guess_media_type(path))
        return path

    def build_url(self, path: str) -> str:
        """Where a file is."""
        return self.url + quote(path)

    def answer(self, request: web.Request) -> web.Response:
        """The file, or that there is none."""
        if request.method not in {"GET", "HEAD"}:
            return _build_error(405, "MethodNotAllowed", "The method is not allowed", request.path)
        if self.expired is not None:
            return _build_error(self.expired, *_EXPIRED[self.expired], request.path)
        if request.path not in self.contents:
            return _build_error(404, *_EXPIRED[404], request.path)
        content, media_type = self.contents[request.path]
        return web.Response(body=content, headers={"Content-Type": media_type, "Server": "tencent-cos"})


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
