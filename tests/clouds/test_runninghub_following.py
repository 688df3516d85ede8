"""Tasks are followed by polls: whatever states they report, in any order, and with a pause after each poll."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ExecuteResult
from comfykit_jupyter.client.backends.runninghub import api as runninghub_api
from comfykit_jupyter.client.backends.runninghub import follow as runninghub_follow
from comfykit_jupyter.client.running import executable
from tests.client.proxy import Served
from tests.kits import MakeKit

from .api_client import WORKFLOW, ApiClient
from .runninghub import (
    CUT,
    DROPPED,
    EMPTY,
    HANGING,
    IDENTIFIERS,
    NO_JSON,
    NOT_FOUND,
    WRONG_PATH,
    Fate,
    Output,
    Polls,
    Refusal,
    Reply,
    RunningHub,
    build_page,
    changes,
)
from .runninghub.script import Answer

PICTURE = Output("2", "picture.png", b"\x89PNG")


def count_polls(cloud: RunningHub) -> int:
    return len(cloud.find_requests("v2/query"))


def check_failed(result: ExecuteResult, kind: str) -> str:
    """Check that a result failed in this way, and return its message."""
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == kind, result.msg
    return str(result.msg)


ORDERS = [
    "SUCCESS",
    "CREATE QUEUED RUNNING SUCCESS",
    "CREATE CREATE CREATE CREATE CREATE CREATE CREATE QUEUED SUCCESS",
    "QUEUED RUNNING QUEUED RUNNING SUCCESS",
    "RUNNING CREATE SUCCESS",
    "queued running success",
    "Running SUCCESS",
    "- RUNNING - - - - - RUNNING - - - - - SUCCESS",
]


@pytest.mark.parametrize("order", ORDERS)
def test_states_can_come_in_any_order(order: str, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.pace = Polls(queued=0, running=0)
    cloud.fates.append(Fate(outputs=[PICTURE]))
    for state in order.split():
        cloud.answer("v2/query", changes.with_state("" if state == "-" else state))
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    assert [image.name[:7] for image in result["cover"]] == ["picture"]
    assert count_polls(cloud) == len(order.split())


TROUBLES: dict[str, Answer] = {
    "a web page with status 502": build_page(502),
    "a web page with status 200": build_page(200),
    "a web page with status 429": build_page(429),
    "invalid JSON": NO_JSON,
    "a truncated answer": CUT,
    "an empty answer": EMPTY,
    "a dropped connection": DROPPED,
    "no answer": HANGING,
    "an empty state": changes.with_state(""),
    "a state of null": changes.with_state(None),
    "a state that is a list": changes.with_state(["RUNNING"]),
    "an unknown state": changes.with_state("PAUSED"),
    "the code for too many requests": 1003,
    "a code for an unknown error": 500,
    "another code for an unknown error": 1000,
    "an unknown code": 4711,
    "a list": Reply([]),
    "an error in an envelope": Reply({"code": 1005, "msg": "internal error", "data": None}),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_five_failed_polls_in_a_row_are_tolerated_but_not_six(
    trouble: str, kit: ComfyKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble == "no answer":  # all other responses must still arrive in time
        monkeypatch.setattr(runninghub_api, "ANSWER_TIMEOUT", 0.5)
    cloud.fates += [Fate(outputs=[PICTURE]), Fate(outputs=[PICTURE])]
    cloud.answer("v2/query", TROUBLES[trouble], times=5)
    cloud.answer("v2/query", lambda body: body)
    cloud.answer("v2/query", TROUBLES[trouble], times=5)
    assert kit.run(WORKFLOW).status == "completed"
    cloud.requests.clear()
    cloud.answer("v2/query", TROUBLES[trouble], times=None)
    result = kit.run(WORKFLOW)
    message = check_failed(result, "unreachable")
    assert count_polls(cloud) == 6
    assert "(6 times in a row)" in message
    assert result.prompt_id == cloud.task.id
    assert f"kit.attach('{cloud.task.id}')" in message
    assert f"{cloud.url}/call-api/call-record-detail/{cloud.task.id}" in message
    assert len(cloud.find_requests("create")) == 1
    cloud.reset_answer("v2/query")
    assert kit.attach(cloud.task.id).result().status == "completed"


@pytest.mark.parametrize("code", [301, 401, 801, 802, 806, 811, 1002, 1014])
def test_an_invalid_key_ends_the_run_immediately(code: int, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate(outputs=[PICTURE]))
    cloud.answer("v2/query", code, times=None)
    message = check_failed(kit.run(WORKFLOW), "unreachable")
    assert count_polls(cloud) == 1
    assert f"(code {code})" in message
    assert "kit.attach(" in message


FATAL = {301, 401, 801, 802, 806, 811, 1002, 1014}
MISSING = {807, 423, 1004}


@pytest.mark.parametrize("endpoint", ["v2/query", "outputs"])
def test_every_code_ends_the_run_or_is_tolerated_for_a_while(
    endpoint: str, make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runninghub_follow, "SETTLING", 0)
    if endpoint == "outputs":
        cloud.answer("v2/query", NOT_FOUND, times=None)
    for code in sorted(IDENTIFIERS.keys() - {200, 404, 412, 804, 805, 813}):
        cloud.fates.append(Fate())
        cloud.requests.clear()
        cloud.answer(endpoint, code, times=None)
        result = make_kit(raise_on_error=False).run(WORKFLOW)
        cloud.reset_answer(endpoint)
        check_failed(result, "gone" if code in MISSING else "unreachable")
        assert len(cloud.find_requests(endpoint)) == (1 if code in FATAL | MISSING else 6), code
        assert result.prompt_id == cloud.task.id
        cloud.task.polls = 99


def test_a_code_can_mean_a_state(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates += [Fate(outputs=[PICTURE]), Fate()]
    cloud.answer("v2/query", 813, times=4)
    cloud.answer("v2/query", 804, times=9)
    assert kit.run(WORKFLOW).status == "completed"
    assert count_polls(cloud) >= 14
    cloud.answer("v2/query", 805, times=None)
    assert "(code 805)" in check_failed(kit.run(WORKFLOW), "node_error")


def test_a_new_task_can_be_unknown_at_first(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate(outputs=[PICTURE]))
    for code in (1004, 807, 423):
        cloud.answer("v2/query", code, times=3)
    assert kit.run(WORKFLOW).status == "completed"
    assert count_polls(cloud) >= 10


@pytest.mark.parametrize("code", [1004, 807, 423])
def test_a_deleted_task_is_not_waited_for(
    code: int, kit: ComfyKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runninghub_follow, "SETTLING", 0)
    cloud.fates.append(Fate())
    cloud.answer("v2/query", code, times=None)
    check_failed(kit.run(WORKFLOW), "gone")
    assert count_polls(cloud) == 1
    check_failed(kit.attach("1904").result(), "gone")
    cloud.reset_answer("v2/query")
    cloud.not_found = code
    cloud.answer("v2/query", NOT_FOUND, times=None)
    check_failed(kit.attach("1904").result(), "gone")


# Pauses between polls


def set_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set pauses that are long enough to measure."""
    for name, seconds in {"FIRST": 0.05, "QUEUED": 0.2, "RUNNING": 0.3, "LEAST": 0.05}.items():
        monkeypatch.setattr(runninghub_follow, f"LOOK_{name}", seconds)


