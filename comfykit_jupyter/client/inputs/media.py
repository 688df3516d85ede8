"""Read the values of media parameters: files in any form, also images with a mask."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from comfykit_jupyter.client.backends.base import Backend
from comfykit_jupyter.client.inputs.files import LocalFile, RemoteFile, build_error, read_file
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.inputs.masking import make_masked_png
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.workflow.document.workflow import Upload
from comfykit_jupyter.workflow.errors import short_repr


async def read_media(upload: Upload, server: Backend | None) -> RemoteFile | LocalFile:
    """Return the file that a media parameter's value stands for.

    Args:
        upload: The parameter with its value: a path, bytes, an open file, a Pillow image, a NumPy array (height × width
            × 3, 0…255 or 0…1), a Matplotlib figure, a URL, a name that the server has, an output of an earlier run,
            which is not uploaded again to the same server, or one of these with a mask.
        server: The server that the file is for; None if it is not known yet: then names on the server are not accepted.

    Raises:
        ParameterError: The value is none of these.
        SourceError: It can't be read.
    """
    value = upload.value
    if isinstance(value, Masked):
        return await _read_masked(value, upload, server)
    return await read_file(upload, server)


async def _read_masked(value: Masked, upload: Upload, server: Backend | None) -> LocalFile:
    """Return the PNG of an image with its mask."""
    if upload.kind in ("video", "audio"):
        raise build_error(upload, f"a mask is for an image, and this is {upload.kind}")
    image = value.image
    if isinstance(image, Media):
        source: RemoteFile | LocalFile = LocalFile(await image.origin.fetch(image), "")
    else:
        source = await read_file(replace(upload, value=image), server)
    if isinstance(source, RemoteFile):
        if server is None or not isinstance(source.name, str):
            raise build_error(upload, f"{short_repr(image, 200)} can't be read: give a mask with a local file")
        owner = await server.find_file(source.name)
        media = Media.from_name(owner, source.name)
        source = LocalFile(await media.origin.fetch(media), "")
    try:
        path = await asyncio.to_thread(make_masked_png, value, source.content)
    except ValueError as error:
        raise build_error(upload, str(error)) from None
    finally:
        source.remove()
    return LocalFile(path, ".png", temporary=True)


async def upload(server: Backend, value: Any) -> str:
    """Upload a file that is not the value of a parameter, and return the name that values have for it.

    Raises:
        ParameterError, SourceError: See `read_media`.
        ServerError: It did not arrive.
    """
    needed = Upload("file", "", "kit.upload", "", None, value)
    source = await read_media(needed, server)
    if isinstance(source, RemoteFile):
        name = server.spell_file(source.name)
    else:
        try:
            name = server.spell_file(await server.upload(source.content, source.suffix, needed))
        finally:
            source.remove()
    is_known = server.find_remote_file(name) is not None or server.find_output(name) is not None
    return name if is_known else f"{name} [input]"
