"""Test the command line on the embedded server: what it does, prints and returns."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.cli import main
from comfykit_jupyter.sandbox import Sandbox
from tests.client.workflows import failing, gated, inverted, picture, text
from tests.explore.made_runs import make_runs


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFYUI_BASE_URL", sandbox.url)
    monkeypatch.delenv("COMFYKIT_RUNS", raising=False)
    for name, graph in (("picture", picture()), ("failing", failing()), ("inverted", inverted())):
        Path(f"{name}.json").write_text(json.dumps(graph))


def test_a_run_is_kept_and_saved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "picture.json", "width=8", "--out", "out", "--name", "{width}", "--json"]) == 0
    with Image.open("out/8.png") as image:
        assert image.size == (8, 16)
    row = json.loads(capsys.readouterr().out)
    assert (row["status"], row["params"]["width"]) == ("completed", 8)
    assert main(["runs", "ls"]) == 0
    assert "width=8" in capsys.readouterr().out
    assert main(["runs", "csv", "--workflow", "picture"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("id,at,workflow,width")


def test_texts_are_not_computed_by_a_spreadsheet(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.json").write_text(json.dumps(text()))
    for value in ("=HYPERLINK(1)", "@SUM(1)", "plain"):
        assert main(["run", "text.json", f"say={value}"]) == 0
    capsys.readouterr()
    assert main(["runs", "csv"]) == 0
    header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert [row[header.index("say")] for row in rows] == ["plain", "'@SUM(1)", "'=HYPERLINK(1)"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert all(float(row[header.index("seconds")]) >= 0 for row in rows)


def test_a_sweep_is_planned_run_and_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["sweep", "picture.json", "width=8..12:2", "color=0,255"]
    assert main([*line, "--plan"]) == 0
    assert capsys.readouterr().err.startswith("6 points, 0 done")
    assert main([*line, "--json", "--out", "out", "--name", "{width}-{color}"]) == 0
    points: list[dict[str, Any]] = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [each["labels"] for each in points][5] == {"width": 12, "color": 255}
    assert len(list(Path("out").iterdir())) == 6
    assert main([*line, "--plan"]) == 0
    assert capsys.readouterr().err.startswith("6 points, 6 done")
    assert main(["runs", "bundle", "picture", "out/foxes.zip"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(Path("out/foxes.zip"))]
    assert main(["runs", "bundle", "pictur", "out/x.zip"]) == 2
    assert "did you mean picture" in capsys.readouterr().err


def test_a_spec_is_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    spec = {"workflow": "picture.json", "values": {"height": 4}, "over": {"width": [8, 9]}}
    Path("spec.json").write_text(json.dumps(spec))
    assert main(["sweep", "spec.json", "color=7"]) == 0
    assert "2 of 2 done" in capsys.readouterr().err


def test_several_servers_share_a_sweep(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox() as other:
        servers = f"{sandbox.url}, {other.url}"
        line = ["sweep", "picture.json", "width=8..15", "height=3", "--servers", servers, "--json"]
        assert main(line) == 0
        assert "2 servers" in capsys.readouterr().err
    assert main([*line[:4], "--plan"]) == 0
    assert capsys.readouterr().err.startswith("8 points, 8 done")


def test_failed_points_are_run_again_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["sweep", "failing.json", "width=8,9"]
    assert main(line) == 3
    capsys.readouterr()
    assert main([*line, "--plan"]) == 0
    assert "failed before: --retry sends them again" in capsys.readouterr().err


def test_a_folder_is_mapped() -> None:
    Path("photos").mkdir()
    Image.new("RGB", (4, 4)).save("photos/cat.png")
    assert main(["map", "inverted.json", "image=photos", "--out", "out", "--name", "{image.stem}"]) == 0
    with Image.open("out/cat.png") as image:
        assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (["run", "missing.json"], 2, "no file missing.json"),
        (["run", "picture.json", "width"], 2, "give values as NAME=VALUE"),
        (["run", "picture.json", "widht=8"], 2, "did you mean 'width'"),
        (["run", "failing.json"], 1, ""),
        (["sweep", "picture.json", "width=8"], 2, "give several values for a parameter"),
        (["sweep", "picture.json", "width=-1,8"], 2, "1 of 2 points are wrong (--skip-invalid runs the others)"),
        (
            ["sweep", "picture.json", "width=8,9", "--server", "http://a", "--servers", "http://b"],
            2,
            "give one of them",
        ),
        (["runs", "ls", "--text", "nowhere"], 0, "no runs found"),
        (["sweep", "failing.json", "width=8,9,10,11"], 3, "the first point failed"),
        (["map", "inverted.json", "image=nowhere"], 2, "one value must be a folder"),
        (["runs", "ls", "--runs", "picture.json"], 2, "picture.json is a file"),
    ],
)
def test_exit_codes_and_messages(line: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == code
    assert message in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "steps=10..30:5" in capsys.readouterr().out


def test_ctrl_c_pauses_and_the_same_command_goes_on() -> None:
    from tests.client.nodes import GATES

    Path("gated.json").write_text(json.dumps(gated("cli")))
    line = [sys.executable, "-m", "comfykit_jupyter", "sweep", "gated.json", "width=8,9,10"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE)
    GATES["cli"].wait()
    command.send_signal(signal.SIGINT)
    assert command.stderr is not None
    errors = command.communicate(timeout=60)[1].decode()
    assert command.returncode == 130
    assert "the sweep is paused" in errors
    GATES["cli"].open()
    assert main(["sweep", "gated.json", "width=8,9,10"]) == 0
    GATES.pop("cli")


def test_a_spec_has_axes_or_rows(kit: ComfyKit, capsys: pytest.CaptureFixture[str]) -> None:
    Path("w.json").write_text(json.dumps(picture()))

    def plan(**spec: Any) -> tuple[int, str]:
        Path("s.json").write_text(json.dumps({"workflow": "w.json", **spec}))
        return main(["sweep", "s.json", "--plan", "--server", str(kit.comfyui_url)]), capsys.readouterr().err

    code, said = plan(over=[{"width": 8, "height": 9}, {"width": 10, "height": 11}])
    assert (code, said[:8]) == (0, "2 points")
    for spec in ({"values": ["x"], "over": {"width": [8]}}, {"over": 5}, {"values": 5, "over": {"width": [8]}}):
        code, said = plan(**spec)
        assert code == 2
        assert "values must be an object" in said


def test_any_text_is_printed_anywhere(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    make_runs(kit, {"width": [8]})
    kit.runs[0].star = True
    kit.runs[0].note = "\u732b"
    for what in ("ls", "csv"):
        written = io.BytesIO()  # as on Windows, where the output goes into a file
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="cp1252", newline="\r\n"))
        assert main(["runs", what, "--runs", str(kit.runs.folder), "--server", "http://x"]) == 0
        sys.stdout.flush()
        assert b"\r\n" in written.getvalue()
        assert b"\r\r\n" not in written.getvalue()
