"""Results of nodes, kept from one prompt to the next: what has the same inputs, all the way up, runs once."""

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
from comfykit_jupyter.sandbox.node import NODES, Folders, Output

MAX_RESULTS = 1_000
MAX_BYTES = 1024**3


class ResultCache:
    """Results by signature; those not used for longest go first. May be used by any thread."""

    def __init__(self, max_results: int = MAX_RESULTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_results = max_results
        self._max_bytes = max_bytes
        self._results: OrderedDict[str, tuple[Output, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, signature: str) -> Output | None:
        """The result with this signature, if it is kept."""
        with self._lock:
            if signature not in self._results:
                return None
            self._results.move_to_end(signature)
            return self._results[signature][0]

    def put(self, signature: str, output: Output) -> None:
        """Keep a result, as long as there is room."""
        size = _measure_size(output.values)
        with self._lock:
            self._remove(signature)
            self._results[signature] = (output, size)
            self._bytes += size
            while self._results and (len(self._results) > self._max_results or self._bytes > self._max_bytes):
                self._remove(next(iter(self._results)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._results.clear()
            self._bytes = 0

    def _remove(self, signature: str) -> None:
        _, size = self._results.pop(signature, (None, 0))
        self._bytes -= size


def compute_fingerprints(
    prompt: Prompt, nodes: Iterable[str], folders: Folders, definitions: Definitions
) -> dict[str, Any]:
    """What nodes depend on besides their inputs, such as the bytes of a file; for those whose class says so.

    One that the prompt brings along as `is_changed` is believed: a picture's prompt carries those of its own run.

    Args:
        prompt: a prompt that was found valid.
        nodes: the nodes that are asked about.
        folders: the server's folders.
        definitions: the nodes' inputs.
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
        except Exception:  # noqa: BLE001 - such as a file that is gone: the node itself will say so
            found[node_id] = [float("nan")]
    return found


def compute_signatures(
    prompt: Prompt, nodes: Iterable[str], prints: Mapping[str, Any], definitions: Definitions
) -> dict[str, str]:
    """For each node what its result depends on: its class, its values, its fingerprint, and the same of all above it.

    Args:
        prompt: a prompt that was found valid.
        nodes: the nodes that are asked about, each after those it depends on.
        prints: their fingerprints.
        definitions: the nodes' inputs.
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
    """Whether a fingerprint says that its node is to run each time: it holds NaN."""
    parts = fingerprint if isinstance(fingerprint, list) else [fingerprint]
    return any(part != part for part in parts)


def _format_fingerprint(fingerprint: Any) -> str:
    return uuid.uuid4().hex if is_uncacheable(fingerprint) else repr(fingerprint)


def _measure_size(value: Any, depth: int = 4) -> int:
    """Bytes of the arrays in a value, roughly."""
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
