"""The server in another program's process, and on the command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from comfykit_jupyter.sandbox import Sandbox
from tests.sandbox import probes
from tests.sandbox.client import TIMEOUT, Client

COMMAND = [sys.executable, "-m", "comfykit_jupyter.sandbox"]
ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command line, until the block ends."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    with subprocess.Popen([*COMMAND, *arguments], text=True, cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def finished(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, text=True, cwd=ROOT, capture_output=True, timeout=60, env=env, check=False)


def url_in(line: str) -> str:
    return next(word for word in line.split() if word.startswith("http://"))


def get(url: str) -> int:
    return httpx.get(url, trust_env=False).status_code


def test_several_run_at_once_and_know_nothing_of_each_other() -> None:
    prompt = {"1": {"class_type": "ProbeCount", "inputs": {"name": "one of two"}}}
    with Sandbox() as one, Sandbox() as two, Client(one.url) as client, Client(two.url) as other:
        prompt_id, _ = client.run(prompt)
        assert other.http.get("/history").json() == {}
        assert prompt_id in client.http.get("/history").json()


def test_a_temporary_folder_is_gone_at_the_end_and_another_stays(tmp_path: Path) -> None:
    with Sandbox() as server:
        assert (server.folder / "input").is_dir()
    assert not server.folder.exists()
    with Sandbox(folder=tmp_path / "kept") as server:
        assert server.folder == tmp_path / "kept"
    assert (tmp_path / "kept" / "output").is_dir()


def test_stopping_closes_the_sockets_and_interrupts_what_runs(gate: probes.Gate) -> None:
    server = Sandbox().start()
    with Client(server.url) as client:
        client.submit({"1": {"class_type": "ProbeGate", "inputs": {"seed": 99}}})
        assert gate.reached.wait(TIMEOUT)
        server.stop()
        with pytest.raises(ConnectionClosed):
            client.until_end("")
    with pytest.raises(httpx.ConnectError):
        get(server.url)
    server.stop()


def test_it_starts_where_an_event_loop_runs_already() -> None:
    async def cell() -> int:
        with Sandbox() as server:
            return await asyncio.to_thread(get, server.url)

    assert asyncio.run(cell()) == 200


def test_a_taken_port_is_told_where_it_is_started() -> None:
    with Sandbox() as server, pytest.raises(OSError, match=r"."):
        Sandbox(port=int(server.url.rpartition(":")[2])).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_only_this_machine_can_reach_it_unless_that_is_allowed(host: str) -> None:
    with pytest.raises(ValueError, match="--allow-remote"):
        Sandbox(host=host)


def test_allowed_it_answers_under_every_name() -> None:
    with Sandbox(host="0.0.0.0", allow_remote=True) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/queue", headers={"Host": "a.name.example"}, trust_env=False).status_code == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_it_listens_on_ipv6() -> None:
    try:
        server = Sandbox(host="::1").start()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert get(server.url) == 200
    server.stop()


def test_what_is_not_installed_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(\"No module named 'aiohttp'\", name='aiohttp')")
    done = finished("--port", "0", env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "comfykit-jupyter[sandbox]"' in done.stderr


def test_the_command_line_says_where_it_listens_and_stops_when_told(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with running("--port", "0", "--dir", str(tmp_path)) as process:
            assert process.stdout is not None
            url = url_in(process.stdout.readline())
            assert get(f"{url}/system_stats") == 200
            process.send_signal(number)
            out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, out, err) == (0, "", "")
    assert (tmp_path / "input").is_dir()


def test_the_command_line_refuses_other_machines_in_one_line() -> None:
    done = finished("--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "--allow-remote" in done.stderr


def test_the_command_line_refuses_a_taken_port_in_one_line() -> None:
    with Sandbox() as server:
        port = server.url.rpartition(":")[2]
        done = finished("--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sandbox: port {port} is already in use: choose another --port (0 for any free port)\n"


def test_a_command_that_is_nowhere_is_told_in_one_line() -> None:
    done = finished("--", "no-such-command")
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == ["sandbox: no-such-command does not exist"]


def test_a_command_finds_the_server_and_gives_its_exit_code() -> None:
    script = (
        "import os, sys, urllib.request as r\n"
        "print(r.urlopen(os.environ['COMFYUI_BASE_URL'] + '/queue').status, *sys.argv[1:])\n"
        "sys.exit(7)"
    )
    done = finished("--", sys.executable, "-c", script, "--port", "x y")
    assert (done.returncode, done.stdout) == (7, "200 --port x y\n")


def test_signals_are_passed_on_to_the_command() -> None:
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\n"
        "signal.pause()"
    )
    with running("--", sys.executable, "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 9


@pytest.mark.parametrize("arguments", [["--"], ["--", "no-such-command-anywhere"], ["--port", "99999"]])
def test_what_cannot_be_done_is_told_in_one_line(arguments: list[str]) -> None:
    done = finished(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("sandbox: ")
    assert "Traceback" not in done.stderr
