"""The routes for files: `/upload/image`, `/upload/mask` and `/view`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfykit_jupyter.sandbox.folders import ServerFolders, guess_media_type, resolve_inside
from comfykit_jupyter.sandbox.interface.hashing import hash_file
from comfykit_jupyter.sandbox.interface.images import open_image

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_SIZE = 1024 * 1024
"""Bytes read at a time."""

_MAX_FIELD = 64 * 1024
"""Largest form field that is not a file, in bytes."""

_MAX_PARTS = 16
"""Number of parts read from a multipart body."""

_MAX_NAMESAKES = 10_000
"""Number of names tried for an upload whose name is in use, such as `cat (1).png`."""


@dataclass
class _Upload:
    """A multipart body: one file, stored in the folder `incoming`, and the form fields."""

    file: Path
    name: str
    digest: str
    fields: dict[str, str]


class FileRoutes:
    """The handlers of the routes for files.

    Args:
        folders: The server's folders.
        max_upload_size: Largest request body, in bytes.
    """

    def __init__(self, folders: ServerFolders, max_upload_size: int) -> None:
        self._folders = folders
        self._max_upload_size = max_upload_size
        self._placing = asyncio.Lock()

    async def upload_image(self, request: web.Request) -> web.Response:
        """Store an uploaded file, as `cat (1).png` if a different file is already called `cat.png`."""
        with self._open_incoming() as temporary:
            upload = await self._receive(request, temporary)
            return await self._place(upload)

    async def upload_mask(self, request: web.Request) -> web.Response:
        """Store a copy of the image `original_ref` with the alpha channel of the uploaded mask."""
        with self._open_incoming() as temporary:
            upload = await self._receive(request, temporary)
            original = self._find_original(upload.fields.get("original_ref", ""))
            try:
                upload.digest = await asyncio.to_thread(_put_alpha, original, upload.file)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise web.HTTPBadRequest(text="the mask or its original is not an image") from error
            return await self._place(upload)

    def _find_original(self, reference: str) -> Path:
        try:
            about = json.loads(reference)
            folder = self._folders.get_folder(about.get("type") or "output")
            path = resolve_inside(folder, about.get("subfolder") or "", about["filename"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise web.HTTPBadRequest(text="original_ref must name a file") from error
        if not path.is_file():
            raise web.HTTPNotFound(text="the file named by original_ref does not exist")
        return path

    @contextlib.contextmanager
    def _open_incoming(self) -> Iterator[Path]:
        handle, name = tempfile.mkstemp(dir=self._folders.incoming)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    async def _receive(self, request: web.Request, temporary: Path) -> _Upload:
        """Read a multipart body, writing its file straight to the disk."""
        if request.content_length is not None and request.content_length > self._max_upload_size:
            raise web.HTTPRequestEntityTooLarge(self._max_upload_size, request.content_length)
        upload = _Upload(temporary, "", "", {})
        try:
            await self._read_parts(await request.multipart(), upload)
        except (
            ValueError,
            AssertionError,
            KeyError,
            HttpProcessingError,
        ) as error:  # what aiohttp raises for a malformed body
            raise web.HTTPBadRequest(text="the body is not multipart/form-data") from error
        if not upload.name:
            raise web.HTTPBadRequest(text="the body has no file in the field `image`")
        return upload

    async def _read_parts(self, reader: MultipartReader, upload: _Upload) -> None:
        for _ in range(_MAX_PARTS):
            part = await reader.next()
            if part is None:
                return
            if not isinstance(part, BodyPartReader):
                raise web.HTTPBadRequest(text="nested multipart bodies are not supported")
            if part.filename is not None and part.name == "image":
                upload.name, upload.digest = part.filename, await self._save(part, upload.file)
            elif part.name is not None:
                value = bytearray()
                while chunk := await part.read_chunk():
                    value += chunk
                    if len(value) > _MAX_FIELD:
                        raise web.HTTPRequestEntityTooLarge(_MAX_FIELD, len(value))
                upload.fields[part.name] = value.decode(errors="replace")

    async def _save(self, part: BodyPartReader, target: Path) -> str:
        digest, size = hashlib.sha256(), 0
        with target.open("wb") as file:  # writing a chunk to the page cache does not block the event loop for long
            while chunk := await part.read_chunk(_CHUNK_SIZE):
                size += len(chunk)
                if size > self._max_upload_size:
                    raise web.HTTPRequestEntityTooLarge(self._max_upload_size, size)
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    async def _place(self, upload: _Upload) -> web.Response:
        """Move an upload to its place and answer with its name."""
        kind = upload.fields.get("type") or "input"
        subfolder = upload.fields.get("subfolder", "")
        overwrite = upload.fields.get("overwrite") in {"true", "1"}
        try:
            base = self._folders.get_folder(kind)
            folder = resolve_inside(base, subfolder)
            if Path(upload.name).name != upload.name or upload.name == "..":
                raise ValueError("the file name is a path")
            resolve_inside(folder, upload.name)
        except ValueError:
            return web.Response(status=400)
        async with self._placing:
            try:
                name = await asyncio.to_thread(_move, upload, folder, overwrite)
            except OSError as error:
                raise web.HTTPBadRequest(text="the file can't be saved under that name") from error
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})

    async def view(self, request: web.Request) -> web.StreamResponse:
        """Serve a file, a compressed copy of an image (`preview=webp;75`), or some of its channels.

        As in ComfyUI, an error has an empty body: clients would take a body for the file or for the error's text.
        """
        query = request.query
        filename = query.get("filename", "")
        if not filename:
            return web.Response(status=404)
        kind = query.get("type", "output")
        for known in ("input", "output", "temp"):
            if filename.endswith(f"[{known}]"):
                filename, kind = filename.removesuffix(f"[{known}]").rstrip(), known
        if ".." in filename or filename.startswith("/"):
            return web.Response(status=400)
        try:
            base = self._folders.get_folder(kind)
        except ValueError:
            return web.Response(status=400)
        try:
            folder = resolve_inside(base, query.get("subfolder", ""))
            path = resolve_inside(folder, filename)
        except ValueError:
            return web.Response(status=403)
        if not path.is_file():
            return web.Response(status=404)
        headers = {hdrs.CONTENT_DISPOSITION: _format_disposition(path.name), "X-Content-Type-Options": "nosniff"}
        channel = query.get("channel", "rgba")
        if "preview" not in query and channel == "rgba":
            return web.FileResponse(path, headers={**headers, hdrs.CONTENT_TYPE: guess_media_type(path.name)})
        try:
            body, content_type = await asyncio.to_thread(_reencode, path, query.get("preview"), channel)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise web.HTTPBadRequest(text="the file is not an image") from error
        return web.Response(body=body, content_type=content_type, headers=headers)


def _format_disposition(name: str) -> str:
    safe = "".join("_" if char in '"\\' or not char.isprintable() else char for char in name)
    return f'filename="{safe}"'


def _move(upload: _Upload, folder: Path, overwrite: bool) -> str:
    """Move an upload to its folder, unless the same file is there already; return its final name."""
    folder.mkdir(parents=True, exist_ok=True)
    size = upload.file.stat().st_size
    stem, suffix = Path(upload.name).stem, Path(upload.name).suffix
    name = upload.name
    for number in range(1, _MAX_NAMESAKES):
        path = folder / name
        if overwrite or not (path.exists() or path.is_symlink()):
            upload.file.chmod(0o644)
            upload.file.replace(path)
            return name
        if path.is_file() and path.stat().st_size == size and hash_file(path) == upload.digest:
            return name
        name = f"{stem} ({number}){suffix}"
    raise OSError("too many files have this name")


def _put_alpha(original: Path, mask: Path) -> str:
    """Overwrite the mask's file with its original plus the mask's alpha channel; return the new hash.

    The original's text metadata is kept.
    """
    with open_image(mask) as given:
        alpha = given.convert("RGBA").getchannel("A")
    with open_image(original) as picture:
        texts = PngInfo()
        for key, value in picture.info.items():
            if isinstance(key, str) and isinstance(value, str):
                texts.add_text(key, value)
        result = picture.convert("RGBA")
    if alpha.size != result.size:
        alpha = alpha.resize(result.size)
    result.putalpha(alpha)
    result.save(mask, "PNG", pnginfo=texts, compress_level=4)
    return hash_file(mask)


def _reencode(path: Path, preview: str | None, channel: str) -> tuple[bytes, str]:
    """Encode an image as a preview (`webp;75`, `jpeg;80`), or as a PNG of its colours (`rgb`) or its alpha (`a`)."""
    buffer = io.BytesIO()
    with open_image(path) as image:
        if preview is not None:
            wanted, _, number = preview.partition(";")
            encoding = "jpeg" if wanted == "jpeg" and channel == "rgba" else "webp"
            quality = min(max(int(number), 1), 100) if number.isdecimal() and len(number) < 4 else 90
            opaque = encoding == "jpeg" or channel == "rgb"
            (image.convert("RGB") if opaque else image).save(buffer, encoding.upper(), quality=quality)
            return buffer.getvalue(), f"image/{encoding}"
        if channel == "a":
            alpha = image.convert("RGBA").getchannel("A")
            picture = Image.new("RGBA", image.size)
            picture.putalpha(alpha)
        else:
            picture = image.convert("RGB")
        picture.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), "image/png"