def measure_poll_rate(run: Callable[[], ExecuteResult], cloud: RunningHub) -> float:
    """Return the polls per second of a run that lasts a second."""
    began = time.monotonic()
    check_failed(run(), "timeout")
    return (count_polls(cloud) - 2) / (time.monotonic() - began)


@pytest.mark.parametrize("state", ["RUNNING", "CREATE"])
def test_polls_always_pause(state: str, make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    set_pauses(monkeypatch)
    cloud.fates.append(Fate())
    cloud.answer("v2/query", changes.with_state(state), times=None)
    monkeypatch.setattr(executable, "CANCEL_TIMEOUT", 0.1)
    kit = make_kit(raise_on_error=False, timeout=1)
    assert measure_poll_rate(lambda: kit.run(WORKFLOW), cloud) < 1 / 0.05


def test_polls_pause_even_if_the_socket_keeps_reporting_success(
    make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pauses(monkeypatch)
    notified = 0

    async def poke(request: web.Request) -> web.StreamResponse:
        nonlocal notified
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while not socket.closed:
            notified += 1
            await socket.send_str(json.dumps({"type": "execution_success", "data": {}}))
        return socket

    with Served(poke) as wild:
        cloud.fates.append(Fate())
        cloud.answer("create", changes.with_socket(f"{wild.url.replace('http', 'ws')}/ws"))
        cloud.answer("v2/query", changes.with_state("RUNNING"), times=None)
        kit = make_kit(raise_on_error=False, runninghub_timeout=1)
        rate = measure_poll_rate(lambda: kit.run(WORKFLOW), cloud)
    assert notified > 100
    assert rate < 1 / 0.05


def test_the_search_for_the_socket_has_a_limit(
    make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.sockets.has_url = False
    cloud.answer("v2/query", changes.with_state("RUNNING"), times=15)
    assert make_kit().run(WORKFLOW).status == "completed"
    assert len(cloud.find_requests("outputs")) == runninghub_follow.SOCKET_TRIES


def test_following_does_not_wait_for_the_socket_url(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.sockets.has_url = False
    cloud.answer("outputs", HANGING, times=None)
    cloud.answer("v2/query", changes.with_state("RUNNING"), times=3)
    assert make_kit().submit(WORKFLOW).result(20).status == "completed"


def test_one_malformed_response_does_not_abandon_the_newer_route(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.pace = Polls(queued=2, running=2)
    cloud.answer("v2/query", Reply({"code": 0, "msg": "success", "data": None}))
    assert kit.run(WORKFLOW).status == "completed"
    assert count_polls(cloud) > 2


# The older route


@pytest.mark.parametrize("answer", [NOT_FOUND, WRONG_PATH, build_page(404), Reply({"message": "no"}, 404)], ids=str)
def test_without_the_newer_route_the_older_one_is_used(answer: Reply, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/query", answer, times=None)
    result = kit.run(WORKFLOW, width=48)
    assert result["cover"][0].pil().size == (48, 16)
    assert count_polls(cloud) == 1


@pytest.mark.parametrize(
    "change",
    [changes.legacy_running, changes.legacy_running_in_chinese, changes.code_as_text, changes.with_socket(None)],
)
def test_the_older_route_is_understood_in_every_format(
    change: changes.Change, kit: ComfyKit, cloud: RunningHub
) -> None:
    def running(body: dict[str, Any]) -> Any:
        return change(body) if body["code"] in (804, 813) or change is changes.code_as_text else body

    cloud.pace = Polls(queued=2, running=3)
    cloud.answer("v2/query", NOT_FOUND, times=None)
    cloud.answer("outputs", running, times=None)
    assert kit.run(WORKFLOW).image.pil().size == (32, 16)


@pytest.mark.parametrize("code", [412, 404, 301, 802])
def test_a_run_without_either_route_fails_with_a_reason(code: int, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/query", NOT_FOUND, times=None)
    cloud.answer("outputs", code, times=None)
    assert "kit.attach(" in check_failed(kit.run(WORKFLOW), "unreachable")
    assert len(cloud.find_requests("outputs")) == 1


def test_a_response_can_be_in_an_envelope(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/query", changes.in_envelope, times=None)
    assert kit.run(WORKFLOW).image.pil().size == (32, 16)
    assert kit.attach("1904").result().status == "failed"  # there is no such task


# Outputs


@pytest.mark.parametrize("change", [changes.without_results, changes.without_node_ids])
@pytest.mark.parametrize("hidden", [0, 4])
def test_outputs_can_come_late_and_from_the_older_route_only(
    hidden: int, change: changes.Change, kit: ComfyKit, cloud: RunningHub
) -> None:
    cloud.hidden = hidden
    cloud.answer("v2/query", change, times=None)
    result = kit.run(WORKFLOW)
    assert len(result["cover"]) == 1
    assert result.warnings == []


def test_outputs_without_node_ids_are_kept(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/query", changes.without_node_ids, times=None)
    cloud.answer("outputs", 802, times=None)
    result = kit.run(WORKFLOW)
    assert result.image.pil().size == (32, 16)
    assert result.warnings == ["RunningHub does not say which nodes the outputs come from"]


def test_outputs_that_do_not_arrive_can_be_fetched_later(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.hidden = 99
    cloud.answer("v2/query", changes.without_results, times=None)
    result = kit.run(WORKFLOW)
    assert (result.status, result.media) == ("completed", [])
    assert result.warnings == [
        f"RunningHub does not have the outputs yet: kit.attach('{cloud.task.id}') asks for them again"
    ]
    cloud.reset_answer("v2/query")
    assert kit.attach(cloud.task.id).result().image.pil().size == (32, 16)


def test_a_task_can_have_no_outputs(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates += [Fate(), Fate()]
    result = kit.run(WORKFLOW)
    assert (result.status, result.media, result.warnings) == ("completed", [], [])
    cloud.answer("v2/query", NOT_FOUND, times=None)
    assert kit.run(WORKFLOW).status == "completed"


@pytest.mark.parametrize("node", [7, "7"])
def test_a_node_id_can_be_a_number(node: int | str, kit: ComfyKit, cloud: RunningHub, ask: ApiClient) -> None:
    cloud.fates.append(Fate(outputs=[PICTURE]))
    cloud.answer("v2/query", lambda body: with_node(body, node), times=None)
    assert list(kit.run(WORKFLOW).images_by_var) == ["7"]


def with_node(body: dict[str, Any], node: int | str) -> dict[str, Any]:
    results = body["results"]
    return {**body, "results": results and [{**each, "nodeId": node} for each in results]}


@pytest.mark.parametrize(
    "results",
    [
        [None, 7, "x", {}],
        [{"url": "javascript:alert(1)", "nodeId": "2", "outputType": "png"}],
        [{"url": "file:///etc/passwd", "nodeId": "2"}],
        [{"url": 7, "text": 7, "nodeId": "2"}],
        [{"url": f"http://x/{'x' * 9000}", "nodeId": "2"}],
    ],
)
def test_malformed_results_are_ignored(results: Any, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate())
    cloud.answer("v2/query", lambda body: {**body, "results": results}, times=None)
    cloud.answer("outputs", Refusal(802), times=None)
    result = kit.run(WORKFLOW)
    assert (result.status, result.media) == ("completed", [])
