"""Test several servers: single runs, sweeps, a server that dies and one that comes back, a balancer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ComfyKitError, SettingsError
from comfykit_jupyter.client import loop
from comfykit_jupyter.client.servers.pool import KitWorker
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.sandbox.interface.node import Context, Output, node
from comfykit_jupyter.workflow.values.binding import Binding
from tests.client.nodes import Gate
from tests.client.proxy import Proxy, Served
from tests.client.workflows import gated, inverted, picture
from tests.kits import MakeKit

MODEL = {
    "1": {
        "class_type": "TestModel",
        "inputs": {"ckpt_name": "common.safetensors"},
        "_meta": {"title": "$model.ckpt_name"},
    },
    "2": {
        "class_type": "EmptyImage",
        "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
        "_meta": {"title": "Canvas, $color"},
    },
    "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    "4": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
}  # fmt: skip


@node(
    "TestModel",
    display_name="Model",
    category="tests",
    required=lambda folders: {"ckpt_name": (folders.list_models("checkpoints"), {})},
    returns=("STRING",),
)
def load_model(_: Context, ckpt_name: str) -> Output:
    """Return the name of a model."""
    return Output((ckpt_name,))


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Sandbox]]:
    """Two servers; the second has a model that the first lacks."""
    with Sandbox() as first, Sandbox() as second:
        for server, names in ((first, ["common"]), (second, ["common", "rare"])):
            folder = server.folder / "models" / "checkpoints"
            folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                (folder / f"{name}.safetensors").write_bytes(b"")
        yield [first, second]


@pytest.fixture
def kit(make_kit: MakeKit, servers: list[Sandbox]) -> Any:
    return make_kit([server.url for server in servers])


def find_jobs(server: Sandbox) -> set[str]:
    """Return the prompt IDs in a server's own record."""
    queue = httpx.get(f"{server.url}/queue").json()
    waiting = [item[1] for part in ("queue_running", "queue_pending") for item in queue[part]]
    return {*httpx.get(f"{server.url}/history").json(), *waiting}


def test_a_kit_with_several_servers(kit: ComfyKit, servers: list[Sandbox]) -> None:
    urls = [server.url for server in servers]
    assert kit.comfyui_url is None
    assert [each.comfyui_url for each in kit.servers] == urls
    assert [each.servers for each in kit.servers] == [[each] for each in kit.servers]
    assert all(url in repr(kit) for url in urls)
    assert [each.url for each in kit.server()] == urls  # type: ignore[union-attr]
    names = {name: name.servers for name in kit.models("checkpoints")}  # type: ignore[attr-defined]
    assert names["common.safetensors"] == tuple(urls)
    assert names["rare.safetensors"] == (urls[1],)
    assert kit.options(timeout=5).servers == kit.servers
    assert kit.options(comfyui_url=urls[0]).comfyui_url == urls[0]
    mixed = kit.options(servers=[kit.servers[0], urls[1]])
    assert mixed.servers[0] is kit.servers[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"comfyui_url": ["http://a", "http://b"], "api_key": "secret"}, "api_key belongs to one server"),
        ({"servers": ["http://a", "http://b"], "headers": {"x": "secret"}}, "headers belongs to one server"),
        ({"servers": ["http://a", "http://b"], "cookies": "a=secret"}, "cookies belongs to one server"),
        ({"servers": ["http://a", "http://a/"]}, "http://a is given twice"),
        ({"servers": []}, "servers is empty"),
        ({"servers": [5]}, "servers must be addresses or kits, not int"),
        ({"servers": "http://a"}, "a list of addresses"),
        ({"comfyui_url": "http://a", "servers": ["http://b"]}, "leave one of them out"),
        ({"servers": ["ftp://a"]}, "servers must be an address"),
        ({"servers": ["http://a"], "same_server": "column"}, "same_server must be 'row'"),
    ],
)
def test_what_several_servers_can_not_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        ComfyKit(**given)
    assert "secret" not in str(caught.value)


def test_single_runs_go_to_the_idle_server(kit: ComfyKit, servers: list[Sandbox], gate: tuple[str, Gate]) -> None:
    run = kit.submit(gated(gate[0]))
    gate[1].wait()
    busy = run.server
    others = [kit.run(picture(), width=width).server for width in (3, 4)]
    assert set(others) == {server.url for server in servers} - {busy}
    [job] = kit.queue()
    assert (job.server, job.owner) == (busy, "kernel")
    attached = kit.attach(run.prompt_id)
    gate[1].open()
    assert attached.result().server == busy
    assert {job.server for job in kit.history()} == {server.url for server in servers}
    with pytest.raises(ComfyKitError, match=r"http://.*, http://.* does not know the job"):
        kit.attach("1b9d6bcd-0000-4000-8000-000000000000").result()


def test_at_most_two_single_runs_are_in_a_queue(kit: ComfyKit, servers: list[Sandbox], gate: tuple[str, Gate]) -> None:
    runs = [kit.submit(gated(gate[0]), width=width) for width in range(8, 14)]
    gate[1].wait()
    while len(kit.queue()) < 4:
        time.sleep(0.01)
    time.sleep(0.2)
    assert [len(each.queue()) for each in kit.servers] == [2, 2]
    assert "waiting for a server" in str(runs[-1].progress)
    runs[-1].cancel()
    gate[1].open()
    assert {run.result().server for run in runs[:-1]} == {server.url for server in servers}


