"""A temporary folder of this process. It is removed when the process ends.

A process that is killed, as kernels often are, leaves its folder behind; the next process that makes one removes it. A
lock on a file in the folder shows that its process is alive: the system releases it however the process ends. Process
IDs can't show it: they are reused, and differ between containers. On Windows there are no such locks, and folders of
killed processes stay.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import sys
import tempfile
import threading
from pathlib import Path

PREFIX = "comfykit-"
_LOCK_NAME = "held"


def make_temp_dir() -> Path:
    """Create a folder for this process alone."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    atexit.register(_remove, folder, os.getpid())
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # without a lock it is never taken for a folder that was left behind
            _lock(folder)
        with contextlib.suppress(RuntimeError):  # the interpreter is ending: no thread can be started
            threading.Thread(target=_remove_orphans, args=(folder.parent,), name="comfykit-cleanup").start()
    return folder


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked process leaves it to the process that made it
        shutil.rmtree(folder, ignore_errors=True)


if sys.platform != "win32":
    import fcntl

    def _lock(folder: Path) -> None:
        """Hold a lock while this process lives; the file is locked before it gets the name that others look for."""
        draft = folder / f"{_LOCK_NAME}-soon"
        fcntl.flock(os.open(draft, os.O_CREAT | os.O_RDWR, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(folder / _LOCK_NAME)

    def _remove_orphans(where: Path) -> None:
        """Remove this user's folders whose processes have ended."""
        for folder in where.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                about = folder.lstat()
                if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid():
                    _remove_unlocked(folder)

    def _remove_unlocked(folder: Path) -> None:
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
