"""Test parameters on a server: the grammar of titles, and values rejected before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ComfyKitError, ParameterError, SourceError
from comfykit_jupyter.client.running.registry import find_unfinished_runs
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy


def make_workflow() -> workflows.Graph:
    """Return a workflow that uses all of the grammar."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 255},
            "_meta": {"title": "Size, $width!, $tall.height, $batch_size"},
        },
        "2": {
            "class_type": "ImageScaleBy",
            "inputs": {"image": ["1", 0], "upscale_method": "nearest-exact", "scale_by": 2.0},
            "_meta": {"title": "$factor.scale_by, $method.upscale_method"},
        },
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "dsl"},
            "_meta": {"title": "Save, $prefix.filename_prefix, $output.large"},
        },
        "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "dsl"}},
        "5": {
            "class_type": "EmptyImage",
            "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
            "_meta": {"title": "$tall.height"},
        },
        "6": {
            "class_type": "SaveImage",
            "inputs": {"images": ["5", 0], "filename_prefix": "dsl"},
            "_meta": {"title": "$output.other"},
        },
    }


async def test_titles_name_parameters_and_outputs(either: ComfyKit) -> None:
    result = await either.execute(make_workflow(), {"width": 10, "factor": 3, "prefix": "named/über & co"})
    assert result.status == "completed", result.msg
    assert result["large"][0].pil().size == (30, 48)
    assert result["4"][0].pil().size == (10, 16)
    assert result["large"][0].query["subfolder"] == "named"
    assert result["large"][0].name.startswith("über & co_")
    assert list(result.images_by_var) == ["large", "4", "other"] or set(result.images_by_var) == {"large", "4", "other"}


async def test_shared_name_sets_both_nodes_and_keeps_each_default(either: ComfyKit) -> None:
    kept = await either.execute(make_workflow(), {"width": 10})
    assert (kept["4"][0].pil().height, kept["other"][0].pil().height) == (16, 8)
    given = await either.execute(make_workflow(), {"width": 10, "tall": 5})
    assert (given["4"][0].pil().height, given["other"][0].pil().height) == (5, 5)


async def test_nodes_without_titles_are_addressed_by_class_or_id(either: ComfyKit) -> None:
    graph = workflows.picture()
    del graph["1"]["_meta"]
    assert (await either.execute(graph, {"EmptyImage.width": 9})).image.pil().width == 9
    assert (await either.execute(graph, {"1.width": 11})).image.pil().width == 11


async def test_default_seed_is_drawn_and_explicit_seed_kept(either: ComfyKit) -> None:
    graph: workflows.Graph = {
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": 0}, "_meta": {"title": "$seed.value"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    drawn = await either.execute(graph)
    assert drawn.seeds == {"seed": int(drawn.text)}
    assert (await either.execute(graph, {"seed": 0})).text == "0"
    large = await either.execute(graph, {"seed": 2**63 - 1})
    assert (large.text, large.seeds) == (str(2**63 - 1), {"seed": 2**63 - 1})
    lots = {(await either.execute(graph, {"seed": "random"})).seeds["seed"] for _ in range(3)}
    assert len(lots) == 3


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "width.*required"),
    ({"width": 10, "widht": 3}, "did you mean 'width'"),
    ({"width": "ten"}, "width"),
    ({"width": 10.5}, "width"),
    ({"width": True}, "width"),
    ({"width": None}, "width"),
    ({"width": 0}, "minimum 1"),
    ({"width": 10, "factor": float("inf")}, "factor"),
    ({"width": 10, "factor": 1e9}, "8"),
    ({"width": 10, "method": "nearest"}, "nearest-exact"),
    ({"width": 10, "prefix": True}, "prefix"),
    ({"width": 10, "prefix": object()}, "prefix"),
    ({"width": 10, "2.image": object()}, "2.image"),
    ({"width": 10, "nowhere.at_all": 1}, "nowhere"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
async def test_wrong_value_is_rejected_before_anything_is_sent(
    values: dict[str, Any], message: str, proxy: Proxy, make_kit: MakeKit
) -> None:
    kit = make_kit(proxy.url)
    result = await kit.options(raise_on_error=False).submit(make_workflow(), values)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == "invalid"
    assert result.prompt_id is None
    with pytest.raises(ParameterError, match=message) as caught:
        await kit.submit(make_workflow(), values)
    assert "\n" not in str(caught.value)
    assert not proxy.requests("POST", "/prompt")


def test_all_problems_are_reported_at_once(kit: ComfyKit) -> None:
    with pytest.raises(ParameterError) as caught:
        kit.run(make_workflow(), factor="large", method="soft", wide=3)
    assert {problem.parameter for problem in caught.value.problems} == {"width", "factor", "method", "wide"}


def test_rejection_has_no_chained_errors(kit: ComfyKit) -> None:
    editor = {"nodes": [{"id": 1, "type": "NoSuchNode", "inputs": [], "outputs": []}], "links": [], "version": 0.4}
    for graph in (make_workflow(), editor):
        with pytest.raises(ComfyKitError) as caught:
            kit.run(graph, colour=1)
        assert caught.value.__context__ is None


def test_fields_have_the_bounds_of_the_server(kit: ComfyKit) -> None:
    fields = {field.name: field for field in kit.fields(make_workflow())}
    assert list(fields) == ["width", "tall", "batch_size", "factor", "method", "prefix"]
    assert fields["width"].to_json()["required"] is True
    assert fields["factor"].to_json()["max"] == 8.0
    assert "nearest-exact" in fields["method"].to_json()["choices"]


@pytest.mark.parametrize("status", [404, 500])
async def test_class_without_a_definition_still_runs(status: int, proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.answer = lambda request: (
        web.Response(status=status) if request.path == "/object_info/PrimitiveString" else None
    )
    assert (await make_kit(proxy.url).execute(workflows.text(), {"say": "hi"})).texts == ["hi"]


async def test_class_names_with_special_characters_are_escaped(either: ComfyKit) -> None:
    for name in ("Load / Save", "a?b#c%2F", "über", "..", "x" * 300):
        graph = {**workflows.text(), "9": {"class_type": name, "inputs": {}}}
        result = await either.execute(graph)
        assert result.error is None or (result.error.kind, name[:50] in str(result.msg)) == ("refused", True)


def test_submit_rejects_at_once_what_is_wrong_when_the_nodes_are_known(make_kit: MakeKit, proxy: Proxy) -> None:
    kit = make_kit(proxy.url)
    kit.run(workflows.picture(), width=32)
    sent = len(proxy.requests("POST", "/prompt"))
    with pytest.raises(ParameterError, match="width"):
        kit.submit(workflows.picture(), width="wide")
    with pytest.raises(ParameterError, match="widht"):
        kit.submit(workflows.picture(), widht=32)
    with pytest.raises(SourceError):
        kit.submit("no such file.json")
    assert find_unfinished_runs() == []
    assert len(proxy.requests("POST", "/prompt")) == sent
    run = kit.options(raise_on_error=False).submit(workflows.picture(), width="wide")
    assert run.result().status == "failed"
    assert kit.submit(workflows.picture(), width=40).result().params["width"] == 40


def test_submit_rejects_a_missing_file_at_once_when_the_nodes_are_known(kit: ComfyKit) -> None:
    kit.fields(workflows.inverted())
    with pytest.raises(ParameterError, match="no file"):
        kit.submit(workflows.inverted(), image="nowhere.png")