def test_a_run_goes_where_its_model_and_its_file_are(kit: ComfyKit, servers: list[Sandbox], tmp_path: Path) -> None:
    assert [kit.run(MODEL, model="rare.safetensors").server for _ in range(2)] == [servers[1].url] * 2
    report = loop.call(kit.check(MODEL, {"model": "rare.safetensors"}))
    assert report.ok
    assert any("is left out" in line for line in report.warnings)
    assert not loop.call(kit.check({**MODEL, "9": {"class_type": "Unknown", "inputs": {}}})).ok
    with pytest.raises(ComfyKitError, match="model"):
        kit.run(MODEL, model="none.safetensors")
    made = kit.servers[1].run(picture(), width=7, height=5).image
    assert {kit.run(inverted(), image=made).server for _ in range(2)} == {servers[1].url}
    name = kit.servers[0].upload(made)
    assert {kit.run(inverted(), image=name).server for _ in range(2)} == {servers[0].url}
    assert kit.input(name).pil().size == (7, 5)


def test_a_sweep_is_run_by_all_servers_once(kit: ComfyKit, servers: list[Sandbox]) -> None:
    before = [find_jobs(server) for server in servers]
    sweep = kit.sweep(picture(prefix="both"), over={"width": range(8, 18), "color": [0, 255]})
    assert "20 points, 0 done · 2 servers" in str(sweep.plan)
    sweep.wait()
    assert sweep.summary == "20 of 20 done"
    made = [find_jobs(server) - old for server, old in zip(servers, before, strict=True)]
    assert sum(map(len, made)) == 20
    assert min(map(len, made)) >= 5
    for server, ids in zip(servers, made, strict=True):
        assert {row.id for row in sweep.done.where(server=server.url)} == ids
    assert kit.sweep(picture(prefix="both"), over={"width": range(8, 18), "color": [0, 255]}).plan.count("have") == 20


def test_points_go_where_the_model_is_and_the_plan_says_it(kit: ComfyKit, servers: list[Sandbox]) -> None:
    over = {"model": ["common.safetensors", "rare.safetensors"], "color": [1, 2, 3]}
    sweep = kit.sweep(MODEL, over=over)
    assert f"{servers[0].url} is left out of 3 points: it lacks 'rare.safetensors'" in str(sweep.plan)
    sweep.wait()
    assert {sweep.at(model="rare.safetensors", color=color).server for color in (1, 2, 3)} == {servers[1].url}
    nowhere = kit.servers[0].sweep(MODEL, over={"model": ["rare.safetensors"], "color": [7]})
    assert nowhere.plan.problems


def test_a_row_stays_on_one_server(kit: ComfyKit) -> None:
    over = {"color": range(6), "width": [8, 16, 24]}
    sweep = kit.options(same_server="row").sweep(picture(prefix="rows"), over=over).wait()
    for color in range(6):
        assert len({sweep.at(color=color, width=width).server for width in (8, 16, 24)}) == 1
    assert len({row.server for row in sweep.done}) == 2


