"""What all tests and doctests share: the embedded server, Hypothesis profiles, a private state folder, and Ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import closing_kits

WORKFLOWS = Path(__file__).parent / "notebooks" / "workflows"
BROWSER = "tests/browser/"
LONGEST = (BROWSER, "tests/notebook/", "tests/clouds/", "tests/client/")

# How fast or how busy the machine is says nothing about the code, and the same commit gives the same verdict.
CLOCKLESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", CLOCKLESS, derandomize=True, database=None)
settings.register_profile("fuzz", CLOCKLESS, max_examples=2_000, print_blob=True)
settings.load_profile("repeatable")

# A background job of a shell ignores Ctrl-C, and so would the scripts and kernels that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The job log and IPython's history are the user's: each worker, and the kernels that it starts, have their own.
_home = tempfile.TemporaryDirectory(prefix="comfykit-tests-")
for _name in ("XDG_STATE_HOME", "IPYTHONDIR"):
    os.environ[_name] = f"{_home.name}/{_name.lower()}"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One embedded server for the whole session.

    Each step waits a little, as for a GPU, so that long runs leave the CPU to the tests.
    """
    with Sandbox(step_seconds=0.02) as server:
        yield server


@pytest.fixture(autouse=True)
def doctest_names(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Give the examples in docstrings a `kit` on the embedded `server`, in the folder of the example workflows."""
    if isinstance(request.node, pytest.DoctestItem):
        server = request.getfixturevalue("sandbox")
        monkeypatch.chdir(WORKFLOWS)
        with closing_kits(ComfyKit) as make_kit:
            doctest_namespace |= {"server": server, "kit": make_kit(server.url)}
            yield
    else:
        yield


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when somebody starts Ghostscript."""
    programs = tmp_path / "programs"
    programs.mkdir()
    marker = tmp_path / "ghostscript-was-started"
    script = programs / "gs"
    script.write_text(f"#!/bin/sh\ntouch {marker}\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # Pillow looks for the program once
    return marker


@pytest.fixture(scope="module", autouse=True)
def _collect_garbage() -> Iterator[None]:
    """Collect garbage after each file: what it left open is an error of its last test, and not of a later one."""
    yield
    gc.collect()


def pytest_collection_finish() -> None:
    """Leave all tests and imported modules out of the collections: going through them takes 0.4 s each time."""
    gc.freeze()


# How a parallel run is divided: what takes longest begins first, and no two browser tests run at once.


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the folders that take longest first; within a folder the order stays."""
    items.sort(key=lambda item: next((at for at, name in enumerate(LONGEST) if item.nodeid.startswith(name)), 9))


class Files(LoadScopeScheduling):  # type: ignore[misc]
    """Gives workers one file after the other, in the order of collection; all browser tests are one file."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return BROWSER if nodeid.startswith(BROWSER) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Files | None:
    """Divide the tests so, where `--dist loadfile` asks for it."""
    return Files(config, log) if config.getoption("dist") == "loadfile" else None
