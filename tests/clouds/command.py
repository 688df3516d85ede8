"""Run a command with additional environment variables, forwarding signals to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence


def run_command(command: Sequence[str], **environment: str) -> int:
    """Run a command and return its exit code; signals are forwarded to it."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    # In a terminal, the command gets Ctrl-C itself.
    passed_on = {signal.SIGTERM} if sys.stdin.isatty() else {signal.SIGTERM, signal.SIGINT}
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda at, _: process.send_signal(at) if at in passed_on else None)
    code = process.wait()
    return 128 - code if code < 0 else code
