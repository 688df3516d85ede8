"""Test the tunnel to a server beside which an engine calls functions: here the engine is this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, RunFailed, ServerError
from comfykit_jupyter.client.backends.comfyui import remote
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.backends.comfyui.remote import RemoteTunnel, ServerEnd
from comfykit_jupyter.client.servers.pool import make_kit
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.sandbox import Sandbox

from .nodes import Gate
from .workflows import gated, inverted, picture

LABEL = "dask://here/0"


class Here:
    """An engine whose calls may be lost."""

    def __init__(self, url: str) -> None:
        self.receivers: dict[str, Callable[[dict[str, Any]], None]] = {}
        self.end = ServerEnd(url, self._send)
        self.calls: list[tuple[Any, ...]] = []
        self.lose: Callable[[tuple[Any, ...]], bool] = lambda _call: False
        self.events = 0
        self.drop_event = -1

    def _send(self, event: dict[str, Any]) -> None:
        self.events += 1
        if event["relay"] in self.receivers and self.events != self.drop_event:
            self.receivers[event["relay"]](event)

    async def ask(self, label: str, method: str, *args: Any) -> Any:
        assert label == LABEL
        self.calls.append((method, *args))
        answer = await getattr(self.end, method)(*args)
        if self.lose((method, *args)):
            raise ConnectionError("the worker was killed")
        return answer

    def subscribe(self) -> None:
        pass


@pytest.fixture
def engine(sandbox: Sandbox) -> Here:
    return Here(sandbox.url)


@pytest.fixture
def kit(engine: Here) -> Iterator[ComfyKit]:
    from comfykit_jupyter.client import loop

    settings = Settings(comfyui_url=LABEL, patience=5)
    kit = make_kit(LABEL, ComfyUI(settings, RemoteTunnel(LABEL, engine)), settings, ComfyKit()._make)
    yield kit
    loop.call(kit.close())
    loop.call(engine.end.close())


def test_runs_files_and_lists_pass_through(kit: ComfyKit, engine: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CHUNK", 100)
    result = kit.run(picture(), width=70, height=50)
    assert (result.server, result.image.pil().size) == (LABEL, (70, 50))
    ranges = [dict(call[3]).get("Range") for call in engine.calls if call[0] == "exchange" and "/view?" in call[2]]
    assert ranges[:2] == ["bytes=0-99", "bytes=100-199"]
    assert kit.run(inverted(), image=result.image.read()).image.pil().size == (70, 50)
    assert kit.history(1)[0].status == "completed"
    with pytest.raises(ServerError, match="does not have"):
        kit.input("none.png").read()


def test_previews_stay_within_their_budget(
    kit: ComfyKit, engine: Here, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PREVIEW_RATE", 0.001)
    previews: list[Any] = []
    run = kit.submit(gated(gate[0], steps=9))
    run.subscribe(preview=previews.append)
    gate[1].open()
    assert run.result().status == "completed"
    assert len(previews) <= 1
    assert engine.events > 5


def test_a_lost_event_does_not_lose_the_run(kit: ComfyKit, engine: Here, gate: tuple[str, Gate]) -> None:
    engine.drop_event = 3
    run = kit.submit(gated(gate[0]))
    gate[1].open()
    assert run.result().image.pil().size == (32, 16)


def test_a_prompt_whose_answer_is_lost_is_sent_once(kit: ComfyKit, engine: Here) -> None:
    lost: list[Any] = []

    def lose(call: tuple[Any, ...]) -> bool:
        if call[1:3] == ("POST", "/prompt"):
            lost.append(call)
        return call[1:3] == ("POST", "/prompt")

    engine.lose = lose
    assert kit.run(picture(), width=71).image.pil().size == (71, 16)
    assert len(lost) == 1


def test_keys_come_from_the_servers_machine(kit: ComfyKit, engine: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_API_KEY", "secret")
    engine.end = ServerEnd(engine.end.url, engine._send)
    kit.run(picture(), width=73)
    assert engine.end._http is not None
    assert engine.end._http.headers["authorization"] == "Bearer secret"
    assert "secret" not in str(engine.calls)


def test_an_engine_that_is_away_is_named(kit: ComfyKit, engine: Here) -> None:
    async def refuse(*_: Any) -> Any:
        raise ConnectionRefusedError("no worker has the server dask://here/0 now")

    engine.ask = refuse  # type: ignore[assignment, method-assign]
    with pytest.raises((ServerError, RunFailed), match=LABEL):
        kit.options(timeout=20, patience=1).run(picture())
