"""The command line: run the embedded server on its own, or for as long as a command runs (`… -- pytest`)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfykit_jupyter.sandbox.server import Server

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if "--" in given:
        at = given.index("--")
        given, command = given[:at], given[at + 1 :]
        if not command:
            print("sandbox: no command after --", file=sys.stderr)
            return 2
    options = _build_parser().parse_args(given)
    port = options.port if options.port is not None else 0 if command else 8188
    with contextlib.ExitStack() as stack:
        folder = options.dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comfyui-sandbox-")))
        try:
            from comfykit_jupyter.sandbox import Sandbox  # noqa: F401 - names a missing package and how to install it
            from comfykit_jupyter.sandbox.server import Server

            server = Server(
                folder,
                host=options.host,
                port=port,
                allow_remote=options.allow_remote,
                step_seconds=options.step_seconds,
            )
            return asyncio.run(_serve(server, command))
        except (ImportError, OSError, ValueError) as error:
            print(f"sandbox: {_format_error(error, port)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:  # Windows, where asyncio can't set signal handlers
            return 130


def _format_error(error: Exception, port: int) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} is already in use: choose another --port (0 for any free port)"
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} does not exist"
    return str(error)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m comfykit_jupyter.sandbox",
        usage="%(prog)s [options] [-- COMMAND ARGS…]",
        description="Run a small ComfyUI-compatible server. With a COMMAND, the server stops when the command ends; "
        "the command finds the server's address in COMFYUI_BASE_URL.",
    )
    parser.add_argument("--port", type=int, help="port, 0 for any free one (default: 8188; with a COMMAND: 0)")
    parser.add_argument("--dir", type=Path, help="folder for its files (default: a temporary one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="allow a --host that other machines can reach; they can then run any workflow here",
    )
    parser.add_argument(
        "--step-seconds",
        type=float,
        default=0,
        metavar="N",
        help="seconds that each step of a node takes at least, to see what a slow machine shows (default: 0)",
    )
    return parser


async def _serve(server: Server, command: Sequence[str]) -> int:
    """Run the server until a signal stops it, or until the command ends."""
    await server.start()
    try:
        where = sys.stderr if command else sys.stdout  # keep the command's output clean
        print(f"ComfyUI sandbox on {server.url} (files in {server.folders.root})", file=where, flush=True)
        return await _run(command, server.url) if command else await _wait_for_signal()
    finally:
        await server.stop()


async def _wait_for_signal() -> int:
    stopped = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    return 0


async def _run(command: Sequence[str], url: str) -> int:
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "COMFYUI_BASE_URL": url})

    def forward_signal(number: int) -> None:
        # In a terminal, the command gets Ctrl-C itself.
        if process.returncode is None and not (
            number == signal.SIGINT and sys.stdin is not None and sys.stdin.isatty()
        ):
            process.send_signal(number)

    with contextlib.suppress(NotImplementedError):
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, forward_signal, number)
    code = await process.wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
