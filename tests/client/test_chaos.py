"""Test runs under random faults: what each says of its job must be true. `python -m tests.client.chaos` plays more."""

from __future__ import annotations

import asyncio
import logging

import pytest

from comfykit_jupyter.client.backends.comfyui import follow
from comfykit_jupyter.client.running import submission
from comfykit_jupyter.sandbox import Sandbox

from .chaos.campaign import LateLog, Place, Record, judge
from .chaos.command import play_all
from .chaos.faults import Chaos

RUNS = 200


@pytest.mark.slow
def test_runs_under_random_faults_say_the_truth(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "TURN", 2.0)
    monkeypatch.setattr(follow, "WATCH_QUIET", 2.0)
    log = LateLog()
    logging.getLogger("comfykit_jupyter").addHandler(log)
    with Chaos(sandbox.url) as chaos:
        campaigns = asyncio.run(play_all(chaos, Place(), RUNS, 1, 10))
        chaos.wait_for_late()
        record = Record(sandbox.url)
    logging.getLogger("comfykit_jupyter").removeHandler(log)
    assert sum(len(campaign.outcomes) for campaign in campaigns) >= RUNS
    assert [line for each in campaigns for line in judge(each, record, "\n".join(log.lines))] == []
