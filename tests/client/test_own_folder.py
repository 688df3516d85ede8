"""Test that the folder of local copies is removed with its process, and no other folder is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .packages import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")

CODE = """
import sys
from comfykit_jupyter.client.local_files import get_local_folder
(get_local_folder() / "copy.png").write_bytes(b"a copy")
print(get_local_folder(), flush=True)
sys.stdin.read()
"""


@contextmanager
def run_process(where: Path, code: str = CODE) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a process with its folder in `where` until its stdin is closed or it is killed."""
    running = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(where), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert running.stdout is not None
        yield running, Path(running.stdout.readline().strip())
        running.communicate(timeout=20)
    finally:
        running.kill()
        running.communicate()


def test_folder_is_removed_when_the_process_ends(tmp_path: Path) -> None:
    with run_process(tmp_path) as (_, folder):
        assert (folder / "copy.png").exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_processes_are_removed_by_the_next_process(
    tmp_path: Path,
) -> None:
    with run_process(tmp_path) as (killed, left), run_process(tmp_path) as (_, living):
        killed.kill()
        killed.wait()
        assert (left / "copy.png").exists()
        with run_process(tmp_path):
            pass
        assert [*tmp_path.iterdir()] == [living]
        assert (living / "copy.png").exists()


def test_other_folders_are_kept(tmp_path: Path) -> None:
    (tmp_path / "comfykit-not-ours").mkdir()
    (tmp_path / "mine").mkdir()
    for folder in ("comfykit-not-ours", "mine"):
        (tmp_path / folder / "kept.txt").write_text("kept")
    (tmp_path / "mine/held").touch()
    (tmp_path / "comfykit-link").symlink_to(tmp_path / "mine")
    with run_process(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["comfykit-link", "comfykit-not-ours", "mine"]
    assert (tmp_path / "mine/kept.txt").exists()
    assert (tmp_path / "comfykit-not-ours/kept.txt").exists()


def test_forked_process_does_not_remove_the_folder(tmp_path: Path) -> None:
    forking = "import os\nif not os.fork():\n    sys.exit()\nos.wait()\n"
    with run_process(tmp_path, CODE.replace("print(", f"{forking}print(")) as (_, folder):
        assert (folder / "copy.png").exists()
