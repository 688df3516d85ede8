"""Test what a cell shows of the package's errors: the user's own lines and the message, not the package's frames."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .kernels import ROOT, Cell, Page

OURS = "comfykit_jupyter/"

WRONG = {
    "a wrong value": ("kit.run('picture.json', widht=3)", "ParameterError: widht: "),
    "a run that fails": ("kit.run('broken.json')", "RunFailed: the server rejected the prompt: "),
    "no such file": ("kit.load('nowhere.json')", "SourceError: no file nowhere.json"),
    "a wrong setting": ("ComfyKit('ftp://there')", "SettingsError: comfyui_url must be an address"),
    "an awaited run": ("await kit.submit('broken.json')", "RunFailed: the server rejected the prompt: "),
    "a form": ("kit.form('picture.json').values['width'] = 'x'", "ParameterError: width (Canvas): "),
    "a wait that is over": ("kit.submit('text_to_image.json', steps=9000).result(0.1)", "TimeoutError: not done"),
    "no server": ("ComfyKit('http://127.0.0.1:9').run('picture.json')", "ServerError: no ComfyUI server at "),
}


def read_error(cell: Cell) -> str:
    """Return the error of a cell without colours."""
    assert cell.status == "error"
    return re.sub(r"\x1b\[[0-9;]*m", "", cell.error).rstrip()


@pytest.mark.parametrize("name", WRONG)
def test_error_shows_the_users_line_and_what_is_wrong_without_frames_of_the_package(name: str, page: Page) -> None:
    code, message = WRONG[name]
    error = read_error(page.run(code))
    page.run("%comfykit cancel")
    assert f"----> 1 {code}" in error
    assert error.splitlines()[-1].startswith(message)
    assert "File" not in error
    assert len(error.splitlines()) == 6


def test_frames_between_a_cell_and_the_call_stay(page: Page) -> None:
    page.run("def fetch():\n    return kit.run('broken.json')")
    error = read_error(page.run("print('first')\nfetch()"))
    assert "----> 2 fetch()" in error
    assert "----> 2     return kit.run('broken.json')" in error
    assert OURS not in error


def test_chained_errors_are_shown_without_frames_of_the_package(page: Page) -> None:
    error = read_error(
        page.run(
            "from comfykit_jupyter import RunFailed\n"
            "try:\n    kit.run('broken.json')\nexcept RunFailed:\n    kit.run('picture.json', widht=3)"
        )
    )
    assert "During handling of the above exception" in error
    assert re.findall(r"^(\w+): ", error, re.MULTILINE) == ["RunFailed", "ParameterError"]
    assert OURS not in error


@pytest.mark.parametrize("whole", ["%tb Verbose", "%xmode Verbose\n%tb", "%xmode --show\n%tb"])
def test_all_frames_are_shown_on_request(whole: str, page: Page) -> None:
    assert OURS not in read_error(page.run("kit.run('broken.json')"))
    try:
        assert f"{OURS}client/running/run.py" in re.sub(r"\x1b\[[0-9;]*m", "", page.run(whole).error)
    finally:
        page.run("%xmode Context\n%xmode --hide")
    assert OURS not in read_error(page.run("kit.run('broken.json')"))


def test_whole_traceback_stays_on_the_error(page: Page) -> None:
    page.run("kit.run('broken.json')")
    assert OURS in page.value("''.join(__import__('traceback').format_exception(__import__('sys').last_value))")


def test_script_shows_errors_as_it_always_does(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from comfykit_jupyter import ComfyKit\nComfyKit('ftp://there')\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": "."})
    assert f"{OURS}client/settings.py" in done.stderr
    assert "SettingsError: comfyui_url must be an address such as http://127.0.0.1:8188" in done.stderr.splitlines()[-1]
