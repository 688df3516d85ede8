"""Download a model into a server's folder on this machine, by rules that a hostile workflow or host can't bend.

Only https, at every redirect, and without credentials. Only a safetensors file, whose header is checked before the rest
is read. One plain name in the folder, never over an existing file, never through a link. What has arrived is in a file
`NAME.part`, and the transfer continues there after a break.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.missing.safetensors import (
    LENGTH_BYTES,
    NotSafetensors,
    check_header,
    read_header_length,
)
from comfykit_jupyter.client.transport.anonymous import open_url
from comfykit_jupyter.workflow.editor.model_sources import is_download_address
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.file_names import to_safe_name

if TYPE_CHECKING:
    from ssl import SSLContext

    import httpx

SUFFIXES: Final = (".safetensors", ".sft")
TIMEOUT = 30.0
"""Seconds without a byte."""
ATTEMPTS = 6
"""How often a transfer is resumed without a byte between."""
RESERVE_BYTES = 2**28
"""Bytes of the disk that stay free."""
_CHUNK_BYTES = 2**20
_PAUSE = 1.0
"""Seconds before the first resumption; each of the next ones takes twice as long."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_DIGEST = re.compile(r'"?([0-9a-f]{64})"?')
_BASE64_DIGEST = re.compile(r"sha-256=:?([A-Za-z0-9+/]{43}=)", re.IGNORECASE)
_CONTENT_DIGESTS: Final[Mapping[int, tuple[str, ...]]] = {
    200: ("digest", "repr-digest", "content-digest"),
    206: ("digest", "repr-digest"),
}
"""The headers that have a digest of the whole file, by the status of the answer."""

_validators: dict[Path, str] = {}
"""The host's validator (`ETag`) of each unfinished file: if it differs, the transfer starts again."""
_active: set[Path] = set()


class DownloadError(ComfyKitError):
    """A model was not downloaded; the message says why."""


@dataclass(frozen=True)
class DownloadState:
    """How far a download is.

    Attributes:
        status: `running`, `checking`, `completed`, `failed` or `cancelled`.
        received: The bytes that have arrived.
        total: The bytes of the file; None until the host says so.
        host: The host that sends it, after all redirects; "" until it answers.
        verified: Whether the content has the digest that the host or the workflow gives.
        message: Why it failed.
    """

    status: str = "running"
    received: int = 0
    total: int | None = None
    host: str = ""
    verified: bool = False
    message: str = ""


