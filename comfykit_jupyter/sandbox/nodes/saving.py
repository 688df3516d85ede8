"""Saving outputs: file names from a prefix, and the metadata written into files."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from comfykit_jupyter.sandbox.interface.node import Context

_DATE_PARTS = {
    "yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "hh": "%H", "mm": "%M", "ss": "%S",
    "M": "%m", "d": "%d", "h": "%H", "m": "%M", "s": "%S",
}  # fmt: skip
_DATE_PART = re.compile("yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")
_UNSAFE = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def build_metadata(context: Context) -> dict[str, str]:
    """Return the metadata for a saved file: the prompt and the client's `extra_pnginfo`, each as JSON, by key."""
    texts = {"prompt": json.dumps(context.prompt)}
    texts.update({key: json.dumps(value) for key, value in context.extra_pnginfo.items()})
    return texts


def expand_prefix(prefix: str, prompt: Mapping[str, Any], now: datetime) -> str:
    """Replace the patterns `%date:FORMAT%` and `%Node.widget%` in a prefix.

    A node is named by its title or its class. A replacement can't add a folder, and an unknown pattern is left
    unchanged.

    >>> prompt = {"3": {"class_type": "KSampler", "inputs": {"seed": 7}}}
    >>> expand_prefix("%date:yyyy-MM-dd%/%KSampler.seed%", prompt, datetime(2025, 1, 2))
    '2025-01-02/7'
    """

    def find_value(match: re.Match[str]) -> str:
        pattern = match[1]
        if pattern == "date" or pattern.startswith("date:"):
            return _format_date(pattern[5:] or "yyyyMMddhhmmss", now)
        node, _, widget = pattern.rpartition(".")
        for entry in prompt.values():
            if node and node in ((entry.get("_meta") or {}).get("title"), entry.get("class_type")):
                found = entry["inputs"].get(widget)
                if isinstance(found, (str, int, float)):
                    return _UNSAFE.sub("_", str(found))
        return match[0]

    return re.sub(r"%([^%]+)%", find_value, prefix)


def _format_date(layout: str, now: datetime) -> str:
    def format_part(match: re.Match[str]) -> str:
        text = now.strftime(_DATE_PARTS[match[0]])
        return str(int(text)) if len(match[0]) == 1 else text

    return _UNSAFE.sub("_", _DATE_PART.sub(format_part, layout))


class Files:
    """The files that a node saves in one run: numbered files in `output`, or previews with a random name in `temp`.

    Args:
        context: Context of the node.
        prefix: The user's prefix, which may have patterns, or None for previews.
        width: Width of the images in pixels, for `%width%`; 0 if there are none.
        height: Height of the images in pixels, for `%height%`.

    Raises:
        ValueError: The prefix leads out of the folder.
    """

    def __init__(self, context: Context, prefix: str | None, width: int = 0, height: int = 0) -> None:
        self.kind = "temp" if prefix is None else "output"
        if prefix is None:
            prefix = "ComfyUI_temp_" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
            folder = context.folders.temp
        else:
            prefix = expand_prefix(prefix, context.prompt, datetime.now().astimezone())
            folder = context.folders.output
        place = context.folders.choose_save_target(prefix, folder, width, height)
        self._folder, self._name, self._subfolder = place.folder, place.name, place.subfolder
        self._counter = place.counter
        self.saved: list[dict[str, str]] = []
        """The files so far, in the format of `executed` and the history."""

    def add(self, ending: str) -> Path:
        """Add a file and return its path; `ending` follows the number, such as `_.png`."""
        while True:
            name = f"{self._name.replace('%batch_num%', str(len(self.saved)))}_{self._counter:05}{ending}"
            self._counter += 1
            path = self._folder / name
            if not path.exists():
                self.saved.append({"filename": name, "subfolder": self._subfolder, "type": self.kind})
                return path
