"""The execution order, for generated graphs."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.sandbox.graph import order_nodes, walk_postorder
from tests.sandbox import probes

DECLARED = {str(number): ["a", "b", "c"] for number in range(12)}
assert probes.RUNS is not None  # registers the nodes


@st.composite
def build_graphs(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """Generate a prompt without cycles, its nodes in any order, and the IDs of its outputs."""
    size = draw(st.integers(1, 12))
    nodes: dict[str, Any] = {}
    for number in range(size):
        sources = draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        inputs = {name: [str(source), 0] for name, source in zip("abc", sources, strict=False)}
        nodes[str(number)] = {"class_type": "ProbeCount", "inputs": inputs}
    shuffled = {key: nodes[key] for key in draw(st.permutations(list(nodes)))}
    outputs = draw(st.lists(st.sampled_from(list(nodes)), min_size=1, unique=True))
    return shuffled, outputs


def find_upstream_nodes(prompt: dict[str, Any], node_id: str) -> set[str]:
    return {link[0] for link in prompt[node_id]["inputs"].values()}


def find_needed_nodes(prompt: dict[str, Any], outputs: list[str]) -> set[str]:
    found: set[str] = set()
    frontier = list(outputs)
    while frontier:
        node_id = frontier.pop()
        found.add(node_id)
        frontier += find_upstream_nodes(prompt, node_id) - found
    return found


@given(build_graphs())
def test_each_needed_node_runs_once_after_its_dependencies(graph: tuple[dict[str, Any], list[str]]) -> None:
    prompt, outputs = graph
    for found in (order_nodes(prompt, outputs, (), DECLARED), walk_postorder(prompt, outputs, DECLARED)[0]):
        assert len(found) == len(set(found))
        assert set(found) == find_needed_nodes(prompt, outputs)
        assert all(
            found.index(source) < found.index(node_id)
            for node_id in found
            for source in find_upstream_nodes(prompt, node_id)
        )


@given(build_graphs(), st.data())
def test_a_cached_node_runs_only_if_it_is_an_output(
    graph: tuple[dict[str, Any], list[str]], data: st.DataObject
) -> None:
    prompt, outputs = graph
    cached = data.draw(st.sets(st.sampled_from(list(prompt))))
    found = order_nodes(prompt, outputs, cached, DECLARED)
    assert not set(found) & (cached - set(outputs))
    assert set(outputs) <= set(found)
    for node_id in set(found) - cached:
        assert find_upstream_nodes(prompt, node_id) <= set(found) | cached


@given(build_graphs())
def test_no_cycle_is_reported_for_an_acyclic_graph(graph: tuple[dict[str, Any], list[str]]) -> None:
    prompt, outputs = graph
    assert walk_postorder(prompt, outputs, DECLARED)[1] == {}


@given(build_graphs(), st.data())
def test_a_cycle_is_found_and_named(graph: tuple[dict[str, Any], list[str]], data: st.DataObject) -> None:
    prompt, outputs = graph
    last = data.draw(st.sampled_from(outputs))
    first = data.draw(st.sampled_from(sorted(find_needed_nodes(prompt, [last]))))
    prompt[first]["inputs"]["c"] = [last, 0]
    _, cycles = walk_postorder(prompt, outputs, DECLARED)
    assert cycles
    for path in cycles.values():
        assert path[0] == path[-1]
        assert all(source in find_upstream_nodes(prompt, node_id) for node_id, source in itertools.pairwise(path))
