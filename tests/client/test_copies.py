"""Test that results and media survive JSON, copies and pickling, also in another process."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ExecuteResult, Media, ParameterError, RunFailed, ServerError
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy

WAYS: dict[str, Callable[[ExecuteResult], Any]] = {
    "json": lambda result: json.loads(json.dumps(dataclasses.asdict(result))),
    "asdict": dataclasses.asdict,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda result: pickle.loads(pickle.dumps(result)),
}


@pytest.mark.parametrize("graph", [workflows.picture(), workflows.failing(), workflows.text(), workflows.clip()])
@pytest.mark.parametrize("way", WAYS)
async def test_result_survives(way: str, graph: workflows.Graph, kit: ComfyKit) -> None:
    result = await kit.execute(graph)
    again = WAYS[way](result)
    names = ("status", "prompt_id", "msg", "images", "videos", "texts_by_var", "images_by_var", "outputs", "prompt")
    for name in names:
        assert (again[name] if isinstance(again, dict) else getattr(again, name)) == getattr(result, name)
    if not isinstance(again, dict):
        assert repr(again) == repr(result)
        assert again.error == result.error


async def test_serialized_result_contains_no_secret(kit: ComfyKit) -> None:
    result = await kit.options(api_key="planted-secret").execute(workflows.picture())
    assert b"planted-secret" not in pickle.dumps(result)
    assert "planted-secret" not in json.dumps(dataclasses.asdict(result))


ATTRIBUTES = ("kind", "name", "mime", "node", "var", "temp", "animated", "query")


def describe(media: Media) -> dict[str, Any]:
    return {name: getattr(media, name) for name in ATTRIBUTES} | {"address": str(media), "server": media.origin.url}


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "copy", "asdict"])
def test_media_come_back_as_what_they_were(way: str, kit: ComfyKit) -> None:
    result = kit.run(workflows.picture())
    again = WAYS[way](result)
    [media] = again["images"] if isinstance(again, dict) else again.images
    assert isinstance(media, Media)
    assert describe(media) == describe(result.image)
    assert media.pil().size == (32, 16)
    assert media.read() == result.image.read()
    assert "data:image/" in media._repr_mimebundle_()["text/html"]
    assert kit.run(workflows.inverted(), image=media).image.pil().size == (32, 16)
    if not isinstance(again, dict):
        assert again.image.var == "cover"
        assert again["cover"] == [media]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle_keeps_media(protocol: int, kit: ComfyKit) -> None:
    image = kit.run(workflows.picture()).image
    image.read()
    again = pickle.loads(pickle.dumps(image, protocol))
    assert describe(again) == describe(image)
    assert again.local is None
    assert describe(pickle.loads(pickle.dumps(again, protocol))) == describe(image)


def make_and_read(url: str, sent: Media) -> tuple[ExecuteResult, tuple[int, int]]:
    return ComfyKit(url).run(workflows.picture(), width=8), sent.pil().size


def fail(url: str, values: dict[str, Any]) -> None:
    ComfyKit(url).run(workflows.failing(), values)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def test_results_and_media_pass_through_a_process_pool(kit: ComfyKit, pool: ProcessPoolExecutor) -> None:
    result = kit.run(workflows.picture())
    made, size = pool.submit(make_and_read, result.server, result.image).result(60)
    assert size == (32, 16)
    assert made.image.pil().size == (8, 16)
    assert made.params["width"] == 8


def test_errors_pass_through_a_process_pool(sandbox: Sandbox, pool: ProcessPoolExecutor) -> None:
    with pytest.raises(RunFailed, match="kaboom") as failed:
        pool.submit(fail, sandbox.url, {}).result(60)
    assert failed.value.result.image.pil().size == (32, 16)
    with pytest.raises(ParameterError, match="widht") as wrong:
        pool.submit(fail, sandbox.url, {"widht": 3}).result(60)
    assert wrong.value.problems[0].parameter == "widht"
    with pytest.raises(ServerError, match="no ComfyUI server"):
        pool.submit(fail, "http://127.0.0.1:1", {}).result(60)


@pytest.mark.parametrize("make", [lambda kit: kit, lambda kit: kit.run, lambda kit: {"kit": [kit]}])
def test_kit_refuses_pickling_in_a_sentence(make: Callable[[ComfyKit], Any], kit: ComfyKit) -> None:
    with pytest.raises(TypeError, match=r"a ComfyKit can't be pickled, .*: create one where it is used"):
        pickle.dumps(make(kit))


def test_kit_is_shared_by_copies(kit: ComfyKit) -> None:
    assert copy.copy(kit) is kit
    assert copy.deepcopy({"kit": kit})["kit"] is kit


def test_run_refuses_pickling_in_a_sentence(kit: ComfyKit) -> None:
    run = kit.submit(workflows.picture())
    with pytest.raises(TypeError, match=r"a Run can't be pickled: pickle its prompt_id for kit\.attach"):
        pickle.dumps(run)
    run.result()


def test_pickled_media_get_no_secret_of_another_server(proxy: Proxy, make_kit: MakeKit) -> None:
    image = make_kit(proxy.url, api_key="planted-secret").run(workflows.picture()).image
    content = pickle.dumps(image)
    proxy.seen.clear()
    pickle.loads(content).read()
    assert not any("planted-secret" in str(request.headers) for request in proxy.requests("GET", "/view"))


def test_pickled_media_get_the_secrets_of_this_process_for_their_server(
    proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_kit(proxy.url).run(workflows.picture()).image
    monkeypatch.setenv("COMFYUI_API_KEY", "own-secret")
    proxy.seen.clear()
    pickle.loads(pickle.dumps(image)).read()
    monkeypatch.setenv("COMFYUI_BASE_URL", proxy.url)
    pickle.loads(pickle.dumps(image)).read()
    seen = ["own-secret" in str(request.headers) for request in proxy.requests("GET", "/view")]
    assert seen == [False, True]


def test_frames_of_pandas_keep_media_in_object_columns(kit: ComfyKit) -> None:
    pd = pytest.importorskip("pandas")
    result = kit.run(workflows.picture())
    frame = pd.DataFrame({"image": pd.Series(result.images, dtype=object), "width": [32]})
    assert isinstance(frame["image"][0], Media)
    again = pickle.loads(pickle.dumps(frame))
    assert again["image"][0].pil().size == (32, 16)
    assert isinstance(frame.to_dict("records")[0]["image"], Media)
