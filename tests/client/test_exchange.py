"""Test results as dicts and JSON, as types of pydantic, and as what a web service returns."""

from __future__ import annotations

import asyncio
import dataclasses
import decimal
import json
import math
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pydantic
import pytest
import pytest_asyncio
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, ExecuteResult, Media, RunError
from comfykit_jupyter.client.results.exchange import to_any_json
from tests.kits import MakeKit

from . import workflows


class Job(pydantic.BaseModel):
    """A model of a user of comfykit: a result is one of its fields."""

    name: str = "job"
    result: ExecuteResult | None = None
    results: list[ExecuteResult] = []
    url: str = ""


class Odd:
    """An object that JSON has no form for, and whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("never")


def make_odd_result() -> ExecuteResult:
    """Return a result with everything that JSON can't have."""
    circle: list[Any] = []
    circle.append(circle)
    odd: dict[Any, Any] = {
        "nan": math.nan, "infinite": [math.inf], "bytes": b"\x89PNG", "path": pathlib.Path("a/b.png"), "set": {1},
        "array": np.zeros((2, 2)), "scalar": np.float32(0.5), "large": 1 << 20_000, "odd": Odd(), "circle": circle,
        "image": Image.new("RGB", (2, 2)), "half": "\ud800", ("a", 1): None, "decimal": decimal.Decimal("1.5"),
    }  # fmt: skip
    return ExecuteResult("failed", msg="\ud800", params=odd, outputs={"1": odd}, prompt={"1": {"inputs": odd}})


@pytest.fixture
def failed(make_kit: MakeKit) -> ExecuteResult:
    return make_kit(raise_on_error=False).run(workflows.failing())


def test_result_is_the_same_after_a_round_trip(kit: ComfyKit) -> None:
    first = kit.run(workflows.picture(), width=20)
    again = ExecuteResult.from_dict(json.loads(json.dumps(first.to_dict())))
    assert again.to_dict() == first.to_dict()
    assert dataclasses.replace(again, media=[]) == dataclasses.replace(first, media=[])
    assert (again.image.name, again.image.var, again.image.mime) == (first.image.name, "cover", "image/png")
    assert again.images[0] is again.images_by_var["cover"][0] is again.image
    assert again.image.read() == first.image.read()
    assert again["cover"] == first["cover"]


def test_failed_result_keeps_its_error(failed: ExecuteResult) -> None:
    again = ExecuteResult.from_dict(json.loads(failed.to_json()))
    assert failed.error is not None
    assert (again.error, again.msg, again.status) == (failed.error, failed.msg, "failed")


def test_names_and_addresses_are_those_of_comfykit(kit: ComfyKit) -> None:
    result = kit.run(workflows.picture())
    found = result.to_dict()
    assert list(found)[:3] == ["status", "prompt_id", "duration"]
    assert found["images"] == [str(result.image)]
    assert found["images_by_var"] == {"cover": [str(result.image)]}
    assert {type(each) for each in found["images"]} == {str}
    (media,) = found["media"]
    assert (media["url"], media["name"], media["place"]) == (str(result.image), result.image.name, "comfyui")


def test_dict_of_comfykit_becomes_a_result(kit: ComfyKit) -> None:
    """What `model_dump` of comfykit 0.1.12 returns."""
    made = kit.run(workflows.picture())
    url = str(made.image)
    dumped = {
        "status": "completed", "prompt_id": "a", "duration": 1.5, "images": [url, "https://elsewhere/a.png"],
        "images_by_var": {"cover": [url]}, "audios": [], "audios_by_var": {}, "videos": [], "videos_by_var": {},
        "texts": ["a"], "texts_by_var": {"2": ["a"]}, "outputs": {"2": {"text": ["a"]}}, "msg": None,
    }  # fmt: skip
    result = ExecuteResult.from_dict(dumped)
    assert result.image.read() == made.image.read()
    assert (result.image.var, result.text, result.images) == ("cover", "a", dumped["images"])
    failed = ExecuteResult.from_dict({"status": "error", "msg": "out of memory"})
    assert (failed.status, failed.msg) == ("failed", "out of memory")