def test_a_server_that_dies_gives_its_points_back_and_takes_part_again(
    make_kit: MakeKit, servers: list[Sandbox], gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.explore.sweeps.crew.RETRY_INTERVAL", 0.05)
    mortal, living = servers
    before = find_jobs(mortal) | find_jobs(living)
    with Proxy(mortal.url) as proxy:
        kit = make_kit([proxy.url, living.url], patience=0.5)
        sweep = kit.sweep(gated(gate[0]), over={"width": range(8, 20)}).start()
        while len((find_jobs(mortal) | find_jobs(living)) - before) < 4:
            time.sleep(0.01)
    while sweep._engine.moved < 2:
        time.sleep(0.01)
    assert f"without {proxy.url}" in sweep.summary
    assert sweep._engine.moved == 2  # once, and not once a point
    cut_off = find_jobs(mortal) - before
    reborn = Proxy(mortal.url)
    reborn.port = proxy.port
    with reborn:
        while f"without {proxy.url}" in sweep.summary:
            time.sleep(0.01)
        gate[1].open()
        sweep.wait(60)
    assert sweep.summary == "12 of 12 done"
    assert {row.server for row in sweep.done} == {proxy.url, living.url}
    jobs = (find_jobs(mortal) | find_jobs(living)) - before
    assert jobs == {
        row.id for row in sweep.done
    }  # none twice: the two were still there, and no other server had got them
    assert cut_off <= jobs


def test_points_of_a_dead_server_are_run_by_the_living_one(
    make_kit: MakeKit, servers: list[Sandbox], gate: tuple[str, Gate]
) -> None:
    mortal, living = servers
    with Proxy(mortal.url) as proxy:
        kit = make_kit([proxy.url, living.url], patience=0.5)
        sweep = kit.sweep(gated(gate[0]), over={"width": range(40, 48)}).start()
        gate[1].wait()
        while sum(len(each.queue()) for each in kit.servers) < 4:
            time.sleep(0.01)
    while sweep._engine.moved < 2:
        time.sleep(0.01)
    gate[1].open()
    sweep.wait(60)
    assert sweep.summary == f"8 of 8 done · without {proxy.url}"
    assert {row.server for row in sweep.done} == {living.url}


def test_a_server_is_added_while_a_sweep_runs(
    make_kit: MakeKit, servers: list[Sandbox], gate: tuple[str, Gate]
) -> None:
    kit = make_kit([servers[0].url])
    sweep = kit.sweep(gated(gate[0]), over={"width": range(30, 38)}).start()
    gate[1].wait()
    sweep.add_server(servers[1].url)
    while len(kit.servers[0].queue()) + len(make_kit(servers[1].url).queue()) < 4:
        time.sleep(0.01)
    gate[1].open()
    sweep.wait()
    assert {row.server for row in sweep.done} == {server.url for server in servers}


class Balancer(Served):
    """Passes requests to several servers in turn."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__()
        self._urls = urls
        self._turn = count()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        url = self._urls[next(self._turn) % len(self._urls)]
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            answer = await client.request(request.method, url + request.raw_path, content=await request.read())
        return web.Response(status=answer.status_code, body=answer.content, content_type="application/json")


def test_a_balancer_is_refused(make_kit: MakeKit, kit: ComfyKit, servers: list[Sandbox]) -> None:
    for each in kit.servers:
        each.run(picture())
    with Balancer([server.url for server in servers]) as balancer:
        sweep = make_kit(balancer.url).sweep(picture(prefix="balanced"), over={"width": [8, 9]}).wait()
        assert "is a balancer with several servers behind it" in sweep.paused
        with_it = make_kit([balancer.url, servers[0].url])
        assert f"{balancer.url} is left out: " in str(with_it.sweep(picture(), over={"width": [50, 51]}).plan)
        assert with_it.run(picture(), width=52).server == servers[0].url
        with pytest.raises(ComfyKitError, match="is a balancer"):
            loop.call(KitWorker(make_kit(balancer.url)).find_missing(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("is_paid", [True, False])
def test_a_job_of_a_place_that_is_no_longer_used_is_sent_again_unless_it_costs(
    is_paid: bool, make_kit: MakeKit, servers: list[Sandbox], gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow, over = gated(gate[0]), {"width": [8]}
    with Proxy(servers[1].url) as proxy:
        first = make_kit(proxy.url, patience=30).sweep(workflow, over=over).start()
        gate[1].wait()
    kit = make_kit(servers[0].url, patience=0.3)
    before = find_jobs(servers[0])
    sweep = kit.sweep(workflow, over=over)
    assert sweep.plan.count("attach") == 1
    monkeypatch.setattr(KitWorker, "is_paid", is_paid)
    gate[1].open()
    sweep.wait(20)
    first.pause()
    assert sweep.states == ["unknown" if is_paid else "completed"]
    assert len(find_jobs(servers[0]) - before) == (0 if is_paid else 1)


def test_a_question_that_is_cancelled_leaves_no_tasks(kit: ComfyKit) -> None:
    asked: list[Any] = []

    async def ask(_: Any) -> None:
        asked.append(asyncio.current_task())
        await asyncio.Event().wait()

    async def cancel() -> list[bool]:
        asking = asyncio.ensure_future(kit.find_backend()._ask(ask))  # type: ignore[attr-defined]
        for _ in range(5):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        await asyncio.sleep(0)
        return [task.cancelled() for task in asked]

    assert loop.call(cancel()) == [True, True]


def test_another_event_loop_counts_its_own_runs(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked process has one of its own, and none of the runs of its parent."""
    pool, binding = kit.find_backend(), Binding({}, {}, {}, (), {})
    first = pool.members[0]

    async def ask(_: Any) -> list[tuple[Any, str]]:
        return [(first, "")]

    monkeypatch.setattr(pool, "_ask", ask)
    for name in ("a", "b"):
        loop.call(pool.choose(name, binding, lambda _: None))
    assert asyncio.run(asyncio.wait_for(pool.choose("c", binding, lambda _: None), 10)) is first


def test_jobs_on_a_server_of_a_cluster_that_is_gone_are_sent_again_at_once(
    make_kit: MakeKit, servers: list[Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.explore.sweeps.awaited_worker.LOOK", 0.05)
    kit = make_kit([server.url for server in servers], patience=0.5)
    workflow, over = picture(prefix="gone"), {"width": range(60, 66)}
    for key in kit.sweep(workflow, over=over)._prepared.keys:
        kit.runs._ledger.append({"event": "sent", "id": str(uuid.uuid4()), "key": key, "server": "dask://gone/0"})
    before = [find_jobs(server) for server in servers]
    sweep = kit.sweep(workflow, over=over)
    assert sweep.plan.count("attach") == 6
    sweep.wait(20)
    assert sweep.summary == "6 of 6 done"
    assert sum(len(find_jobs(server) - old) for server, old in zip(servers, before, strict=True)) == 6
