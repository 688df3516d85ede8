"""Follow the links of a prompt forwards: what a node feeds, and whether its text is wanted or unwanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from comfykit_jupyter.workflow.nodes import is_link

_MAX_NODES = 200
"""How many nodes behind one are looked at."""

Polarity = Literal["positive", "negative", ""]


class Consumers:
    """The inputs that the nodes of a prompt feed."""

    def __init__(self, prompt: Mapping[str, Any]) -> None:
        self._fed: dict[str, list[tuple[str, str]]] = {}
        self._prompt = prompt
        for id_, node in prompt.items():
            for name, value in node["inputs"].items():
                if is_link(value) and value[0] in prompt:
                    self._fed.setdefault(value[0], []).append((id_, name))

    def get(self, node_id: str) -> list[tuple[str, str]]:
        """Return the inputs that a node feeds, as (node ID, name)."""
        return self._fed.get(node_id, [])

    def iter_levels(self, node_id: str, depth: int) -> Iterator[list[tuple[str, str]]]:
        """Yield the inputs that a node feeds, then those that these nodes feed, and so on."""
        seen, level = {node_id}, self.get(node_id)
        for _ in range(depth):
            if not level or len(seen) > _MAX_NODES:
                return
            yield level
            following = [id_ for id_, _ in dict.fromkeys(level) if id_ not in seen]
            seen.update(following)
            level = [end for id_ in dict.fromkeys(following) for end in self.get(id_)]

    def find_polarity(self, node_id: str) -> tuple[Polarity, bool]:
        """Find out whether a node's text is for the positive or the negative side of a sampler.

        Returns:
            The side, "" if there is none; and whether the text conditions anything at all.
        """
        sides: set[str] = set()
        conditions = False
        seen, waiting = {node_id}, [node_id]
        while waiting and len(seen) < _MAX_NODES:
            for id_, name in self.get(waiting.pop(0)):
                side = _read_side(name)
                if side:
                    sides.add(side)
                    conditions = True
                    continue
                conditions = conditions or name.startswith("cond")
                # What a node that empties its conditioning makes says nothing about the text.
                if id_ not in seen and self._prompt[id_]["class_type"] != "ConditioningZeroOut":
                    seen.add(id_)
                    waiting.append(id_)
        if "positive" in sides:
            return "positive", True
        return ("negative", True) if sides else ("", conditions)


def _read_side(name: str) -> Polarity:
    last = name.rpartition(".")[2]
    if last.startswith("positive"):
        return "positive"
    return "negative" if last.startswith("negative") or last.endswith("_negative") else ""
