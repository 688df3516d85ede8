"""Run the tests on the Pythons of this machine, with the newest dependencies and the oldest: `make matrix`.

The oldest Python gets the lower bounds of pyproject.toml, every Python the newest versions. CI has the same matrix.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.project import ROOT, read_table

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
TESTS = ("tests/unit", "tests/client", "--ignore=tests/client/defects")
_LOWER = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)")


def find_python(version: str) -> str | None:
    """Return the command of a Python that works, or None."""
    # On Windows there is no python3.12.exe: there it is the Python that runs this.
    for name in (f"python{version}", *(str(path) for path in _find_pyenv(version)), sys.executable):
        command = shutil.which(name)
        if command is None:
            continue
        done = subprocess.run(
            [command, "-c", "import ensurepip, sys; print(sys.version)"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and done.stdout.startswith(f"{version}."):
            return command
    return None


def _find_pyenv(version: str) -> Iterator[Path]:
    yield from (Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python")


def list_lower_bounds(requirements: Iterable[str]) -> list[str]:
    """Return the lower bounds of requirements as constraints.

    >>> list_lower_bounds(["httpx>=0.28", "uvicorn[standard]>=0.30; sys_platform != 'win32'"])
    ['httpx==0.28', 'uvicorn==0.30']
    """
    return [f"{found[1]}=={found[2]}" for each in requirements if (found := _LOWER.match(each))]


def list_requirements() -> list[str]:
    """Return the requirements of the package and of its extra `sandbox`."""
    table = read_table()
    return [*table["dependencies"], *table["optional-dependencies"]["sandbox"]]


def run(python: str, version: str, bounds: str, tests: list[str]) -> bool:
    """Run the tests in a separate environment; return whether they pass."""
    folder = ROOT / f".venv/matrix/{version}-{bounds}"
    command = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not command.exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    constraints = folder / "constraints.txt"
    lines = list_lower_bounds(list_requirements()) if bounds == "oldest" else []
    constraints.write_text("\n".join(lines))
    pip = [command, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
    needed = ["--editable", f"{ROOT}[sandbox]", "--group", f"{ROOT / 'pyproject.toml'}:test"]
    if subprocess.run([*pip, "-c", constraints, *needed], check=False).returncode != 0:
        return False
    options = ["-q", "-n", "2", "--dist", "loadfile", "-m", "not slow", "-p", "no:cacheprovider"]
    return subprocess.run([command, "-m", "pytest", *options, *tests], cwd=ROOT, check=False).returncode == 0


def main() -> None:
    """Run all environments that this machine has; exit with 1 if one fails, or if there is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one environment, such as 3.10-oldest")
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    options = parser.parse_args()
    outcomes: dict[str, str] = {}
    for version in PYTHONS:
        python = find_python(version)
        for bounds in ("oldest", "newest") if version == PYTHONS[0] else ("newest",):
            name = f"{version}-{bounds}"
            if options.only not in (None, name):
                continue
            if python is None:
                outcomes[name] = "not on this machine"
                continue
            print(f"{name} …", flush=True)
            outcomes[name] = "passed" if run(python, version, bounds, options.tests) else "failed"
    for name, outcome in outcomes.items():
        print(f"{name:12} {outcome}")
    if "passed" not in outcomes.values() or "failed" in outcomes.values():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
