"""Test that a script may end after `submit`: the exit waits until the prompts are sent, or says what was not sent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from comfykit_jupyter.sandbox import Sandbox

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .proxy import Proxy

ROOT = Path(__file__).parents[2]
PREPARE = """
import sys, signal, time
from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.running import registry
kit = ComfyKit(sys.argv[1])
"""
UNTIL_READ = "while run.workflow is None: time.sleep(0.01)"
UNTIL_SENT = "while not run.sent: time.sleep(0.01)"


def start(script: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE + script, url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def test_script_that_ends_after_submit_sends_its_runs(sandbox: Sandbox, jobs: Jobs) -> None:
    marks = ["first", "second"]
    flows = [workflows.text(f"sent at exit: {mark}") for mark in marks]
    script = start(f"print(*(kit.submit(each).prompt_id for each in {flows!r}))", sandbox.url)
    out, err = script.communicate(timeout=30)
    assert (script.returncode, err) == (0, "")
    jobs.expect()
    assert all(jobs.history(prompt_id) for prompt_id in out.split())


@pytest.mark.parametrize(
    ("path", "then", "message"),
    [
        ("/object_info/EmptyImage", UNTIL_READ, "run {} of workflow was not sent to {}: the program ended first\n"),
        ("/prompt", UNTIL_SENT, "run {} of workflow may still start: {} has not answered\n"),
    ],
)
def test_script_that_ends_reports_what_was_not_sent(path: str, then: str, message: str, proxy: Proxy) -> None:
    proxy.held[path] = threading.Event()
    submit = f"run = kit.submit({workflows.picture()!r}); print(run.id[:8])"
    script = start(f"registry.EXIT_PATIENCE = 0.1; {submit}\n{then}", proxy.url)
    out, err = script.communicate(timeout=30)
    proxy.held[path].set()
    assert err == message.format(out.strip(), proxy.url)


@pytest.mark.parametrize("seen", [True, False])
def test_script_that_ends_reports_unseen_failures(seen: bool, sandbox: Sandbox) -> None:
    wait = "run.subscribe(done=print)" if seen else "pass"
    script = start(f"run = kit.submit({workflows.picture()!r}, widht=8); {wait}", sandbox.url)
    out, err = script.communicate(timeout=30)
    assert ("widht" in out, "widht" in err) == (seen, not seen)
    assert len(err.splitlines()) == (0 if seen else 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("handler", ["signal.default_int_handler", "lambda *_: sys.exit(1)"])
def test_sigterm_can_cancel_as_the_documentation_says(
    handler: str, sandbox: Sandbox, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    prepare = f"signal.signal(signal.SIGTERM, {handler})"
    script = start(f"{prepare}; kit.run({workflows.gated(name)!r})", sandbox.url)
    node_gate.wait()
    script.send_signal(signal.SIGTERM)
    script.communicate(timeout=30)
    assert script.returncode != 0
    jobs.expect()
