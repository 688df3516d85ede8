"""The account: its status, checks before a run, and advice when a key belongs to RunningHub's other site."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.runninghub import api as runninghub_api
from tests.client.proxy import Served
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .runninghub import FLOOD, HANGING, NO_JSON, App, Field, Reply, RunningHub, build_page, changes

CN, AI = "https://www.runninghub.cn", "https://www.runninghub.ai"


def test_status_reports_the_account(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.account |= {"remainMoney": "12.50", "currency": "CNY"}
    server = kit.server(WORKFLOW)
    assert (server.url, server.reachable) == (cloud.url, True)
    assert server.message == "RunningHub, 177814 coins and 12.50 CNY"
    (request,) = cloud.requests
    assert request.body["apikey"] == cloud.key


@pytest.mark.parametrize("data", [None, {}, [], "x", {"remainCoins": None}, {"currentTaskCounts": "many"}], ids=str)
def test_missing_account_values_are_omitted(data: object, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("accountStatus", Reply({"code": 0, "msg": "success", "data": data}))
    server = kit.server(WORKFLOW)
    assert (server.reachable, server.running) == (True, 0)


@pytest.mark.parametrize("answer", [802, 1003, NO_JSON, build_page(502), build_page(429), Reply([])], ids=str)
def test_an_account_that_cannot_be_read_is_unreachable(
    answer: changes.Change, kit: ComfyKit, cloud: RunningHub
) -> None:
    cloud.answer("accountStatus", answer)
    server = kit.server(WORKFLOW)
    assert not server.reachable
    assert server.message
    assert "\n" not in server.message


async def test_check_finds_what_it_can_without_the_nodes(kit: ComfyKit, cloud: RunningHub) -> None:
    report = await kit.check(WORKFLOW, {"width": 48})
    assert report.ok
    report = await kit.check(WORKFLOW, {"widht": 48, "height": "tall"})
    assert not report.ok
    assert "did you mean 'width'" in str(report.problems)
    assert len(report.problems) == 2
    cloud.answer("accountStatus", 802)
    assert "does not know the key" in str((await kit.check(WORKFLOW)).problems)
    report = await kit.check("1904")
    assert "it has no such workflow" in str(report.problems)
    assert not cloud.find_requests("create")


def test_a_dry_run_sends_nothing(kit: ComfyKit, cloud: RunningHub) -> None:
    found = kit.dry_run(WORKFLOW, width=48)
    assert found.prompt["1"]["inputs"]["width"] == 48
    assert "Canvas  width: 32 → 48" in str(found)
    cloud.apps["12"] = App("A picture", WORKFLOW, [Field("1", "width", "INT")])
    assert "width: 32 → 40" in str(kit.dry_run("rh-app:12", width=40))
    assert not cloud.find_requests("create")
    assert not cloud.find_requests("ai-app/run")


def test_a_form_has_the_workflows_parameters(kit: ComfyKit, cloud: RunningHub) -> None:
    fields = kit.fields(WORKFLOW)
    assert [(field.name, field.kind, field.default) for field in fields] == [
        ("width", "integer", 32),
        ("height", "integer", 16),
        ("color", "integer", 255),
    ]


# The two sites


class Site(Served):
    """A proxy in place of both public sites, which rejects every key and workflow."""

    code = 802

    def __init__(self) -> None:
        super().__init__()
        self.hosts: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.hosts.append(request.host)
        return web.json_response({"code": self.code, "msg": "", "data": None})


@pytest.fixture
def sites() -> Iterator[Site]:
    with Site() as sites:
        yield sites


@pytest.mark.parametrize(("own", "other"), [(CN, AI), (AI, CN)])
@pytest.mark.parametrize("code", [802, 301, 806, 380])
def test_a_key_or_workflow_of_the_other_site_is_explained(
    code: int, own: str, other: str, make_kit: MakeKit, sites: Site
) -> None:
    sites.code = code
    url = own.replace("https", "http")  # plain HTTP, so that the proxy can respond itself
    kit = make_kit(runninghub_url=url, proxy=sites.url, raise_on_error=False)
    result = kit.run(WORKFLOW)
    assert f"runninghub_url='{other.replace('https', 'http')}'" in str(result.msg)
    assert "belong to one of the two sites" in str(result.msg)
    assert sites.hosts == [own.removeprefix("https://")]


@pytest.mark.parametrize(("own", "other"), [(CN, AI), (AI, CN), (AI, "https://runninghub.cn")])
def test_a_page_of_the_other_site_is_not_requested(own: str, other: str, make_kit: MakeKit, sites: Site) -> None:
    kit = make_kit(runninghub_url=own, proxy=sites.url, raise_on_error=False)
    result = kit.run(f"{other}/workflow/{WORKFLOW}")
    assert result.status == "failed"
    assert f"runninghub_url='{other}'" in str(result.msg)
    assert sites.hosts == []


def test_no_other_site_is_suggested_without_one(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", 802)
    assert "runninghub_url" not in str(kit.run(WORKFLOW).msg)


# Responses that do not end


@pytest.mark.parametrize("endpoint", ["getJsonApiFormat", "apiCallDemo", "accountStatus"])
def test_the_wait_for_a_response_has_a_limit(
    endpoint: str, make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runninghub_api, "ANSWER_TIMEOUT", 0.1)
    cloud.answer(endpoint, HANGING, times=None)
    kit = make_kit(runninghub_retry_count=1, raise_on_error=False)
    if endpoint == "accountStatus":
        assert "no answer" in kit.server(WORKFLOW).message
    else:
        assert "no answer from" in str(kit.run("rh-app:12" if endpoint == "apiCallDemo" else WORKFLOW).msg)


async def test_the_wait_for_a_slow_response_has_a_limit(make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runninghub_api, "ANSWER_TIMEOUT", 0.3)

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    with Served(trickle) as slow:
        kit = make_kit(runninghub_url=slow.url, runninghub_retry_count=0, raise_on_error=False)
        result = await kit.execute(WORKFLOW)
    assert "no answer from" in str(result.msg)


def test_an_endless_response_is_not_read_to_its_end(
    make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runninghub_api, "ANSWER_LIMIT", 1 << 20)
    kit = make_kit(runninghub_retry_count=0, raise_on_error=False)
    for endpoint, source in (("getJsonApiFormat", WORKFLOW), ("apiCallDemo", "rh-app:12")):
        cloud.answer(endpoint, FLOOD)
        assert "more than 1 MB" in str(kit.run(source).msg)
