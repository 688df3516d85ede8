"""`Sandbox`, and the command line."""

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
def run_command_line(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command line until the block ends."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    with subprocess.Popen([*COMMAND, *arguments], text=True, cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def run_to_end(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, text=True, cwd=ROOT, capture_output=True, timeout=60, env=env, check=False)


def find_url(line: str) -> str:
    return next(word for word in line.split() if word.startswith("http://"))


def get_status(url: str) -> int:
    return httpx.get(url, trust_env=False).status_code


def test_several_sandboxes_are_independent() -> None:
    prompt = {"1": {"class_type": "ProbeCount", "inputs": {"name": "one of two"}}}
    with Sandbox() as one, Sandbox() as two, Client(one.url) as client, Client(two.url) as other:
        prompt_id, _ = client.run(prompt)
        assert other.http.get("/history").json() == {}
        assert prompt_id in client.http.get("/history").json()


def test_stop_removes_only_a_temporary_folder(tmp_path: Path) -> None:
    with Sandbox() as server:
        assert (server.folder / "input").is_dir()
    assert not server.folder.exists()
    with Sandbox(folder=tmp_path / "kept") as server:
        assert server.folder == tmp_path / "kept"
    assert (tmp_path / "kept" / "output").is_dir()


def test_stop_closes_sockets_and_interrupts_the_running_job(gate: probes.Gate) -> None:
    server = Sandbox().start()
    with Client(server.url) as client:
        client.submit({"1": {"class_type": "ProbeGate", "inputs": {"seed": 99}}})
        assert gate.reached.wait(TIMEOUT)
        server.stop()
        with pytest.raises(ConnectionClosed):
            client.until_end("")
    with pytest.raises(httpx.ConnectError):
        get_status(server.url)
    server.stop()


def test_start_works_inside_a_running_event_loop() -> None:
    async def cell() -> int:
        with Sandbox() as server:
            return await asyncio.to_thread(get_status, server.url)

    assert asyncio.run(cell()) == 200


def test_start_raises_if_the_port_is_in_use() -> None:
    with Sandbox() as server, pytest.raises(OSError, match=r"."):
        Sandbox(port=int(server.url.rpartition(":")[2])).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_a_remote_host_must_be_allowed(host: str) -> None:
    with pytest.raises(ValueError, match="--allow-remote"):
        Sandbox(host=host)


def test_a_remote_server_answers_to_any_host_name() -> None:
    with Sandbox(host="0.0.0.0", allow_remote=True) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/queue", headers={"Host": "a.name.example"}, trust_env=False).status_code == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_listens_on_ipv6() -> None:
    try:
        server = Sandbox(host="::1").start()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert get_status(server.url) == 200
    server.stop()


def test_a_missing_package_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(\"No module named 'aiohttp'\", name='aiohttp')")
    done = run_to_end("--port", "0", env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "comfykit-jupyter[sandbox]"' in done.stderr


def test_the_command_line_prints_its_address_and_stops_on_signals(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with run_command_line("--port", "0", "--dir", str(tmp_path)) as process:
            assert process.stdout is not None
            url = find_url(process.stdout.readline())
            assert get_status(f"{url}/system_stats") == 200
            process.send_signal(number)
            out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, out, err) == (0, "", "")
    assert (tmp_path / "input").is_dir()


def test_the_command_line_rejects_a_remote_host_in_one_line() -> None:
    done = run_to_end("--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "--allow-remote" in done.stderr


def test_the_command_line_reports_a_port_in_use_in_one_line() -> None:
    with Sandbox() as server:
        port = server.url.rpartition(":")[2]
        done = run_to_end("--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sandbox: port {port} is already in use: choose another --port (0 for any free port)\n"


def test_a_missing_command_is_reported_in_one_line() -> None:
    done = run_to_end("--", "no-such-command")
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == ["sandbox: no-such-command does not exist"]


def test_a_command_gets_the_address_and_returns_its_exit_code() -> None:
    script = (
        "import os, sys, urllib.request as r\n"
        "print(r.urlopen(os.environ['COMFYUI_BASE_URL'] + '/queue').status, *sys.argv[1:])\n"
        "sys.exit(7)"
    )
    done = run_to_end("--", sys.executable, "-c", script, "--port", "x y")
    assert (done.returncode, done.stdout) == (7, "200 --port x y\n")


def test_signals_are_forwarded_to_the_command() -> None:
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\n"
        "signal.pause()"
    )
    with run_command_line("--", sys.executable, "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 9


@pytest.mark.parametrize("arguments", [["--"], ["--", "no-such-command-anywhere"], ["--port", "99999"]])
def test_invalid_arguments_are_reported_in_one_line(arguments: list[str]) -> None:
    done = run_to_end(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("sandbox: ")
    assert "Traceback" not in done.stderr
