"""A folder of this process in the system's temporary one, which goes with it: at once when it ends, and when it was
killed, as kernels are, as soon as another process makes such a folder.

Who lives is told by a lock on a file in the folder, which the system takes from a process however that ends; numbers of
processes are used again, and are others' in another container. Where there are no such locks, as on Windows, folders of
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
_HELD = "held"


def make_temp_dir() -> Path:
    """A new folder for this process alone."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    atexit.register(_remove, folder, os.getpid())
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # no locks here: nobody will take it for one that was left behind
            _hold(folder)
        with contextlib.suppress(RuntimeError):  # the interpreter ends already: no thread begins then
            threading.Thread(target=_sweep, args=(folder.parent,), name="comfykit-sweep").start()
    return folder


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked process that ends leaves it to the one that made it
        shutil.rmtree(folder, ignore_errors=True)


if sys.platform != "win32":
    import fcntl

    def _hold(folder: Path) -> None:
        """Show that the folder's process lives, as long as it does: the file is locked before it has its name."""
        unnamed = folder / f"{_HELD}-soon"
        fcntl.flock(os.open(unnamed, os.O_CREAT | os.O_RDWR, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(folder / _HELD)

    def _sweep(where: Path) -> None:
        """Remove our user's folders whose processes live no more."""
        for folder in where.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                about = folder.lstat()
                if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid():
                    _remove_unheld(folder)

    def _remove_unheld(folder: Path) -> None:
        lock = os.open(folder / _HELD, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