@pytest.mark.parametrize(
    "data",
    [
        None, [], "x", {}, {"status": None}, {"status": "great"}, {"status": []},
        {"status": "completed", "images": "a.png"}, {"status": "completed", "images_by_var": {"1": "a.png"}},
        {"status": "completed", "media": [{"url": "x"}]}, {"status": "completed", "media": [5]},
        {"status": "completed", "prompt_id": 5}, {"status": "completed", "duration": "long"},
        {"status": "failed", "error": 5}, {"status": "failed", "outputs": []},
    ],
    ids=repr,
)  # fmt: skip
def test_anything_else_is_rejected_in_one_line(data: Any) -> None:
    with pytest.raises(ComfyKitError) as caught:
        ExecuteResult.from_dict(data)
    assert "\n" not in str(caught.value)
    with pytest.raises(pydantic.ValidationError):
        Job.model_validate({"result": {} if data is None else data})


def test_odd_values_become_json() -> None:
    result = make_odd_result()
    for text in (
        json.dumps(result.to_dict(), allow_nan=False),
        result.to_json(2),
        Job(result=result).model_dump_json(),
    ):
        found = json.loads(text.encode())
        found = found.get("result", found)["params"]
        assert (found["nan"], found["infinite"], found["scalar"]) == (None, [None], 0.5)
        assert (found["path"], found["set"], found["decimal"]) == ("a/b.png", [1], 1.5)
        assert found["odd"].startswith("<Odd")
    assert ExecuteResult.from_dict(result.to_dict()).status == "failed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
)


@given(JSON)
def test_everything_becomes_json(value: Any) -> None:
    text = json.dumps(to_any_json(value), allow_nan=False, ensure_ascii=False).encode()
    assert to_any_json(json.loads(text)) == json.loads(text)


def test_methods_of_a_pydantic_model(kit: ComfyKit) -> None:
    result = kit.run(workflows.picture())
    assert result.model_dump() == result.model_dump(mode="json") == result.to_dict()
    assert result.model_dump(include={"status", "images"}) == {"status": "completed", "images": [str(result.image)]}
    assert {"msg", "outputs"}.isdisjoint(result.model_dump(exclude={"outputs"}, exclude_none=True))
    assert json.loads(result.model_dump_json(indent=2)) == result.to_dict()
    assert ExecuteResult.model_validate_json(result.model_dump_json()).image == result.image
    assert ExecuteResult.model_validate(result) is result
    with pytest.raises(ValueError, match="is not a result"):
        ExecuteResult.model_validate({})


def test_field_of_a_pydantic_model(kit: ComfyKit, failed: ExecuteResult) -> None:
    result = kit.run(workflows.picture())
    job = Job(result=result, results=[failed], url=result.images[0])
    assert job.result is result
    assert job.model_dump()["result"] == result.to_dict()
    again = Job.model_validate_json(job.model_dump_json())
    assert again.result is not None
    assert (again.result.image, again.results[0].error, again.url) == (result.image, failed.error, str(result.image))
    assert pydantic.TypeAdapter(list[ExecuteResult]).validate_python([result.to_dict()])[0].image == result.image


def test_parts_of_a_result_can_be_left_out(kit: ComfyKit) -> None:
    result = kit.run(workflows.picture())
    job = Job(result=result)
    assert job.model_dump(include={"result": {"status", "images"}}) == {
        "result": {"status": "completed", "images": [str(result.image)]}
    }
    assert "prompt" not in job.model_dump(exclude={"result": {"prompt"}})["result"]
    assert "msg" not in json.loads(job.model_dump_json(exclude_none=True))["result"]
    adapter = pydantic.TypeAdapter(ExecuteResult)
    assert json.loads(adapter.dump_json(result, include={"texts"})) == {"texts": []}


class Frame(pydantic.BaseModel):
    """A model of a user of comfykit: an image is one of its fields."""

    image: Media
    page: pydantic.HttpUrl
    strict: pydantic.StrictStr


def test_media_are_a_type_and_an_address_of_pydantic(kit: ComfyKit) -> None:
    image = kit.run(workflows.picture()).image
    frame = Frame(image=image, page=image, strict=image)  # type: ignore[arg-type]
    assert frame.image is image
    assert frame.model_dump()["image"] == json.loads(frame.model_dump_json())["image"] == str(image)
    again = Frame.model_validate_json(frame.model_dump_json())
    assert (again.image.name, again.image.read()) == (image.name, image.read())
    described = ExecuteResult("completed", media=[image]).to_dict()["media"][0]
    assert Frame.model_validate({**frame.model_dump(), "image": described}).image.var == "cover"
    with pytest.raises(pydantic.ValidationError, match="media of a result can't be 5"):
        Frame.model_validate({**frame.model_dump(), "image": 5})
    for mode in ("validation", "serialization"):
        assert Frame.model_json_schema(mode=mode)["properties"]["image"]["type"] == "string"


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_schema_lists_every_attribute(mode: Any) -> None:
    schema = pydantic.TypeAdapter(ExecuteResult).json_schema(mode=mode)
    assert schema["properties"].keys() == {field.name for field in dataclasses.fields(ExecuteResult)}
    assert schema["properties"]["images"] == {"title": "images", "type": "array", "items": {"type": "string"}}
    assert "result" in Job.model_json_schema(mode=mode)["properties"]


