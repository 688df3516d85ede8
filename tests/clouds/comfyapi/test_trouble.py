"""Failures of Comfy API v2: lost responses, full or unreachable servers, broken streams."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, ExecuteResult, RunFailed
from comfykit_jupyter.client.backends.comfyapi import backend, follow, sse
from tests.client import workflows
from tests.client.test_cancel import wait_for
from tests.client.test_progress import Watcher
from tests.kits import MakeKit

from .double import KEY, Double, Events, Job, Links, Output, Reply, set_status

NODE_ERROR = {
    "code": "node_execution_error",
    "message": "CUDA out of memory",
    "node_id": "2",
    "class_type": "SaveImage",
    "traceback": "Traceback …\n  line 1\n",
}


def get_error_kind(result: ExecuteResult) -> str:
    assert result.error is not None
    return result.error.kind


# -- before there is a job ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind", "expected_text"),
    [
        (Reply(401, "unauthorized", "no such key"), "unreachable", "check api_key="),
        (Reply(403, "forbidden", "not in your plan"), "unreachable", "not in your plan"),
        (Reply(402, "insufficient_credits", "0 credits"), "refused", "0 credits: there are not enough credits: buy"),
        (Reply(422, "deployment_stopped", "it is stopped"), "refused", "start it on its page"),
        (Reply(422, "missing_asset", "gone"), "refused", "give the file itself"),
        (Reply(422, "invalid_workflow", "it has a cycle"), "refused", "it has a cycle"),
        (Reply(422, "a_code_of_tomorrow", ""), "refused", "a_code_of_tomorrow"),
        (Reply(404, text="<h1>nothing here</h1>"), "unreachable", "does not speak Comfy API v2"),
        (Reply(307, headers={"Location": "http://elsewhere.example/x?secret"}), "unreachable", "redirects to"),
        (Reply(413, text="too large"), "unreachable", "does not speak Comfy API v2: it answers 413"),
    ],
    ids=lambda value: value.code or str(value.status) if isinstance(value, Reply) else None,
)
async def test_a_rejected_job_is_not_retried(
    reply: Reply, kind: str, expected_text: str, double: Double, cloud_kit: ComfyKit
) -> None:
    double.fail("POST /jobs", reply)
    result = await cloud_kit.execute(workflows.picture())
    assert get_error_kind(result) == kind
    assert expected_text in str(result.msg)
    assert (double.count("POST /jobs"), double.jobs, result.prompt_id) == (1, {}, None)
    if kind == "refused":
        assert result.error is not None
        assert result.error.exception_type == reply.code


async def test_problems_are_reported_by_node_and_input(double: Double, cloud_kit: ComfyKit) -> None:
    problems = [{"field": "width", "reason": "missing_input"}, {"field": "x", "reason": "odd_one"}]
    details = {"node_errors": {"1": problems}}
    double.fail("POST /jobs", Reply(422, "invalid_workflow", "Node 1: …", details=details))
    result = await cloud_kit.execute(workflows.picture())
    assert result.error is not None
    assert (result.error.kind, result.error.node_id, result.error.field) == ("refused", "1", "width")
    assert result.error.node_title == "Canvas"
    assert "Canvas (node 1): Required input is missing, width; Canvas (node 1): odd one, x" in str(result.msg)


@pytest.mark.parametrize("code", ["queue_full", "deployment_not_ready", "rate_limited"])
def test_a_full_server_is_retried_after_its_pause(code: str, double: Double, cloud_kit: ComfyKit) -> None:
    full = Reply(429, code, "come back later", {"Retry-After": "1"})
    double.fail("POST /jobs", full, full)
    run = cloud_kit.submit(workflows.picture())
    wait_for(run, lambda run: "come back later: trying again in" in str(run.progress))
    assert run.status == "queued"
    assert run.result().status == "completed"
    assert (double.count("POST /jobs"), len(double.jobs)) == (3, 1)


async def test_retries_have_a_limit(double: Double, cloud_kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "ROOM", 0.5)
    double.fail("POST /jobs", Reply(429, "queue_full", "the queue is full", {"Retry-After": "3600"}))
    result = await cloud_kit.execute(workflows.picture())
    assert get_error_kind(result) == "refused"
    assert "the queue is full" in str(result.msg)
    assert double.count("POST /jobs") == 1


def test_cancelling_the_wait_for_a_full_server_leaves_no_job(double: Double, cloud_kit: ComfyKit) -> None:
    double.fail("POST /jobs", *[Reply(429, "queue_full", "full", {"Retry-After": "100"})] * 9)
    run = cloud_kit.submit(workflows.picture())
    wait_for(run, lambda run: "full" in str(run.progress))
    run.cancel()
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert get_error_kind(caught.value.result) == "cancelled"
    assert (double.jobs, double.count("POST /jobs")) == ({}, 1)


def test_a_server_that_ignores_a_cancel_is_reported(
    double: Double, cloud_kit: ComfyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "DEAF", 0.0)
    double.ignores_cancel, double.plan = True, [set_status("running")] * 8 + [set_status("succeeded")]
    run = cloud_kit.submit(workflows.picture())
    wait_for(run, lambda run: run.status == "running")
    run.cancel()
    result = run.result()
    assert result.status == "completed"  # the job really completed
    assert [line for line in result.warnings if "was cancelled, but keeps running" in line]


# -- a job with a lost response ----------------------------------------------------------------------------------------

LOST = [
    Reply(0, after=True),
    Reply(500, "upstream_error", after=True),
    Reply(503, "upstream_unreachable", after=True),
    Reply(502, text="<h1>Bad Gateway</h1>", after=True),
    Reply(422, "idempotency_key_reuse", after=True),
    Reply(201, text="not what one expects", after=True),
    Reply(202, text="{}", after=True),
    Reply(408, text="Request Timeout", after=True),
    Reply(408, "request_timeout", after=True),
]


@pytest.mark.parametrize("listing", ["full", "light"])
@pytest.mark.parametrize("lost", LOST, ids=lambda reply: f"{reply.status}-{reply.code}")
async def test_a_job_with_a_lost_response_is_found_not_resent(
    lost: Reply, listing: Any, double: Double, cloud_kit: ComfyKit
) -> None:
    double.listing = listing
    double.fail("POST /jobs", lost)
    result = await cloud_kit.execute(workflows.picture())
    assert (result.status, [result.prompt_id]) == ("completed", list(double.jobs))
    assert double.count("POST /jobs") == 1


@pytest.mark.parametrize(
    ("listing", "reply", "expected_text"),
    [
        ("none", Reply(0, after=True), "it does not expose its jobs"),
        ("full", Reply(0), "it is not in the list of jobs"),
        ("full", Reply(500, "upstream_error"), "it is not in the list of jobs"),
    ],
)
async def test_an_unknown_outcome_is_reported_with_advice(
    listing: Any, reply: Reply, expected_text: str, double: Double, cloud_kit: ComfyKit
) -> None:
    double.listing = listing
    double.fail("POST /jobs", reply)
    result = await cloud_kit.execute(workflows.picture())
    assert (get_error_kind(result), result.prompt_id) == ("unknown", None)
    assert f"the job may be running ({expected_text})" in str(result.msg)
    assert f"Look at {double.base} before you run it again" in str(result.msg)
    assert double.count("POST /jobs") == 1


async def test_a_lost_job_is_found_when_the_server_returns(double: Double, cloud_kit: ComfyKit) -> None:
    away = [Reply(0), Reply(503, "upstream_unreachable"), Reply(429, "rate_limited", headers={"Retry-After": "1"})] * 2
    double.fail("POST /jobs", Reply(0, after=True))
    double.fail("GET /jobs", *away)
    assert (await cloud_kit.execute(workflows.picture())).status == "completed"
    assert (len(double.jobs), double.count("POST /jobs")) == (1, 1)


async def test_a_lost_job_of_an_unreachable_server_is_unknown(double: Double, make_kit: MakeKit, quick: None) -> None:
    double.fail("POST /jobs", Reply(0, after=True))
    double.fail("GET /jobs", *[Reply(503, "upstream_unreachable", "no ComfyUI")] * 100)
    result = await make_kit(double.base, api_key=KEY, patience=0.2).execute(workflows.picture())
    assert get_error_kind(result) == "unknown"
    assert "its list of jobs can't be read: " in str(result.msg)


async def test_an_older_or_different_job_is_not_mistaken_for_the_lost_one(double: Double, cloud_kit: ComfyKit) -> None:
    await cloud_kit.execute(workflows.picture())
    (old,) = double.jobs.values()
    old.created = old.created.replace(year=2020)
    await cloud_kit.execute(workflows.picture(prefix="another"))
    double.fail("POST /jobs", Reply(0))
    assert get_error_kind(await cloud_kit.execute(workflows.picture())) == "unknown"


async def test_two_identical_lost_jobs_are_distinguished(double: Double, cloud_kit: ComfyKit) -> None:
    double.fail("POST /jobs", Reply(0, after=True), Reply(0, after=True))
    results = await asyncio.gather(*(cloud_kit.execute(workflows.picture()) for _ in range(2)))
    assert {result.prompt_id for result in results} == double.jobs.keys()
    assert len(double.jobs) == 2


async def test_a_lost_job_with_a_file_is_found(double: Double, cloud_kit: ComfyKit) -> None:
    double.fail("POST /jobs", Reply(0, after=True))
    assert (await cloud_kit.execute(workflows.inverted(), {"image": b"\x89PNG a picture"})).status == "completed"


# -- a running job -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["http", "websocket"])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(500, "upstream_error"),
        Reply(502, text="<h1>Bad Gateway</h1>"),
        Reply(404, text="<h1>404</h1>"),
        Reply(404, "not_found"),
        Reply(200, text="[not a job"),
        Reply(0),
        Reply(429, "rate_limited", headers={"Retry-After": "1"}),
    ],
    ids=lambda reply: f"{reply.status}-{reply.code}",
)
async def test_bad_responses_are_tolerated(
    reply: Reply, listen: Any, double: Double, make_kit: MakeKit, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SETTLING", 30.0)  # two looks may take longer than the short time of other tests
    double.fail("GET /jobs/{id}", reply, reply if reply.status != 429 else Reply(500))
    result = await make_kit(double.base, api_key=KEY, executor_type=listen).execute(workflows.picture())
    assert result.status == "completed"


async def test_the_http_executor_opens_no_stream(double: Double, cloud_kit: ComfyKit) -> None:
    assert (await cloud_kit.execute(workflows.picture())).status == "completed"
    assert double.count("GET /jobs/{id}/events") == 0


async def test_an_unreachable_server_is_given_up_eventually(double: Double, make_kit: MakeKit, quick: None) -> None:
    double.fail("GET /jobs/{id}", *[Reply(503, "upstream_unreachable", "no ComfyUI")] * 1000)
    result = await make_kit(double.base, api_key=KEY, patience=0.2).execute(workflows.picture())
    assert get_error_kind(result) == "unreachable"
    assert "no ComfyUI (given up after 0 s; the job may still run there)" in str(result.msg)
    assert [result.prompt_id] == list(double.jobs)


async def test_an_invalid_key_ends_the_run_immediately(double: Double, cloud_kit: ComfyKit) -> None:
    double.fail("GET /jobs/{id}", Reply(401, "unauthorized", "revoked"))
    result = await cloud_kit.execute(workflows.picture())
    assert get_error_kind(result) == "unreachable"
    assert "revoked" in str(result.msg)


@pytest.mark.parametrize("events", ["follow", "none", "break", "silent", "endless", "nonsense"])
def test_a_run_succeeds_whatever_its_stream_does(
    events: Events, double: Double, cloud_kit: ComfyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "LIMIT", 1_000_000)
    monkeypatch.setattr(follow, "IDLE", 0.3)
    double.events = events
    double.plan = [set_status("queued"), *[set_status("running")] * 20, set_status("succeeded")]
    run = cloud_kit.submit(workflows.picture())
    double.wait_for("GET /jobs/{id}/events", 2 if events == "break" else 1)
    assert run.result().status == "completed"


def test_streams_are_closed_and_not_reopened_in_a_loop(double: Double, cloud_kit: ComfyKit) -> None:
    double.fail("GET /jobs/{id}/events", *[Reply(429, "too_many_streams", headers={"Retry-After": "100"})] * 50)
    double.plan = [*[set_status("running")] * 20, set_status("succeeded")]
    assert cloud_kit.submit(workflows.picture()).result().status == "completed"
    assert double.count("GET /jobs/{id}/events") == 1


def test_a_stream_gives_previews_and_progress(double: Double, cloud_kit: ComfyKit) -> None:
    progress = {"value": 0.4, "nodes_done": 1, "nodes_total": 2, "current_node": "2", "step": 4, "steps": 10}
    double.plan = [set_status("running", progress=progress)] * 5
    run = cloud_kit.submit(workflows.picture())
    watcher = Watcher(run)
    wait_for(run, lambda run: run.progress.step == 4)
    assert (run.progress.node_id, run.progress.steps, run.progress.nodes_done) == ("2", 10, 1)
    (job,) = double.jobs.values()
    double.call(lambda: double.plans[job.id].append(set_status("succeeded")))
    run.result()
    watcher.wait()
    assert [(preview.node_id, preview.data) for preview in watcher.previews][:1] == [("1", b"a preview")]


def test_a_job_missing_for_a_moment_is_polled_again(double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [
        set_status("running"),
        set_status("expired"),
        set_status("expired"),
        set_status("running"),
        set_status("succeeded"),
    ]
    assert cloud_kit.run(workflows.picture()).status == "completed"


def test_a_missing_job_is_reported_as_gone(double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("running"), set_status("expired")]
    with pytest.raises(RunFailed) as caught:
        cloud_kit.run(workflows.picture())
    assert get_error_kind(caught.value.result) == "gone"


async def test_unknown_states_do_no_harm(double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("paused"), set_status("rewinding"), set_status("succeeded")]
    assert (await cloud_kit.execute(workflows.picture())).status == "completed"


def test_a_slow_cancel_is_waited_for(double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("running")]
    run = cloud_kit.submit(workflows.picture())
    wait_for(run, lambda run: run.status == "running")
    run.cancel()
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert (get_error_kind(caught.value.result), double.count("POST /jobs/{id}/cancel")) == ("cancelled", 1)


def test_a_failed_cancel_is_retried(double: Double, cloud_kit: ComfyKit) -> None:
    busy = Reply(429, "rate_limited", headers={"Retry-After": "1"})
    double.fail("POST /jobs/{id}/cancel", Reply(0), Reply(503, "upstream_error"), busy)
    double.plan = [set_status("running")]
    run = cloud_kit.submit(workflows.picture())
    wait_for(run, lambda run: run.status == "running")
    run.cancel()
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert get_error_kind(caught.value.result) == "cancelled"
    assert {job.status for job in double.jobs.values()} == {"canceled"}


def test_cancel_during_submission_cancels_the_job(double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("running")]
    answered = threading.Event()
    submit = double._submit

    async def slow(request: Any) -> Any:
        answer = await submit(request)
        await asyncio.to_thread(answered.wait, 20)
        return answer

    double._submit = slow  # type: ignore[method-assign]
    run = cloud_kit.submit(workflows.picture())
    double.wait_for("POST /jobs")
    canceller = threading.Thread(target=run.cancel)
    canceller.start()
    answered.set()
    canceller.join()
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert get_error_kind(caught.value.result) == "cancelled"
    assert {job.status for job in double.jobs.values()} == {"canceled"}


async def test_a_failure_has_all_the_servers_details(double: Double, cloud_kit: ComfyKit) -> None:
    kept = Output("1", "half.png", "image", "image/png", b"half")
    double.plan = [set_status("running"), set_status("failed", error=NODE_ERROR, outputs=[kept])]
    result = await cloud_kit.execute(workflows.picture())
    assert result.error is not None
    assert (result.error.kind, result.error.node_id, result.error.class_type) == ("node_error", "2", "SaveImage")
    assert result.error.traceback == ("Traceback …\n", "  line 1\n")
    assert [media.name for media in result.media] == ["half.png"]


@pytest.mark.parametrize("error", [None, {}, 7, {"code": "worker_lost", "message": "it is gone"}, {"message": []}])
async def test_a_failure_of_any_format_is_understood(error: Any, double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("failed", error=error)]
    result = await cloud_kit.execute(workflows.picture())
    assert get_error_kind(result) == "node_error"
    assert result.msg


# -- links and lists ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("links", ["absolute", "relative", "foreign"])
@pytest.mark.parametrize("prefix", ["", "/deployment/dep-1"])
def test_links_are_followed_on_the_servers_origin_only(
    links: Links, prefix: str, make_kit: MakeKit, quick: None
) -> None:
    with Double(prefix=prefix) as double:
        double.links = links
        double.plan = [set_status("running"), set_status("running"), set_status("succeeded", outputs=[_make_output()])]
        kit = make_kit(double.base, api_key=KEY)
        run = kit.submit(workflows.picture())
        assert run.result().image.read() == b"picture"
        double.plan = [set_status("running")]
        run = kit.submit(workflows.picture())
        wait_for(run, lambda run: run.status == "running")
        run.cancel()
        with pytest.raises(RunFailed):
            run.result()
        assert all(route in double._list_routes() for route in double.routes)


def _make_output() -> Output:
    return Output("2", "picture_00001_.png", "image", "image/png", b"picture")


async def test_a_server_that_cannot_list_jobs_is_reported(double: Double, cloud_kit: ComfyKit) -> None:
    double.listing = "none"
    server = await asyncio.to_thread(cloud_kit.server)
    assert (server.reachable, server.running, server.pending) == (True, 0, 0)
    for ask in (cloud_kit.queue, cloud_kit.history):
        with pytest.raises(ComfyKitError, match=r"does not expose its jobs: kit\.attach\(ID\)"):
            await asyncio.to_thread(ask)


def test_history_lists_the_servers_jobs(double: Double, cloud_kit: ComfyKit) -> None:
    for job in (Job({}, "a"), Job({}, "b"), Job({}, "c"), Job({}, "d")):
        double.jobs[job.id] = job
    set_status("succeeded", outputs=[_make_output()])(double.jobs["a"])
    set_status("failed", error=NODE_ERROR)(double.jobs["b"])
    set_status("running")(double.jobs["c"])
    server = cloud_kit.server()
    assert (server.running, server.pending) == (1, 1)
    waiting = [(job.prompt_id, job.status, job.place) for job in cloud_kit.queue()]
    assert waiting == [("c", "running", None), ("d", "queued", 1)]
    listed = {job.prompt_id: job for job in cloud_kit.history()}
    assert {id_: (job.status, job.files, job.seconds, job.message) for id_, job in listed.items()} == {
        "a": ("completed", 1, 2.5, ""),
        "b": ("failed", 0, 2.5, "CUDA out of memory"),
    }


@pytest.mark.parametrize("most", [0, -1, 1001, "10", None, True, 1.5])
def test_an_invalid_history_limit_is_rejected(most: Any, cloud_kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError, match="limit must be an integer"):
        cloud_kit.history(most)


def test_a_missing_key_is_reported(double: Double, make_kit: MakeKit) -> None:
    server = make_kit(double.base).server()
    assert not server.reachable
    assert "give api_key=" in server.message
