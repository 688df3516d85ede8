"""Where results go: names made from a prefix, the metadata that is written into files, what `executed` says of them."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from comfykit_jupyter.sandbox.node import Context

_DATE_PARTS = {
    "yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "hh": "%H", "mm": "%M", "ss": "%S",
    "M": "%m", "d": "%d", "h": "%H", "m": "%M", "s": "%S",
}  # fmt: skip
_DATE_PART = re.compile("yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")
_UNSAFE = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def build_metadata(context: Context) -> dict[str, str]:
    """What is written into a saved file: the prompt and what the client gave with it, each as JSON, by key."""
    texts = {"prompt": json.dumps(context.prompt)}
    texts.update({key: json.dumps(value) for key, value in context.extra_pnginfo.items()})
    return texts


def expand_prefix(prefix: str, prompt: Mapping[str, Any], now: datetime) -> str:
    """A prefix with its `%date:FORMAT%` and `%Node.widget%` patterns replaced.

    A node is named by its title or its class. What a pattern stands for cannot add a folder, and a pattern that
    stands for nothing stays as it is.

    >>> expand("%date:yyyy-MM-dd%/%KSampler.seed%", {"3": {"class_type": "KSampler", "inputs": {"seed": 7}}},
    ...        datetime(2025, 1, 2))
    '2025-01-02/7'
    """

    def value(match: re.Match[str]) -> str:
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

    return re.sub(r"%([^%]+)%", value, prefix)


def _format_date(layout: str, now: datetime) -> str:
    def part(match: re.Match[str]) -> str:
        text = now.strftime(_DATE_PARTS[match[0]])
        return str(int(text)) if len(match[0]) == 1 else text

    return _UNSAFE.sub("_", _DATE_PART.sub(part, layout))


class Files:
    """The files that one run of a node saves: numbered names below `output`, or random ones below `temp`.

    Args:
        context: of the node that saves.
        prefix: as the user gave it, patterns included; without one the files are previews and go to `temp`.
        width: of the pictures in pixels, for `%width%`; 0 when there are none.
        height: of the pictures in pixels, for `%height%`.

    Raises:
        ValueError: the prefix leads out of the folder.
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
        """The files so far, as `executed` and the history list them."""

    def next(self, ending: str) -> Path:
        """The path of the next file; `ending` is what follows the number, such as `_.png`."""
        while True:
            name = f"{self._name.replace('%batch_num%', str(len(self.saved)))}_{self._counter:05}{ending}"
            self._counter += 1
            path = self._folder / name
            if not path.exists():
                self.saved.append({"filename": name, "subfolder": self._subfolder, "type": self.kind})
                return path
