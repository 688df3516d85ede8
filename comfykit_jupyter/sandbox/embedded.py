"""The server inside another program: in a thread of its own, for scripts, tests and notebooks."""

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
    """A ComfyUI-compatible server for as long as a `with` block lasts, or from `start()` to `stop()`.

        with Sandbox() as server:
            kit = ComfyKit(server.url)

    Args:
        port: to listen on; 0 takes a free one.
        folder: where `input`, `output`, `temp` and `models` are; without one a temporary folder, removed at the end.
        host: to listen on.
        allow_remote: needed for a host that other machines can reach.
        max_upload_size: bytes of an upload at most.

    Raises:
        ValueError: the host is not this machine only, and `allow_remote` was not given.
    """

    def __init__(
        self,
        port: int = 0,
        folder: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        allow_remote: bool = False,
        max_upload_size: int = MAX_UPLOAD_SIZE,
    ) -> None:
        self._remove_folder: Callable[[], object] | None = None
        if folder is None:
            folder = tempfile.mkdtemp(prefix="comfyui-sandbox-")
            # Also when the program ends, or nobody has the server any more, without stop().
            self._remove_folder = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.folder = Path(folder).resolve()
        """The folder of the server's files."""
        self._server = Server(
            self.folder, host=host, port=port, allow_remote=allow_remote, max_upload_size=max_upload_size
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The server's address, such as `http://127.0.0.1:8188`, once it has been started."""
        return self._server.url

    def start(self) -> Sandbox:
        """Start the server, and return it when it listens.

        Raises:
            OSError: the address cannot be listened on, for example because the port is taken.
            RuntimeError: it was started before.
        """
        if self._thread is not None:
            raise RuntimeError("This sandbox was started before: make another one.")
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run_loop, args=(started,), name="sandbox-server", daemon=True)
        self._thread.start()
        started.result()
        return self

    def stop(self) -> None:
        """Stop the server, and remove its folder if it was a temporary one; nothing if it does not run."""
        if self._thread is not None and self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it could not start, or was stopped before
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
        except BaseException as error:  # noqa: BLE001 - is raised by start(), in the thread that waits there
            started.set_exception(error)
            return
        started.set_result(None)
        await self._stopping.wait()
        await self._server.stop()
