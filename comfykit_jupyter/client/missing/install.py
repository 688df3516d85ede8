"""Put a missing model where its server finds it: prove that the disk is shared, then download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client.missing.download import DownloadState, ModelDownload, check_name
from comfykit_jupyter.client.missing.item import Missing
from comfykit_jupyter.client.missing.shared_disk import NotShared, find_shared_folder

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend


async def install_model(server: Backend, missing: Missing, notify: Callable[[DownloadState], None]) -> Path:
    """Download a missing model into the server's folder on this machine.

    Args:
        server: The server.
        missing: The model, with its address and its folder.
        notify: Is called with each state of the download, often.

    Returns:
        The path of the model.

    Raises:
        DownloadError: It was not downloaded.
        NotShared: It is not proven that the server uses this machine's disk.
        ServerError: The server can't be reached.
    """
    check_name(missing.name)
    if not missing.folder:
        raise NotShared("the folder of this model is not known")
    folder = await find_shared_folder(server, missing.folder)
    return await ModelDownload(missing.url, folder, missing.name, sha256=missing.sha256, notify=notify).run()
