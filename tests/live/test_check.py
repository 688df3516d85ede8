"""`kit.check` reports what the real server reports, for prompts made wrong with its own definitions."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from tests.client.mutations import fix_choices, mutate
from tests.client.test_check import SHELF, TEMPLATES
from tests.client.verdicts import Server


@pytest.mark.parametrize("seed", range(2))
def test_check_finds_the_same_problems_as_the_server(seed: int, url: str) -> None:
    judge = Server(url, strict=False)
    found = [json.loads(path.read_text()) for path in SHELF]
    found += [json.loads(path.read_text())["api"] for path in sorted(TEMPLATES.glob("*.json"))]
    good: list[Any] = [
        fix_choices(graph, judge.info)
        for graph in found
        if {node["class_type"] for node in graph.values()} <= {*judge.info}
    ]
    random = Random(seed)
    for _ in range(250):
        prompt = mutate(random.choice(good), judge.info, random)
        assert judge.disagreement(prompt) == "", json.dumps(prompt)
    judge.client.close()
