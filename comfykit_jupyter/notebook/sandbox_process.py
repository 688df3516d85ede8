"""Run the embedded server as a child process of the kernel, which ends however the kernel ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from typing import IO, Any

from comfykit_jupyter.client.errors import ServerError

_CODE = """
import os, signal, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()  # returns when the parent is gone, which closes its end of the pipe
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_parent, daemon=True).start()
from comfykit_jupyter.sandbox.__main__ import main
sys.exit(main(["--port", "0"]))
"""

_sandbox: tuple[subprocess.Popen[str], str] | None = None
"""The process, and the server's URL."""


def start_sandbox() -> str:
    """Start the embedded server of this process unless it runs, and return its URL.

    Raises:
        ServerError: The server can't be started; the message says why.
    """
    global _sandbox
    if _sandbox is None or _sandbox[0].poll() is not None:
        _sandbox = _start()
    return _sandbox[1]


def _start() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(  # noqa: S603 - the command is constant
        [sys.executable, "-c", _CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **_get_group_options(),
    )
    output = process.stdout
    if output is None:
        raise ServerError("the embedded server can't be started: its output is closed")
    last_line = ""
    for line in output:
        if found := re.search(r"http://\S+", line):
            threading.Thread(target=_drain, args=(output,), daemon=True).start()
            return process, found.group()
        last_line = line.strip() or last_line
    process.wait()
    reason = last_line or f"it ended with code {process.returncode}"
    raise ServerError(f"the embedded server did not start: {reason}")


def _get_group_options() -> dict[str, Any]:
    """Return what keeps ■ and Ctrl-C from the server: they interrupt the whole process group of the kernel."""
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200)}
    return {"start_new_session": True}


def _drain(output: IO[str]) -> None:
    """Discard the rest of the output, so that the server never blocks on a full pipe."""
    for _ in output:
        pass