class ModelDownload:
    """One download.

    Args:
        url: The address of the model.
        folder: The real path of the folder that it belongs in.
        name: Its name there.
        sha256: The digest that the workflow gives, if it does.
        notify: Is called with each state, often.
        tls: Whose certificates are accepted; by default those that the machine trusts.
        pause: Seconds before the first resumption.

    Raises:
        DownloadError: The address or the name is not accepted.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        name: str,
        *,
        sha256: str = "",
        notify: Callable[[DownloadState], None] = lambda _state: None,
        tls: SSLContext | None = None,
        pause: float = _PAUSE,
    ) -> None:
        if not is_download_address(url):
            raise DownloadError("the address of a model must begin with https:// and have no password")
        check_name(name)
        self.target = folder / name
        self.part = folder / f"{name}.part"
        self.state = DownloadState()
        self._url = url
        self._notify = notify
        self._tls = tls
        self._pause = pause
        self._digests = {sha256} - {""}
        self._validator = ""
        self._checked = False

    async def run(self) -> Path:
        """Download the model, and return its path.

        Raises:
            DownloadError: It was not downloaded. What has arrived stays, unless it is not a model.
        """
        if self.target in _active:
            raise DownloadError(f"{self.target.name} is being downloaded already")
        _active.add(self.target)
        try:
            await asyncio.to_thread(self._check_target)
            await self._transfer()
            await self._finish()
        except DownloadError as error:
            self._report(status="failed", message=str(error))
            raise
        except asyncio.CancelledError:
            self._report(status="cancelled")
            raise
        except OSError as error:
            message = f"{self.target.name} can't be written: {error.strerror or type(error).__name__}"
            self._report(status="failed", message=message)
            raise DownloadError(message) from None
        finally:
            _active.discard(self.target)
        self._report(status="completed")
        return self.target

    def _check_target(self) -> None:
        if os.path.lexists(self.target):
            raise DownloadError(f"{self.target.name} exists already: it is never replaced")
        if self.target.parent.resolve(strict=True) != self.target.parent:
            raise DownloadError(f"the folder {self.target.parent.name} was moved, or is a link now: check again")

    async def _transfer(self) -> None:
        """Receive the file, and continue after breaks."""
        failures = 0
        while True:
            before = self.state.received
            try:
                await self._attempt()
            except _Broken as error:
                failures = 1 if self.state.received > before else failures + 1
                if failures >= ATTEMPTS:
                    raise DownloadError(f"{error}: try again to continue") from None
                await asyncio.sleep(self._pause * 2 ** (failures - 1))
            else:
                return

    async def _attempt(self) -> None:
        """Receive as much as comes over one connection; raise _Broken if that is not all."""
        import httpx

        file = await asyncio.to_thread(self._open_part)
        try:
            have = os.fstat(file).st_size
            if have and self._get_validator() is None:
                have = 0
            headers = {"Accept-Encoding": "identity"}
            if have:
                headers |= {"Range": f"bytes={have}-", "If-Range": self._get_validator() or ""}
            async with self._open(headers) as response:
                begin = self._read_answer(response, have)
                os.ftruncate(file, begin)
                os.lseek(file, begin, os.SEEK_SET)
                self._checked = self._checked and begin > 0
                self._report(received=begin)
                await asyncio.to_thread(self._check_space)
                await self._receive(response, file)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            broken = isinstance(error, httpx.TransportError)
            message = f"{self._get_host()} can't be read: {one_line(str(error)) or type(error).__name__}"
            raise (_Broken(message) if broken else DownloadError(message)) from None
        finally:
            os.close(file)
        if self.state.total is not None and self.state.received < self.state.total:
            raise _Broken(f"{self._get_host()} closed the connection")

    @contextlib.asynccontextmanager
    async def _open(self, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        async with open_url(
            self._url,
            TIMEOUT,
            tls=self._tls,
            more=headers,
            check=_check_hop,
            on_redirect=self._read_digests,
        ) as response:
            yield response

    def _read_answer(self, response: httpx.Response, have: int) -> int:
        """Read the status and the headers of an answer; return the offset at which its content begins."""
        host = response.request.url.host
        self._report(host=host)
        status = response.status_code
        if status in (401, 403):
            raise DownloadError(
                f"{host} requires an account: open the address in a browser, and download the file there"
            )
        if status == 429 or status >= 500:
            raise _Broken(f"{host} answers {status}")
        if status not in (200, 206):
            if status == 416:
                _validators.pop(self.part, None)
                raise _Broken(f"{host} answers {status}")
            raise DownloadError(f"{host} answers {status}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise DownloadError(
                f"{host} sends the file compressed: open the address in a browser, and download it there"
            )
        begin, total = 0, _parse_length(response.headers.get("content-length"))
        if status == 206:
            found = _RANGE.fullmatch(response.headers.get("content-range", ""))
            if found is None or int(found[1]) != have:
                _validators.pop(self.part, None)
                raise _Broken(f"{host} sends another part than was requested")
            begin, total = have, int(found[2])
        if total is None:
            raise DownloadError(
                f"{host} does not say how large the file is: open the address in a browser, and download it there"
            )
        self._read_digests(response)
        validator = response.headers.get("etag", "")
        if validator and not validator.startswith("W/"):
            _validators[self.part] = validator
        elif begin == 0:
            _validators.pop(self.part, None)
        self._report(total=total)
        return begin

    def _get_validator(self) -> str | None:
        return _validators.get(self.part)

    def _read_digests(self, response: httpx.Response) -> None:
        """Note the digests of the model that a host gives in the headers of an answer, or of a redirect."""
        # Not `etag`: some hosts have a digest of their own there.
        for name in ("x-linked-etag", "x-checksum-sha256"):
            if found := _DIGEST.fullmatch(response.headers.get(name, "").lower()):
                self._digests.add(found[1])
        # These are digests of what the answer contains: on a redirect a page, and `content-digest` of a part only it.
        for name in _CONTENT_DIGESTS.get(response.status_code, ()):
            if found := _BASE64_DIGEST.search(response.headers.get(name, "")):
                self._digests.add(base64.b64decode(found[1]).hex())

    async def _receive(self, response: httpx.Response, file: int) -> None:
        total = self.state.total or 0
        async for chunk in response.aiter_raw():
            if self.state.received + len(chunk) > total:
                raise DownloadError(f"{self._get_host()} sends more bytes than it announced")
            await asyncio.to_thread(_write_all, file, chunk)
            self._report(received=self.state.received + len(chunk))
            if not self._checked:
                self._checked = await asyncio.to_thread(self._check_start, file)

    def _check_start(self, file: int) -> bool:
        """Check the header as soon as all of it is there; return whether it is."""
        try:
            if self.state.received < LENGTH_BYTES:
                return False
            length = read_header_length(_read_at(file, LENGTH_BYTES, 0))
            if self.state.total is not None and LENGTH_BYTES + length > self.state.total:
                raise NotSafetensors("it is shorter than its header")
            if self.state.received < LENGTH_BYTES + length:
                return False
            check_header(_read_at(file, length, LENGTH_BYTES), self.state.total)
        except NotSafetensors as error:
            self.part.unlink(missing_ok=True)
            raise DownloadError(f"{self.target.name} is not a safetensors file: {error}") from None
        return True

    def _check_space(self) -> None:
        needed = (self.state.total or 0) - self.state.received
        free = shutil.disk_usage(self.target.parent).free
        if needed + RESERVE_BYTES > free:
            raise DownloadError(
                f"the disk has {free / 1e9:.1f} GB free, and {self.target.name} needs {needed / 1e9:.1f} GB more"
            )

    def _open_part(self) -> int:
        """Open the unfinished file, which must not be a link."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        if self.part.is_symlink():
            raise DownloadError(f"{self.part.name} is a link: delete it")
        file = os.open(self.part, flags, 0o644)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            os.close(file)
            raise DownloadError(f"{self.part.name} is not a plain file: delete it")
        return file

    async def _finish(self) -> None:
        """Check the whole file, and give it its name."""
        self._report(status="checking")
        digest = await asyncio.to_thread(self._check_whole)
        if self._digests - {digest}:
            self.part.unlink(missing_ok=True)
            raise DownloadError(f"{self.target.name} is damaged: its sha256 differs from the one that the host gives")
        self._report(verified=bool(self._digests))
        await asyncio.to_thread(self._publish)
        _validators.pop(self.part, None)

    def _check_whole(self) -> str:
        file = self._open_part()
        try:
            self._checked = False
            if os.fstat(file).st_size != self.state.total or not self._check_start(file):
                self.part.unlink(missing_ok=True)
                raise DownloadError(f"{self.target.name} is damaged: its size differs from the one that the host gives")
            os.lseek(file, 0, os.SEEK_SET)
            digest = hashlib.sha256()
            while chunk := os.read(file, _CHUNK_BYTES):
                digest.update(chunk)
            os.fsync(file)
            return digest.hexdigest()
        finally:
            os.close(file)

    def _publish(self) -> None:
        """Give the file its name, which no other file may have got meanwhile."""
        try:
            try:
                os.link(self.part, self.target, follow_symlinks=False)
            except FileExistsError:
                raise
            except (OSError, NotImplementedError):  # a file system without hard links: reserve the name first
                os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                self.part.replace(self.target)
        except FileExistsError:
            raise DownloadError(f"{self.target.name} exists already: it is never replaced") from None
        self.part.unlink(missing_ok=True)

    def _get_host(self) -> str:
        return self.state.host or "the host"

    def _report(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]
        self._notify(self.state)


class _Broken(Exception):
    """A transfer ended early, and may continue."""


def check_name(name: str) -> None:
    """Check that a model may be downloaded under a name.

    Raises:
        DownloadError: The name has folders, another suffix, or something that not every system allows.
    """
    if not name.lower().endswith(SUFFIXES):
        raise DownloadError(f"{short_repr(name)} is not a safetensors file: download it by hand")
    if to_safe_name(name) != name or not name.isprintable():
        raise DownloadError(f"{short_repr(name)} is not a plain file name")


def _check_hop(url: httpx.URL) -> None:
    if url.scheme != "https" or url.userinfo:
        raise DownloadError(f"{one_line(url.host)} leads to an address that is not https")


def _parse_length(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 16 else None


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _read_at(file: int, length: int, offset: int) -> bytes:
    position = os.lseek(file, 0, os.SEEK_CUR)
    try:
        os.lseek(file, offset, os.SEEK_SET)
        parts = []
        while length and (part := os.read(file, length)):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
    finally:
        os.lseek(file, position, os.SEEK_SET)
