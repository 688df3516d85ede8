"""The embedded server as a child process of the kernel, which ends with it, however it ends."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from typing import IO

from comfykit_jupyter.client.errors import ServerError

_CODE = """
import os, signal, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()  # comes back when the parent's end of the pipe is closed: when the parent is gone
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_parent, daemon=True).start()
from comfykit_jupyter.sandbox.__main__ import main
sys.exit(main(["--port", "0"]))
"""

_child: tuple[subprocess.Popen[str], str] | None = None


def sandbox_url() -> str:
    """The address of this process's embedded server, which is started when it does not run.

    Raises:
        ServerError: it can't be started; the message says why.
    """
    global _child
    if _child is None or _child[0].poll() is not None:
        _child = _start()
    return _child[1]


def _start() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
        [sys.executable, "-c", _CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # the ■ of a cell interrupts the kernel's whole group: not this one
    )
    output = process.stdout
    if output is None:
        raise ServerError("the embedded server can't be started: its output is closed")
    said = ""
    for line in output:
        if found := re.search(r"http://\S+", line):
            threading.Thread(target=_drain, args=(output,), daemon=True).start()
            return process, found.group()
        said = line.strip() or said
    process.wait()
    raise ServerError(f"the embedded server does not start: {said or f'it ended with code {process.returncode}'}")


def _drain(output: IO[str]) -> None:
    """Read on, so that the child never waits for a full pipe."""
    for _ in output:
        pass
