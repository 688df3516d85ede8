"""The order in which nodes run, for graphs of all kinds."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.sandbox.graph import order_nodes, walk_postorder
from tests.sandbox import probes

DECLARED = {str(number): ["a", "b", "c"] for number in range(12)}
assert probes.RUNS is not None  # the nodes are there


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """Nodes that depend on earlier ones, in any order in the prompt; and those of them that are outputs."""
    size = draw(st.integers(1, 12))
    nodes: dict[str, Any] = {}
    for number in range(size):
        sources = draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        inputs = {name: [str(source), 0] for name, source in zip("abc", sources, strict=False)}
        nodes[str(number)] = {"class_type": "ProbeCount", "inputs": inputs}
    shuffled = {key: nodes[key] for key in draw(st.permutations(list(nodes)))}
    outputs = draw(st.lists(st.sampled_from(list(nodes)), min_size=1, unique=True))
    return shuffled, outputs


def above(prompt: dict[str, Any], node_id: str) -> set[str]:
    return {link[0] for link in prompt[node_id]["inputs"].values()}


def needed(prompt: dict[str, Any], outputs: list[str]) -> set[str]:
    found: set[str] = set()
    frontier = list(outputs)
    while frontier:
        node_id = frontier.pop()
        found.add(node_id)
        frontier += above(prompt, node_id) - found
    return found


@given(graphs())
def test_each_node_that_is_needed_runs_once_after_those_it_depends_on(graph: tuple[dict[str, Any], list[str]]) -> None:
    prompt, outputs = graph
    for found in (order_nodes(prompt, outputs, (), DECLARED), walk_postorder(prompt, outputs, DECLARED)[0]):
        assert len(found) == len(set(found))
        assert set(found) == needed(prompt, outputs)
        assert all(found.index(source) < found.index(node_id) for node_id in found for source in above(prompt, node_id))


@given(graphs(), st.data())
def test_what_is_cached_and_no_output_does_not_run(
    graph: tuple[dict[str, Any], list[str]], data: st.DataObject
) -> None:
    prompt, outputs = graph
    cached = data.draw(st.sets(st.sampled_from(list(prompt))))
    found = order_nodes(prompt, outputs, cached, DECLARED)
    assert not set(found) & (cached - set(outputs))
    assert set(outputs) <= set(found)
    for node_id in set(found) - cached:
        assert above(prompt, node_id) <= set(found) | cached


@given(graphs())
def test_a_graph_without_cycles_has_none(graph: tuple[dict[str, Any], list[str]]) -> None:
    prompt, outputs = graph
    assert walk_postorder(prompt, outputs, DECLARED)[1] == {}


@given(graphs(), st.data())
def test_a_cycle_is_found_and_named(graph: tuple[dict[str, Any], list[str]], data: st.DataObject) -> None:
    prompt, outputs = graph
    last = data.draw(st.sampled_from(outputs))
    first = data.draw(st.sampled_from(sorted(needed(prompt, [last]))))
    prompt[first]["inputs"]["c"] = [last, 0]
    _, cycles = walk_postorder(prompt, outputs, DECLARED)
    assert cycles
    for path in cycles.values():
        assert path[0] == path[-1]
        assert all(source in above(prompt, node_id) for node_id, source in itertools.pairwise(path))
