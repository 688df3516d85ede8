"""The Python code in the documents passes mypy in strict mode."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PREAMBLE = """
from comfykit_jupyter import ComfyKit, ExecuteResult, Media, Run, Sweep, WorkflowWidget, seeds
from fastapi import FastAPI

"""
GIVEN = (
    "kit: ComfyKit, run: Run, result: ExecuteResult, fox: ExecuteResult, image: Media, form: WorkflowWidget, "
    "sweep: Sweep, app: FastAPI, prompt: str, seed: int"
)


def blocks() -> list[tuple[str, str]]:
    """Where each block begins, and its code without the lines that only a notebook understands."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for block in BLOCK.finditer(text):
            lines = [line for line in block[1].splitlines() if not line.startswith("%")]
            found.append((f"{document.name}, line {text.count(chr(10), 0, block.start()) + 2}", "\n".join(lines)))
    return found


def test_the_code_in_the_documents_passes_mypy(tmp_path: Path) -> None:
    code, origin = PREAMBLE, {}
    for number, (where, block) in enumerate(blocks()):
        first = code.count("\n") + 2
        code += f"async def block_{number}({GIVEN}) -> None:\n{textwrap.indent(block, '    ')}\n    return\n\n"
        origin[range(first, code.count("\n") + 1)] = where
    assert len(origin) >= 10
    module = tmp_path / "documents.py"
    module.write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(module)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = code.splitlines()
    wrong = []
    for number, message in re.findall(r"documents\.py:(\d+): (.*)", done.stdout):
        where = next((where for part, where in origin.items() if int(number) in part), "")
        wrong.append(f"{where}: {lines[int(number) - 1].strip()}: {message}")
    assert not done.returncode, "\n".join(wrong) or done.stdout + done.stderr
