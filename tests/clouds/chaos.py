"""Chaos in front of the doubles of both clouds: `python -m tests.clouds.chaos runninghub --runs 1000 --seed 1`."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.comfyapi import backend as v2_backend
from comfykit_jupyter.client.backends.comfyapi import follow as v2_follow
from comfykit_jupyter.client.backends.runninghub import api as runninghub_api
from comfykit_jupyter.client.backends.runninghub import backend as runninghub_backend
from comfykit_jupyter.client.backends.runninghub import files as runninghub_files
from comfykit_jupyter.client.backends.runninghub import follow as runninghub_follow
from comfykit_jupyter.client.running import submission
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.clouds import runninghub as words
from tests.client import workflows
from tests.client.chaos.campaign import BOUND, Campaign, Outcome, Place, describe_findings
from tests.client.chaos.command import build_parser, play_and_report
from tests.client.chaos.faults import Chaos, Site
from tests.clouds.comfyapi.double import KEY, Double, Output, set_status
from tests.clouds.runninghub import RunningHub

MAY = re.compile(r"(may|might) (still |keep |be )?run|may be running|keeps running|has not confirmed|attach")
"""Words by which a run says that its job may run on."""


def find_v2_route(method: str, path: str) -> str:
    """Return the name of a route of Comfy API v2."""
    parts = path.removeprefix("api/v2/").split("/")
    if parts[0] != "jobs":
        return "assets"
    if len(parts) == 1:
        return "create" if method == "POST" else "list"
    return "look" if len(parts) == 2 else parts[2]


def find_runninghub_route(method: str, path: str) -> str:
    """Return the name of a route of RunningHub."""
    last = path.rsplit("/", 1)[-1]
    return {"query": "look", "outputs": "look", "status": "look", "getJsonApiFormat": "graph"}.get(last, last)


V2 = Site(("create", "look", "list", "cancel", "events", "workflow", "assets"), "create", find_v2_route)
RUNNINGHUB = Site(("create", "look", "cancel", "graph"), "create", find_runninghub_route)


class CloudPlace(Place):
    """A cloud whose jobs are found by a text in their workflows."""

    site: Site

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.texts: dict[Any, str] = {}

    def find(self, source: Any) -> list[tuple[str, int]]:
        """Return the state of each job that a source has: `done`, `failed`, `cancelled` or `open`; and its outputs."""
        raise NotImplementedError

    def draw_text(self) -> str:
        return f"text-{next(self._numbers):06}-"


class V2Place(CloudPlace):
    """The double of Comfy API v2."""

    site = V2

    def __init__(self, double: Double) -> None:
        super().__init__()
        self._double = double

    def make_kit(self, url: str, **options: Any) -> ComfyKit:
        return ComfyKit(f"{url}/api/v2", api_key=KEY, **options)

    def draw(self, chance: random.Random) -> Any:
        text = self.draw_text()
        steps = [set_status("running")] * chance.randrange(1, 4)
        outputs = [Output("2", f"{text}{at}.png", "image", "image/png", b"png") for at in range(chance.randrange(3))]
        last = set_status("failed", error={"code": "x", "message": "no"}) if chance.random() < 0.1 else None
        self._double.plan = (*steps, last or set_status("succeeded", outputs=outputs))
        return workflows.text(text)

    def find(self, source: Any) -> list[tuple[str, int]]:
        names = {"succeeded": "done", "failed": "failed", "canceled": "cancelled"}
        text = source["1"]["inputs"]["value"]
        jobs = [job for job in self._double.jobs.values() if job.workflow["1"]["inputs"]["value"] == text]
        return [(names.get(job.status, "open"), len(job.outputs)) for job in jobs]


class RunningHubPlace(CloudPlace):
    """The double of RunningHub."""

    site = RUNNINGHUB

    def __init__(self, cloud: RunningHub) -> None:
        super().__init__()
        self._cloud = cloud
        self._ids = itertools.count(1904136902449209346)
        cloud.concurrency = 10_000

    def make_kit(self, url: str, **options: Any) -> ComfyKit:
        nowhere = "http://127.0.0.1:1"
        return ComfyKit(
            nowhere,
            runninghub_url=url,
            runninghub_api_key=self._cloud.key,
            runninghub_concurrency=8,
            place="runninghub",
            **options,
        )

    def draw(self, chance: random.Random) -> Any:
        id_, text = str(next(self._ids)), self.draw_text()
        kind = chance.randrange(5)
        graph = workflows.picture(prefix=text) if kind == 0 else workflows.text(text)
        if kind == 1:
            graph = workflows.failing()
        if kind == 2:
            graph = workflows.napping(chance.choice((0.02, 0.2)), text)
        if kind != 1 and chance.random() < 0.3:  # all failing graphs are equal: they differ in their IDs
            return graph
        self._cloud.workflows[id_] = graph
        return id_

    def find(self, source: Any) -> list[tuple[str, int]]:
        names = {"SUCCESS": "done", "FAILED": "failed", "CANCEL": "cancelled"}
        tasks = [task for task in list(self._cloud.tasks.values()) if source in (task.workflow_id, task.graph)]
        return [(names.get(task.end or "", "open"), len(task.outputs)) for task in tasks]


def judge(campaign: Campaign, place: CloudPlace) -> list[str]:
    """Return what is wrong with what the runs said."""

    def judge_run(outcome: Outcome) -> list[str]:
        jobs = place.find(outcome.source)
        return [f"{line} | {jobs}" for line in _judge_run(outcome, jobs)]

    return describe_findings(campaign, judge_run)


def _judge_run(outcome: Outcome, jobs: list[tuple[str, int]]) -> list[str]:
    result = outcome.result
    if result is None:
        return ["no result"]
    bad = ["hang"] if outcome.took > BOUND else []
    if len(jobs) > 1:
        bad.append("paid twice")
    states = {state for state, _ in jobs}
    kind = result.error.kind if result.error else ""
    said = MAY.search(" ".join((*result.warnings, result.msg or ""))) is not None
    if result.status == "completed":
        if states != {"done"}:
            bad.append("false completion")
        elif len(_list_outputs(result)) != jobs[0][1] and not result.warnings:
            bad.append("incomplete without a warning")
        return bad
    if kind == "node_error" and states != {"failed"}:
        bad.append("false failure")
    if kind == "gone" and states:
        bad.append("false gone")
    if kind in ("refused", "invalid", "unreachable", "unknown", "timeout") and states and not said:
        bad.append(f"a job is lost ({kind})")
    if kind == "cancelled" and states & {"done", "open"} and not said:
        bad.append("false cancelled")
    if kind == "cancelled" and not outcome.cancelled:
        bad.append("cancelled without a request")
    return bad


def _list_outputs(result: Any) -> list[Any]:
    return [*result.images, *result.texts, *result.files, *result.videos, *result.audios]


def make_quick() -> None:
    """Shorten the pauses of the clients."""
    submission.TURN = 2.0
    v2_follow.LOOK_MOST, v2_follow.SETTLING, v2_follow.REOPEN_FIRST = 0.5, 1.0, 0.05
    runninghub_api.ANSWER_TIMEOUT = 3.0
    runninghub_follow.SETTLING = 3.0
    words.BACK_OFF = {code: seconds / 50 for code, seconds in words.BACK_OFF.items()}
    modules: Mapping[Any, tuple[str, ...]] = {
        runninghub_backend: ("RECONNECT",),
        runninghub_files: ("PAUSE", "PAUSE_MOST"),
        runninghub_follow: ("LOOK_FIRST", "LOOK_QUEUED", "LOOK_RUNNING", "LOOK_LEAST"),
        runninghub_api: ("PAUSE", "PAUSE_MOST"),
    }
    for module, names in modules.items():
        for name in names:
            setattr(module, name, getattr(module, name) / 20)
    v2_backend.LOST_PAUSES = (0.1, 0.2, 0.3, 0.5)


def main() -> int:
    """Play many campaigns, and print what was found."""
    parser = build_parser(__doc__, 2_000)
    parser.add_argument("cloud", choices=("v2", "runninghub"))
    options = parser.parse_args()
    make_quick()
    with ExitStack() as stack:
        place: CloudPlace
        if options.cloud == "v2":
            double = stack.enter_context(Double())
            place, url = V2Place(double), double.url
        else:
            cloud = stack.enter_context(RunningHub(stack.enter_context(Sandbox()).url))
            place, url = RunningHubPlace(cloud), cloud.url
        chaos = stack.enter_context(Chaos(url, site=place.site))
        return play_and_report(
            chaos, place, options, lambda campaigns: [line for each in campaigns for line in judge(each, place)]
        )


if __name__ == "__main__":
    raise SystemExit(main())
