"""The result cache: a node whose inputs have not changed, all the way up, does not run again."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from comfykit_jupyter.sandbox.definitions import Definitions, find_accepted_inputs
from comfykit_jupyter.sandbox.graph import Prompt, is_link, unwrap_value
from comfykit_jupyter.sandbox.interface.node import NODES, Folders, Output

MAX_RESULTS = 1_000
"""Number of results that the cache keeps."""

MAX_BYTES = 1024**3
"""Total size of the results that the cache keeps, in bytes."""


class ResultCache:
    """Results by signature; the least recently used are dropped first. Thread-safe."""

    def __init__(self, max_results: int = MAX_RESULTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_results = max_results
        self._max_bytes = max_bytes
        self._results: OrderedDict[str, tuple[Output, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, signature: str) -> Output | None:
        """Return the result with this signature, or None."""
        with self._lock:
            if signature not in self._results:
                return None
            self._results.move_to_end(signature)
            return self._results[signature][0]

    def put(self, signature: str, output: Output) -> None:
        """Add a result, dropping older ones to make room."""
        size = _measure_size(output.values)
        with self._lock:
            self._remove(signature)
            self._results[signature] = (output, size)
            self._bytes += size
            while self._results and (len(self._results) > self._max_results or self._bytes > self._max_bytes):
                self._remove(next(iter(self._results)))

    def clear(self) -> None:
        """Remove all results."""
        with self._lock:
            self._results.clear()
            self._bytes = 0

    def _remove(self, signature: str) -> None:
        _, size = self._results.pop(signature, (None, 0))
        self._bytes -= size


def compute_fingerprints(
    prompt: Prompt, nodes: Iterable[str], folders: Folders, definitions: Definitions
) -> dict[str, Any]:
    """Return what nodes depend on besides their inputs, such as a file's content, for nodes with a fingerprint.

    Like ComfyUI, trust a fingerprint that the prompt has in `is_changed`: the prompt in an image carries those of its
    own run.

    Args:
        prompt: A valid prompt.
        nodes: IDs of the nodes to fingerprint.
        folders: The server's folders.
        definitions: The nodes' definitions.
    """
    found: dict[str, Any] = {}
    for node_id in nodes:
        node = prompt[node_id]
        fingerprint = NODES[node["class_type"]].fingerprint
        if fingerprint is None:
            continue
        if "is_changed" in node:
            found[node_id] = node["is_changed"]
            continue
        declared = definitions.list_inputs(node["class_type"], node["inputs"])
        values = {
            name: unwrap_value(value)
            for name, value in node["inputs"].items()
            if name in declared and not is_link(value)
        }
        try:
            found[node_id] = [
                fingerprint(folders, **{name: values[name] for name in find_accepted_inputs(fingerprint, values)})
            ]
        except Exception:  # noqa: BLE001 - for example a missing file; the node itself will report it
            found[node_id] = [float("nan")]
    return found


def compute_signatures(
    prompt: Prompt, nodes: Iterable[str], prints: Mapping[str, Any], definitions: Definitions
) -> dict[str, str]:
    """Return a hash of everything a node's result depends on: class, values, fingerprint and the nodes above it.

    Args:
        prompt: A valid prompt.
        nodes: IDs of the nodes to hash, each after those it depends on.
        prints: The nodes' fingerprints.
        definitions: The nodes' definitions.
    """
    found: dict[str, str] = {}
    for node_id in nodes:
        class_type = prompt[node_id]["class_type"]
        given = prompt[node_id]["inputs"]
        declared = definitions.list_inputs(class_type, given)
        inputs = {name: value for name, value in given.items() if name in declared}
        links = {name: [found[value[0]], value[1]] for name, value in inputs.items() if is_link(value)}
        values = {name: unwrap_value(value) for name, value in inputs.items() if name not in links}
        about = [class_type, values, links, _format_fingerprint(prints.get(node_id))]
        found[node_id] = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return found


def is_uncacheable(fingerprint: Any) -> bool:
    """Return whether a fingerprint holds NaN, which makes its node run every time."""
    parts = fingerprint if isinstance(fingerprint, list) else [fingerprint]
    return any(part != part for part in parts)


def _format_fingerprint(fingerprint: Any) -> str:
    return uuid.uuid4().hex if is_uncacheable(fingerprint) else repr(fingerprint)


def _measure_size(value: Any, depth: int = 4) -> int:
    """Return the approximate size of the arrays in a value, in bytes."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (bytes, str)):
        return len(value)
    if depth == 0:
        return 0
    if isinstance(value, Mapping):
        return sum(_measure_size(part, depth - 1) for part in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_measure_size(part, depth - 1) for part in value)
    return _measure_size(vars(value), depth - 1) if hasattr(value, "__dict__") else 0
