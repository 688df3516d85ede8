"""The key of a run: equal for two runs that a server would compute alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from comfykit_jupyter.workflow.json_values import LARGEST_EXACT

VERSION = "1"
"""The first character of a key. Keys are stored: another way to compute them needs another version."""


class KeyMaker:
    """Computes the keys of prompts that differ in a few nodes: every other node is hashed only once.

    A key covers the classes and inputs of all nodes. Titles are left out, and so is everything beside the graph.

    Args:
        prompt: The API-format graph that the others share most nodes with.

    Example:
        >>> node = {"class_type": "KSampler", "inputs": {"cfg": 3}, "_meta": {"title": "Sampler"}}
        >>> maker = KeyMaker({"1": node})
        >>> same = {"class_type": "KSampler", "inputs": {"cfg": 3.0}}
        >>> maker.compute({"1": node}) == maker.compute({"1": same})
        True
    """

    def __init__(self, prompt: Mapping[str, Any] | None = None) -> None:
        self._known = {id(node): (node, hash_node(node)) for node in (prompt or {}).values()}

    def compute(self, prompt: Mapping[str, Any], files: Mapping[tuple[str, str], str] | None = None) -> str:
        """Return the key of a prompt.

        Args:
            prompt: The API-format graph.
            files: What stands for the files in it, by node ID and input: `sha256:` and the hash of an uploaded file.
        """
        with_files = {node_id for node_id, _ in files or {}}
        digest = hashlib.sha256()
        for node_id in sorted(prompt):
            node = prompt[node_id]
            if node_id in with_files:
                inputs = {name: (files or {}).get((node_id, name), value) for name, value in node["inputs"].items()}
                hashed = hash_node({**node, "inputs": inputs})
            else:
                known = self._known.get(id(node))
                hashed = known[1] if known is not None else hash_node(node)
            digest.update(f"{node_id}\0{hashed}\0".encode("utf-8", "surrogatepass"))
        return VERSION + digest.hexdigest()


def hash_node(node: Mapping[str, Any]) -> str:
    """Return the hash of a node's class and inputs."""
    content = [node.get("class_type"), to_canonical(node.get("inputs", {}))]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def to_canonical(value: Any) -> Any:
    """Return JSON in which equal values look the same: 3.0 becomes 3, as a server's nodes treat them alike."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= LARGEST_EXACT else value
    if isinstance(value, Mapping):
        return {str(name): to_canonical(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_canonical(each) for each in value]
    return value


def draw_number(salt: str, name: str, index: int, low: int, high: int) -> int:
    """Return a number within both bounds: random, but the same for the same salt, name and index."""
    content = json.dumps([salt, name, index]).encode()
    return low + int.from_bytes(hashlib.sha256(content).digest()[:16], "big") % (high - low + 1)


def compute_hash(parts: Iterable[Any]) -> str:
    """Return the hash of several JSON values."""
    return hashlib.sha256(json.dumps(to_canonical(list(parts)), sort_keys=True).encode()).hexdigest()
