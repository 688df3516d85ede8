"""Test parsing JSON within bounds, as a whole and part by part."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter import Workflow, WorkflowError
from comfykit_jupyter.workflow.untrusted_json import TooManyElementsError, parse_json, parse_members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=5)
MANY = 300_000
NODE: dict[str, Any] = {"class_type": "A", "inputs": {}}
API = {str(id_): NODE for id_ in range(MANY)}
EDITOR = {"nodes": [{"id": 1, "type": "A"}] * MANY, "links": [], "version": 0.4}


def keep(_: str, value: Any) -> Any:
    return value


@given(OBJECTS, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_parts_are_those_of_the_whole(value: dict[str, Any], indent: Any, escaped: bool) -> None:
    content = f" {json.dumps(value, indent=indent, ensure_ascii=escaped)}\n".encode("utf-8", "replace")
    whole = json.loads(content)
    assert parse_json(content) == whole
    assert parse_members(content, keep) == whole
    assert parse_members(content, keep, whole.keys()) == whole


@given(st.binary(max_size=30) | st.text('{}[]:,"a1 ', max_size=12).map(str.encode))
def test_what_is_not_an_object_is_rejected(content: bytes) -> None:
    try:
        whole = json.loads(content.decode())
    except ValueError:
        whole = None
    if isinstance(whole, dict):
        assert parse_members(content, keep, ["a", ""]) == whole
    else:
        with pytest.raises(ValueError):
            parse_members(content, keep, ["a", ""])


@pytest.mark.parametrize("element", ["[],", "{},", "1,", '{"a":1},'])
def test_too_many_elements_are_rejected_before_they_are_parsed(element: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", None)
    content = b"[" + element.encode() * 500_000 + b"1]"
    with pytest.raises(TooManyElementsError, match="more than 500,000 elements"):
        parse_json(content)
    with pytest.raises(TooManyElementsError):
        parse_members(b'{"a":' + content + b"}", keep, most=500_000)


def test_too_many_parts_are_not_read() -> None:
    read: list[Any] = []
    for content, lists in ((b'{"a":[' + b"1," * MANY + b"1]}", ["a"]), (json.dumps(API).encode(), [])):
        read.clear()
        with pytest.raises(TooManyElementsError, match="more than 20,000 parts"):
            parse_members(content, lambda _, value: read.append(value), lists)
        assert len(read) == 20_000


def test_commas_in_texts_are_not_elements() -> None:
    text = '[1, {"a": "\\"",' * 200_000
    assert parse_json(json.dumps([text])) == [text]
    assert parse_members(json.dumps({"a": text}).encode(), keep, most=1000) == {"a": text}


def test_the_garbage_collector_is_on_afterwards() -> None:
    for content in (b"{}", b"{"):
        try:
            parse_members(content, keep)
        except ValueError:
            parse_json(b"[]")
        assert gc.isenabled()


@pytest.mark.parametrize("graph", [API, EDITOR, {"prompt": API}])
@pytest.mark.parametrize("form", ["dict", "text"])
def test_workflow_of_too_many_nodes_is_rejected(graph: dict[str, Any], form: str) -> None:
    with pytest.raises(WorkflowError, match="workflow has 300,000 nodes, too many for a workflow: at most 100,000"):
        Workflow.parse(graph if form == "dict" else json.dumps(graph))


def test_file_of_too_many_elements_is_not_parsed() -> None:
    with pytest.raises(WorkflowError, match="workflow has more than 3,000,000 elements, too many for a workflow"):
        Workflow.parse("[" + "[]," * 2_000_000 + "1]")
