"""Runs on a server behind `Chaos`, and whether what they say of their jobs is true."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from comfykit_jupyter import ComfyKit, ComfyKitError, ExecuteResult
from comfykit_jupyter.client import loop
from comfykit_jupyter.client.running.run import Run
from tests.client import nodes, workflows  # noqa: F401 - fills the embedded server's nodes
from tests.client.chaos.faults import Chaos, Weather, summarize

PATIENCE = 1.5
"""Seconds of patience of each kit."""
BOUND = 25.0
"""Seconds in which a run must end: beside its patience also what the machine needs for the others."""
LONGEST = 300.0
"""Seconds after which a run is left without a result: on a busy machine they may be a second of `Pulse`."""
TICK = 0.1
"""Seconds between two beats of `Pulse`."""
SENT_LATE = "received the job"
"""What the log says of a job that arrived late."""


class Pulse:
    """A clock that stands still while the machine has no time for this process.

    Args:
        loops: The event loops of the other threads that a run needs: each has its turn in a beat.
    """

    def __init__(self, *loops: asyncio.AbstractEventLoop) -> None:
        self._loops = loops
        self._beats = 0
        self._task = asyncio.ensure_future(self._beat())

    @property
    def now(self) -> float:
        """The time in seconds."""
        return self._beats * TICK

    def stop(self) -> None:
        """Stop the clock."""
        self._task.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for each in self._loops:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), each))
            self._beats += 1


@dataclass
class Outcome:
    """What one run said."""

    source: Any
    run: Run
    result: ExecuteResult | None
    took: float
    cancelled: bool
    error: str = ""


@dataclass
class Campaign:
    """Some runs in the same weather."""

    weather: Weather
    target: str
    kit: ComfyKit
    pulse: Pulse
    outcomes: list[Outcome] = field(default_factory=list)


class LateLog(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def draw_workflow(chance: random.Random) -> workflows.Graph:
    kind = chance.randrange(6)
    if kind == 0:
        return workflows.picture(prefix=f"p{chance.randrange(10**9)}")
    if kind == 1:
        return workflows.failing()
    if kind == 2:
        return workflows.napping(chance.choice((0.02, 0.1, 0.3)), f"n{chance.randrange(10**9)}")
    if kind == 3:
        outputs: list[dict[str, Any]] = [{"text": [str(chance.random())]}, {}, {"images": [{"filename": "x.png"}]}]
        return workflows.showing({"text": ["a"]}, *outputs)
    return workflows.text(str(chance.random()))


class Place:
    """A ComfyUI server. Subclasses are other places."""

    leaving = 0.2
    """The share of runs that are cancelled."""
    leaving_within = 0.5
    """Seconds in which they are."""

    def change(self, weather: Weather) -> None:
        """Change what goes wrong in a campaign."""

    def make_kit(self, url: str, **options: Any) -> ComfyKit:
        """Return a kit for the address of a campaign."""
        return ComfyKit(url, **options)

    def draw(self, chance: random.Random) -> Any:
        """Draw a workflow that is not drawn again."""
        return draw_workflow(chance)


class HardPlace(Place):
    """A server that often chooses the IDs, loses answers to prompts, and lists its jobs late, for impatient users."""

    leaving = 0.8
    leaving_within = 3.0

    def change(self, weather: Weather) -> None:
        chance = random.Random(f"{weather.seed}/hard")
        weather.chooses_ids = chance.random() < 0.8
        weather.rate = chance.choice((0.3, 0.6, 1.0))
        weather.faults["queue"] = ("slow",)
        lost = (("silent",), ("silent-before", "silent"), ("reset", "gateway"), ("truncated", "html"))
        weather.faults["prompt"] = chance.choice(lost)
        if chance.random() < 0.5:
            weather.faults["history"] = ("slow",)


async def play(chaos: Chaos, seed: int, place: Place) -> Campaign:
    """Play one campaign."""
    weather, url = chaos.begin(seed)
    place.change(weather)
    chance = random.Random(f"{seed}/client")
    executor = chance.choice(("http", "websocket"))
    kit = place.make_kit(url, executor_type=executor, patience=PATIENCE, raise_on_error=False)
    campaign = Campaign(weather, chaos.get_target(weather), kit, Pulse(loop.get_loop(), chaos.loop))
    over = asyncio.get_running_loop().call_later(
        chance.choice((0.2, 1.0, 3.0, 1000.0)), lambda: setattr(weather, "calm", True)
    )
    for _ in range(chance.choice((1, 1, 2))):
        await asyncio.gather(*(_run(campaign, place, chance) for _ in range(chance.choice((1, 1, 2, 4)))))
    over.cancel()
    weather.calm = True
    campaign.pulse.stop()
    await kit.close()
    return campaign


async def _run(campaign: Campaign, place: Place, chance: random.Random) -> None:
    source, leaves = place.draw(chance), chance.random() < place.leaving
    after, listens = chance.uniform(0, place.leaving_within), chance.random() < 0.5
    began = campaign.pulse.now
    kit = campaign.kit
    run = kit._prepare(source, {}, listen=listens or kit.executor_type == "websocket")
    run.start()
    if leaves:
        asyncio.get_running_loop().call_later(after, lambda: asyncio.ensure_future(_cancel(run)))
    try:
        result = await asyncio.wait_for(run.wait_for_result(), LONGEST)
        campaign.outcomes.append(Outcome(source, run, result, campaign.pulse.now - began, leaves))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        took = campaign.pulse.now - began
        campaign.outcomes.append(Outcome(source, run, None, took, leaves, f"{type(error).__name__}: {error}"))


async def _cancel(run: Run) -> None:
    with contextlib.suppress(ComfyKitError):
        await asyncio.to_thread(run.cancel)


class Record:
    """What a server knows."""

    def __init__(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=60) as http:
            self.history: dict[str, Any] = http.get("/history").json()
            queue = http.get("/queue").json()
        self.queued = {item[1] for part in queue.values() for item in part}


def judge(campaign: Campaign, record: Record, late: str) -> list[str]:
    """Return what is wrong with what the runs said."""
    return describe_findings(campaign, lambda outcome: _judge_run(campaign.weather, outcome, record, late))


def describe_findings(campaign: Campaign, judge_run: Callable[[Outcome], list[str]]) -> list[str]:
    """Return what is wrong with each run of a campaign, with what the run said and what happened to it."""
    found = []
    for outcome in campaign.outcomes:
        result = outcome.result
        error = result.error if result else None
        about = f"{result.status}/{error.kind if error else ''}: {result.msg}" if result else outcome.error
        for line in judge_run(outcome):
            found.append(
                f"{line} | {about} | {outcome.took:.1f} s {outcome.run.id[:8]} | {summarize(campaign.weather)}"
            )
    return found


def _judge_run(weather: Weather, outcome: Outcome, record: Record, late: str) -> list[str]:
    result, id_ = outcome.result, outcome.run.id
    if result is None:
        return ["no result"]
    bad = []
    if outcome.took > BOUND:
        bad.append("hang")
    if weather.posted[id_] > 1:
        bad.append("sent twice")
    # A server that keeps our ID knows the job, even if the answer to its POST never reached the proxy.
    server_id = weather.delivered.get(id_, id_ if id_ in record.history or id_ in record.queued else None)
    entry = record.history.get(server_id) if server_id else None
    kind = result.error.kind if result.error else ""
    ran = entry is not None and entry["status"]["status_str"] == "success"
    reported = server_id is not None and f"{SENT_LATE} {server_id} " in late
    may = "may still run" in " ".join((*result.warnings, result.msg or ""))
    if result.status == "completed":
        bad += _judge_outputs(result, entry)
        return bad
    if kind == "gone" and entry is not None:
        bad.append("false gone")
    if kind == "node_error" and (entry is None or entry["status"]["status_str"] != "error"):
        bad.append("false failure")
    if kind == "refused" and server_id is not None:
        bad.append("false rejection")
    if (kind == "invalid" or result.prompt_id is None) and server_id is not None and kind != "cancelled":
        bad.append("false 'not sent'")
    if kind == "unknown" and ran and not reported and not may:
        bad.append("an unknown job ran, and nothing said so")
    if kind == "cancelled" and ran and not reported and not may:
        bad.append("false cancelled")
    if kind == "cancelled" and server_id in record.queued:
        bad.append("cancelled, but there")
    if kind not in ("gone", "node_error", "refused", "invalid", "unknown", "cancelled", "unreachable"):
        bad.append("unexpected kind")
    if kind == "cancelled" and not outcome.cancelled:
        bad.append("cancelled without a request")
    return bad


def _judge_outputs(result: ExecuteResult, entry: Mapping[str, Any] | None) -> list[str]:
    if entry is None:
        return ["false completion: no record"]
    if (status := entry["status"]["status_str"]) != "success":
        return [f"false completion: {status}"]
    if result.outputs != entry["outputs"] and not result.warnings:
        return ["incomplete without a warning"]
    return []
