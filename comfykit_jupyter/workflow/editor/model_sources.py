"""Read where a workflow's models come from: its author, or a template, notes it in the nodes of the editor's file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from comfykit_jupyter.workflow.untrusted_json import to_list, to_mapping, to_text

_MAX_SOURCES = 1000
_MAX_DEPTH = 32
_MAX_URL = 2000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        name: The name of the file.
        url: Its address; only https, without a password.
        folder: The folder of `models/` that it belongs in; "" if the file doesn't say.
        sha256: The digest of its content, in hexadecimal; "" if unknown.
    """

    name: str
    url: str
    folder: str
    sha256: str = ""


def find_model_sources(graph: Mapping[str, Any]) -> dict[str, ModelSource]:
    """Return where the models of a graph in editor format come from, by the name of the file. Never raises."""
    found: dict[str, ModelSource] = {}
    for raw in _iter_entries(graph, 0):
        if len(found) >= _MAX_SOURCES:
            break
        source = _read_source(to_mapping(raw))
        if source is not None:
            found.setdefault(source.name, source)
    return found


def _iter_entries(graph: Mapping[str, Any], depth: int) -> Iterator[Any]:
    for node in to_list(graph.get("nodes")):
        yield from to_list(to_mapping(to_mapping(node).get("properties")).get("models"))
    yield from to_list(graph.get("models"))
    for inner in to_list(to_mapping(graph.get("definitions")).get("subgraphs")) if depth < _MAX_DEPTH else ():
        yield from _iter_entries(to_mapping(inner), depth + 1)


def _read_source(raw: Mapping[Any, Any]) -> ModelSource | None:
    name, url, folder = (to_text(raw.get(key)) for key in ("name", "url", "directory"))
    if not name or PurePosixPath(name).name != name or "\\" in name or not is_download_address(url):
        return None
    digest = to_text(raw.get("hash")).lower() if to_text(raw.get("hash_type")).lower() == "sha256" else ""
    return ModelSource(
        name, url, folder if _PLAIN.fullmatch(folder) else "", digest if _SHA256.fullmatch(digest) else ""
    )


def is_download_address(url: str) -> bool:
    """Return whether a text is an https address that may be shown: without a password, spaces or control characters."""
    if not url.startswith("https://") or len(url) > _MAX_URL or not url.isascii() or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.username is None and parts.password is None and " " not in url
    except ValueError:
        return False
