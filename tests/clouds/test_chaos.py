"""Test runs in both clouds under random faults: no task is paid twice, lost or misreported."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("cloud", ["v2", "runninghub"])
def test_runs_under_random_faults_say_the_truth(cloud: str) -> None:
    """In a process of its own, since it shortens the pauses of the clients. Without `--seed` it plays others."""
    command = [sys.executable, "-m", "tests.clouds.chaos", cloud, "--runs", "100", "--seed", "1", "--at-once", "10"]
    played = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert played.returncode == 0, played.stdout