@pytest_asyncio.fixture
async def service(kit: ComfyKit) -> AsyncIterator[httpx.AsyncClient]:
    """A web service with the routes that users write: with a type, without one, and with a model of their own."""
    app = FastAPI()

    @app.get("/typed")
    async def typed(width: int) -> ExecuteResult:
        return await kit.execute_json(workflows.picture(), {"width": width, "index": 1})

    @app.get("/untyped", response_model=None)
    async def untyped() -> Any:
        return await kit.execute_json(workflows.picture())

    @app.get("/short", response_model_include={"status", "images", "msg"}, response_model_exclude_none=True)
    async def short() -> ExecuteResult:
        return await kit.execute_json(workflows.picture())

    @app.get("/failing")
    async def failing() -> ExecuteResult:
        return await kit.execute_json(workflows.picture(), {"width": Image.new("RGB", (1, 1))})

    @app.get("/untyped_failing", response_model=None)
    async def untyped_failing() -> Any:
        return await kit.execute_json(workflows.picture(), {"width": Image.new("RGB", (1, 1)), "color": b"\xff"})

    @app.get("/odd")
    def odd() -> ExecuteResult:
        return make_odd_result()

    @app.get("/model")
    async def model() -> Job:
        result = await kit.execute_json(workflows.picture())
        return Job(result=result, url=result.images[0])

    @app.post("/echo")
    def echo(result: ExecuteResult) -> str:
        return result.images[0]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service") as client:
        yield client


@pytest.mark.parametrize("path", ["/typed?width=16", "/untyped"])
async def test_web_service_returns_a_result(path: str, service: httpx.AsyncClient) -> None:
    found = (await service.get(path)).raise_for_status().json()
    assert (found["status"], len(found["images"])) == ("completed", 1)
    again = ExecuteResult.from_dict(found)
    assert (await asyncio.to_thread(again.image.pil)).height == 16
    assert (await service.post("/echo", json=found)).json() == str(again.image)


@pytest.mark.parametrize("path", ["/failing", "/untyped_failing", "/odd"])
async def test_web_service_returns_a_failed_result(path: str, service: httpx.AsyncClient) -> None:
    found = (await service.get(path)).raise_for_status().json()
    assert (found["status"], bool(found["msg"])) == ("failed", True)


async def test_web_service_returns_a_part_of_a_result(service: httpx.AsyncClient) -> None:
    assert (await service.get("/short")).raise_for_status().json().keys() == {"status", "images"}


async def test_web_service_returns_a_model_with_a_result_and_describes_it(service: httpx.AsyncClient) -> None:
    found = (await service.get("/model")).raise_for_status().json()
    assert found["url"] == found["result"]["images"][0]
    assert (await service.post("/echo", json={"status": "great"})).status_code == 422
    described = (await service.get("/openapi.json")).raise_for_status().text
    assert '"images_by_var"' in described


def test_output_of_two_nodes_keeps_both_names() -> None:
    entries = [{"url": "http://a/view?filename=x.png", "query": {"filename": "x.png"}, "var": var} for var in "ab"]
    lists = {"images": [entries[0]["url"]] * 2, "images_by_var": {var: [entries[0]["url"]] for var in "ab"}}
    result = ExecuteResult.from_dict({"status": "completed", "media": entries, **lists})
    assert [[each.var for each in result[var]] for var in "ab"] == [["a"], ["b"]]
    assert result.images_by_var["b"][0] is result.media[1]


def test_media_without_a_server_say_so() -> None:
    entry = {"url": "x.png", "query": {"filename": "x.png"}, "place": None}
    result = ExecuteResult.from_dict({"status": "completed", "media": [entry], "images": ["x.png"]})
    assert isinstance(result.images[0], Media)
    with pytest.raises(ComfyKitError, match=r"x\.png can't be read"):
        result.image.read()


def test_error_survives_without_its_parts() -> None:
    result = ExecuteResult.from_dict({"status": "failed", "error": {"kind": "gone", "later": 5, "traceback": ["a"]}})
    assert result.error == RunError("gone", "", traceback=("a",))
