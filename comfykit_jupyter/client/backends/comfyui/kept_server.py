"""`KeptServer`: a ComfyUI server that this process starts, and that the next one can take over if this one is killed.

Each has a folder of this user's on this machine, by its number. `owner` is locked by the process that uses the server,
and has its ID. `running` is locked by the process that runs the server, `server` says what that is, and `log` has its
output. The system releases a lock however its process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import IO, Any

from comfykit_jupyter.workflow.errors import one_line

if sys.platform != "win32":
    import fcntl

PREFIX = "comfykit-servers"
"""What the names of the folder and of the numbers' sockets begin with."""
LOOK = 0.5
"""Seconds between two looks at a server that runs."""
START = 300.0
"""Seconds that a server may take to answer after its start."""
ADOPT = 10.0
"""Seconds that a server may take to answer which an earlier process has left."""
AGAIN = 3.0
"""Seconds before a server is started again that did not start."""

KEEPER = """
import os, signal, subprocess, sys, time
owner, linger = sys.argv[1], float(sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
server, seen = subprocess.Popen(sys.argv[3:]), time.monotonic()
try:
    while server.poll() is None:
        time.sleep(0.2)
        try:
            os.kill(int(open(owner).read()), 0)
            seen = time.monotonic()
        except (OSError, ValueError):
            if time.monotonic() - seen > linger:
                break
finally:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
"""
"""Runs a server, and ends it when its owner has been gone for some time, however that ended."""

_started: list[subprocess.Popen[bytes]] = []
"""The keepers that this process has started. They may outlive it; those that have ended must be waited for."""


class KeptServer:
    """A server on this machine. Its methods are called on one event loop.

    Args:
        command: What starts it; `{port}` stands for its port, and `{number}` for its number on this machine.
        linger: Seconds that it stays without an owner.

    Attributes:
        url: Its address; "" while it does not answer.
        number: Its number on this machine: 0, 1, …
        problem: Why it does not answer, once that is known.
    """

    def __init__(self, command: Sequence[str], linger: float) -> None:
        self.url, self.number, self.problem = "", -1, ""
        self._command = list(command)
        self._linger = linger

    async def keep(self) -> None:
        """Keep the server running until this is cancelled; then it waits for another owner."""
        try:
            with _claim_folder() as folder:
                self.number = int(folder.name)
                try:
                    while True:
                        await self._run(folder)
                        await asyncio.sleep(AGAIN)
                finally:
                    self.url = ""
                    (folder / "owner").write_text("")
        except OSError as error:
            self.problem = one_line(str(error), 300)

    async def _run(self, folder: Path) -> None:
        """Start the server or take it over, and return when it has ended."""
        try:
            self.url = await self._open(folder)
            self.problem = ""
            await _wait_until_ended(folder)  # it is started again: that is not a problem yet
        except (OSError, LookupError, ValueError) as error:
            self.problem = one_line(f"{error} {_read_last_line(folder)}", 300)
        self.url = ""

    async def _open(self, folder: Path) -> str:
        """Return the address of the server that an earlier owner has left, or of a new one."""
        if _is_locked(folder / "running"):
            known = json.loads((folder / "server").read_bytes())
            with contextlib.suppress(OSError):
                if known["command"] == self._command:
                    return await _wait_for_answer(folder, known["url"], ADOPT)
            os.kill(known["pid"], signal.SIGTERM)
            await _wait_until_ended(folder)
        return await _wait_for_answer(folder, self._start(folder), START)

    def _start(self, folder: Path) -> str:
        """Start the command, and return the address that it will have."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        command = [part.format(port=port, number=self.number) for part in self._command]
        with (folder / "running").open("w") as lock, (folder / "log").open("w") as log:
            _lock(lock)
            process = subprocess.Popen(  # noqa: S603 - the user's command
                [sys.executable, "-c", KEEPER, str(folder / "owner"), str(self._linger), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[lock.fileno()], start_new_session=True,
            )  # fmt: skip
        _started[:] = [process, *(each for each in _started if each.poll() is None)]
        (folder / "server").write_text(json.dumps({"pid": process.pid, "url": url, "command": self._command}))
        return url


async def _wait_until_ended(folder: Path) -> None:
    while _is_locked(folder / "running"):  # noqa: ASYNC110 - a lock has no event
        await asyncio.sleep(LOOK)


async def _wait_for_answer(folder: Path, url: str, seconds: float) -> str:
    """Return the address when the server answers.

    Raises:
        OSError: It does not, or has ended.
    """
    import httpx

    until = time.monotonic() + seconds
    async with httpx.AsyncClient(trust_env=False, timeout=ADOPT) as client:
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/system_stats")).status_code < 500:
                    return url
            if not _is_locked(folder / "running"):
                raise OSError("the command ended:")
            await asyncio.sleep(0.1)
    raise OSError(f"no answer for {seconds:.0f} s:")


@contextlib.contextmanager
def _claim_folder() -> Iterator[Path]:
    """Yield a folder that no other process owns, preferably one whose server still runs.

    Raises:
        OSError: There is none.
    """
    if sys.platform == "win32":
        raise OSError("servers can be started on Linux and macOS only")
    root = Path(tempfile.gettempdir()) / f"{PREFIX}-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    about = root.lstat()
    if root.is_symlink() or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise OSError(f"{root} belongs to another user, or can be read by others: remove it")
    left = sorted(int(each.parent.name) for each in root.glob("*/running") if _is_locked(each))
    for number in chain(left, count()):
        folder = root / str(number)
        folder.mkdir(exist_ok=True)
        with (folder / "owner").open("a") as owner, _claim_number(number) as is_free:
            if is_free and _lock(owner):
                (folder / "owner").write_text(str(os.getpid()))
                yield folder
                return


@contextlib.contextmanager
def _claim_number(number: int) -> Iterator[bool]:
    """Yield whether a number is free on this machine: jobs of a cluster may have their own temporary folders."""
    with socket.socket(socket.AF_UNIX) as holder:
        try:
            if sys.platform == "linux":
                holder.bind(f"\0{PREFIX}-{os.getuid()}-{number}")
        except OSError:
            yield False
        else:
            yield True


def _read_last_line(folder: Path) -> str:
    try:
        lines = (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:].split("\n")
    except OSError:
        return ""
    return next((one_line(line, 200) for line in reversed(lines) if line.strip()), "")


def _lock(file: IO[Any]) -> bool:
    """Return whether a file was locked; it is until it is closed in all processes that have it open."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    with path.open("a") as file:
        return not _lock(file)
