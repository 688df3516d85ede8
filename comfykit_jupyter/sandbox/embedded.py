"""`Sandbox`: the embedded server in a thread of its own, for scripts, tests and notebooks."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.sandbox.server import MAX_UPLOAD_SIZE, Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Sandbox:
    """A small ComfyUI-compatible server in this process, running in a thread of its own.

    It runs for the length of a `with` block, or from `start()` to `stop()`. Its nodes do real work on the CPU, but
    there is no diffusion model: it is for trying workflows out and for tests.

    Args:
        port: Port to listen on; 0 picks a free one.
        folder: Folder that holds `input`, `output`, `temp` and `models`. By default a temporary folder, which is
            removed when the server stops.
        host: Address to listen on.
        allow_remote: Allow a `host` that other machines can reach. They can then run any workflow here.
        max_upload_size: Largest accepted upload, in bytes.
        step_seconds: Seconds that each step of a node takes at least, to see what a slow machine shows.

    Raises:
        ValueError: `host` is not a loopback address and `allow_remote` is false, or `port` is not a port number.

    Example:
        >>> from comfykit_jupyter import ComfyKit
        >>> from comfykit_jupyter.sandbox import Sandbox
        >>> workflow = {
        ...     "1": {"class_type": "PrimitiveString", "inputs": {"value": "a cat"}},
        ...     "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        ... }
        >>> with Sandbox() as server:
        ...     result = ComfyKit(server.url).run(workflow)
        >>> result.text
        'a cat'
    """

    def __init__(
        self,
        port: int = 0,
        folder: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        allow_remote: bool = False,
        max_upload_size: int = MAX_UPLOAD_SIZE,
        step_seconds: float = 0,
    ) -> None:
        self._remove_folder: Callable[[], object] | None = None
        if folder is None:
            folder = tempfile.mkdtemp(prefix="comfyui-sandbox-")
            # This also removes the folder if the object is collected, or the program ends, without stop().
            self._remove_folder = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.folder = Path(folder).resolve()
        """Folder that holds the server's files."""
        self._server = Server(
            self.folder,
            host=host,
            port=port,
            allow_remote=allow_remote,
            max_upload_size=max_upload_size,
            step_seconds=step_seconds,
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """Address of the started server, such as `http://127.0.0.1:8188`."""
        return self._server.url

    def start(self) -> Sandbox:
        """Start the server and return it once it accepts connections.

        Raises:
            OSError: The server can't listen on its address, for example because the port is in use.
            RuntimeError: The sandbox has been started before.
        """
        if self._thread is not None:
            raise RuntimeError("a sandbox can be started only once: create a new one")
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run_loop, args=(started,), name="sandbox-server", daemon=True)
        self._thread.start()
        started.result()
        return self

    def stop(self) -> None:
        """Stop the server and remove its temporary folder, if it has one.

        Stopping a server that is not running does nothing.
        """
        if self._thread is not None and self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server never started or has stopped
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        if self._remove_folder is not None:
            self._remove_folder()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run_loop(self, started: Future[None]) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._serve(started))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def _serve(self, started: Future[None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self._server.start()
        except BaseException as error:  # noqa: BLE001 - start() raises it in its own thread
            started.set_exception(error)
            return
        started.set_result(None)
        await self._stopping.wait()
        await self._server.stop()
