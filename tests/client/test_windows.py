"""Test by simulation what differs on Windows: no fcntl, drive letters, device names, process groups, Ctrl-C."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.errors import ParameterError, SourceError
from comfykit_jupyter.notebook import sandbox_process
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.file_names import fill_pattern, to_safe_name

# Libraries are imported before the platform changes: they would look for parts of the real Windows.
SCRIPT = """
import asyncio, importlib, multiprocessing, pkgutil, subprocess, sys
import aiohttp.web, anywidget, av, distributed, httpx, ipykernel.kernelapp, numpy, optuna, pandas
import PIL.Image, platformdirs, websockets.asyncio.client

sys.platform = "win32"
sys.modules["fcntl"] = None
import comfykit_jupyter

for module in pkgutil.walk_packages(comfykit_jupyter.__path__, "comfykit_jupyter."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
kit = comfykit_jupyter.ComfyKit(sys.argv[1], runs=sys.argv[2])
result = kit.run("example:portrait", width=64, height=64, steps=1)
assert result.image.path.is_file()
assert len(kit.runs) == 1
"""


def test_package_runs_without_fcntl(sandbox: Sandbox, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, sandbox.url, str(tmp_path / "runs")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_path_with_a_drive_letter_is_not_an_address(kit: ComfyKit) -> None:
    with pytest.raises(SourceError, match="no file"):
        kit.load(r"C:\Users\me\no such.json")
    with pytest.raises(SourceError, match="there is no folder"):
        kit.load("C:/Users/me/no such.json")
    with pytest.raises(ParameterError, match="there is no file"):
        kit.run("example:restyle", image=r"C:\Users\me\no such.png")


@pytest.mark.parametrize("name", ["CON", "nul.png", "COM1.txt", "aux.tar.gz", "C:evil.png", "a<b>|?.png", "trailing. "])
def test_names_of_the_server_are_files_on_windows(name: str) -> None:
    safe = to_safe_name(name)
    reserved = {"CON", "NUL", "AUX", "PRN", "COM1"}
    assert safe.split(".")[0].upper() not in reserved
    assert not set('<>:"|?*\\/') & set(safe)
    assert safe == safe.rstrip(". ")
    assert PureWindowsPath(safe).drive == ""


def test_pattern_makes_no_drive_of_a_value() -> None:
    path = PureWindowsPath(fill_pattern("{name}", {"name": r"C:\Windows\x"}, ".png"))
    assert path.drive == ""
    assert not path.is_absolute()


def test_embedded_server_is_out_of_reach_of_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    class Process:
        stdout = iter(["listening on http://127.0.0.1:1\n"])

        def __init__(self, _command: object, **options: Any) -> None:
            calls.append(options)

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(os, "name", "nt")
    assert sandbox_process._start()[1] == "http://127.0.0.1:1"
    monkeypatch.setattr(os, "name", "posix")
    Process.stdout = iter(["listening on http://127.0.0.1:1\n"])
    sandbox_process._start()
    assert calls[0]["creationflags"] == 0x200  # CREATE_NEW_PROCESS_GROUP
    assert "start_new_session" not in calls[0]
    assert calls[1]["start_new_session"] is True
    assert all(call["encoding"] == "utf-8" for call in calls)


def test_note_of_a_job_replaces_an_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(_path: Path, _target: object) -> None:
        raise FileExistsError("as on Windows")

    monkeypatch.setattr(job_log, "find_folder", lambda: tmp_path)
    monkeypatch.setattr(Path, "rename", rename)
    path = job_log._build_path("http://gpu", "1")
    path.write_text("{}")
    job_log.mark_ended("http://gpu", "1")
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_wait_wakes_up_for_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a wait without a limit can't be interrupted."""
    limits: list[float] = []

    def wait(_futures: object, timeout: float) -> None:
        limits.append(timeout)
        raise KeyboardInterrupt

    monkeypatch.setattr(concurrent.futures, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        loop.wait(concurrent.futures.Future())
    assert 0 < limits[0] <= 1
