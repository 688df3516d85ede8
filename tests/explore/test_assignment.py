"""Test who gets which point or run, when there are several servers: the rules alone, without servers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from comfykit_jupyter import ServerError
from comfykit_jupyter.client.backends.pool import placement
from comfykit_jupyter.client.backends.server import Server, describe_server
from comfykit_jupyter.explore.sweeps.assignment import Assignment
from comfykit_jupyter.explore.sweeps.awaited_worker import AwaitedWorker
from comfykit_jupyter.explore.sweeps.crew import Crew
from comfykit_jupyter.workflow.values.binding import Binding


def test_who_gets_which_point() -> None:
    groups = [("a",), ("a",), ("a",), ("b",), ("b",), ("c",)]
    waiting = Assignment(groups)
    for index in range(6):
        waiting.add(index)
    none = lambda _group: False  # noqa: E731
    assert waiting.take("x", none) == 0  # the largest
    assert waiting.take("y", none) == 3  # the largest that no server has begun
    assert waiting.take("x", none) == 1  # keeps to its own
    assert waiting.take("z", lambda group: group == ("c",)) == 2  # helps, and not with what it can't run
    waiting.add_for("y", 0)
    waiting.add(1)
    assert (waiting.remove(1), waiting.remove(1)) == (True, False)
    assert waiting.take("x", none) == 5
    assert [waiting.take("y", none), waiting.take("y", none), waiting.take("y", none)] == [0, 4, None]
    assert len(waiting) == 0


def test_waiting_runs_take_turns_to_look_at_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = 0.0, 0
    tick = asyncio.Event()

    async def ask(question: Any) -> list[tuple[Any, str]]:
        nonlocal looks
        looks += 1
        return [(server, "")]

    async def wait_for(work: Any, _: float) -> None:
        work.close()
        await tick.wait()

    async def let_all_look() -> None:
        nonlocal now, tick
        now += placement.LOOK_INTERVAL + 0.1
        before, tick = tick, asyncio.Event()
        before.set()
        for _ in range(50):
            await asyncio.sleep(0)

    async def wait_for_long() -> int:
        place = placement.Placement(ask)
        names = [*map(str, range(12))]
        choosing = [asyncio.ensure_future(place.choose(name, binding, lambda _: None)) for name in names]
        for _ in range(11):
            await let_all_look()
        counted = looks
        for name in names:
            place.release(name)
            await let_all_look()
        assert all(each.done() for each in choosing)
        return counted

    server = SimpleNamespace(url="http://a")
    binding = Binding({}, {}, {}, (), {})
    monkeypatch.setattr(placement, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(placement, "loop", SimpleNamespace(wait_for=wait_for))
    assert asyncio.run(wait_for_long()) <= 12 + 2 * 11


def test_all_waiting_runs_look_again_once_a_server_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    answers: list[tuple[Any, Any]] = []

    async def ask(_: Any) -> list[tuple[Any, Any]]:
        return list(answers)

    async def look_thrice() -> list[bool]:
        nonlocal now
        place, outdated = placement.Placement(ask), []
        answers[:] = [(first, ""), (second, ServerError("away"))]
        before = await place._look(binding)
        for second_says in ("", ServerError("away"), ""):
            now += 1.0
            answers[1] = (second, second_says)
            after = await place._look(binding)
            outdated += [place._is_outdated(before), place._is_outdated(after)]
            before = after
        return outdated

    first, second = SimpleNamespace(url="http://a"), SimpleNamespace(url="http://b")
    binding = Binding({}, {}, {}, (), {})
    monkeypatch.setattr(placement, "time", SimpleNamespace(monotonic=lambda: now))
    assert asyncio.run(look_thrice()) == [True, False, False, False, True, False]


def test_runs_of_the_same_models_belong_together_whatever_their_texts_say() -> None:
    def bind(text: str, model: str = "common.safetensors") -> Binding:
        return Binding({"1": {"inputs": {"ckpt_name": model, "text": text, "clip": ["2", 0]}}}, {}, {}, (), {})

    assert placement.list_models(bind("a fox.")) == placement.list_models(bind("a cat.")) == ("common.safetensors",)
    assert placement.list_models(bind("a fox", "rare.gguf")) == ("rare.gguf",)


async def test_jobs_on_a_server_of_a_cluster_that_comes_late_are_followed() -> None:
    class Late:
        label = "dask://late/0"

        async def attach(self, prompt_id: str, on_progress: Any) -> str:
            return f"followed {prompt_id}"

    there: list[Any] = []
    worker = AwaitedWorker("dask://late/0", lambda: there, 20)
    following = asyncio.ensure_future(worker.attach("job", print))
    assert not await worker.is_reachable()
    there.append(Late())
    assert await following == "followed job"  # type: ignore[comparison-overlap]


def test_what_a_form_says_of_each_server() -> None:
    busy = Server("https://gpu/a", True, running=1, pending=2, vram_free=8 << 30)
    assert describe_server(busy) == {
        "address": "gpu/a",
        "state": "busy",
        "detail": "3 in the queue, 8.0 GB VRAM free",
    }
    found = [describe_server(Server(f"dask://vm/{number}", number == 1)) for number in range(2)]
    assert [list(each.values()) for each in found] == [["vm/0", "unreachable", "away"], ["vm/1", "ready", "idle"]]


async def test_who_joins_late_is_waited_for() -> None:
    left, crew = asyncio.Event(), Crew([SimpleNamespace(label="first", depth=1)], [], {}, None, Mock(), list)

    async def pull(worker: Any) -> None:
        if worker.label == "late":
            await left.wait()
        else:
            crew.add(SimpleNamespace(label="late", depth=1))

    working = asyncio.ensure_future(crew.work(pull, Mock()))
    await asyncio.sleep(0.05)
    assert not working.done()
    left.set()
    await asyncio.wait_for(working, 10)
