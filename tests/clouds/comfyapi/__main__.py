"""The command line: run a Comfy API v2 server for as long as a command runs (`… -- COMMAND ARGS…`).

The server is the official proxy in front of the embedded server, or, if the proxy is not installed, the embedded
server itself.
"""

from __future__ import annotations

import sys

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.command import run_command

from .proxied import IS_THERE, Proxied


def main() -> int:
    """Run the command line and return its exit code."""
    command = sys.argv[2:]
    if sys.argv[1:2] != ["--"] or not command:
        print("usage: python -m tests.clouds.comfyapi -- COMMAND ARGS…", file=sys.stderr)
        return 2
    with Sandbox() as server:
        if not IS_THERE:
            print("comfy-api-proxy is not installed: using ComfyUI's own protocol instead", file=sys.stderr)
            return run_command(command, COMFYUI_BASE_URL=server.url)
        with Proxied(server.url) as proxied:
            return run_command(command, COMFYUI_BASE_URL=proxied.url)


if __name__ == "__main__":
    sys.exit(main())
