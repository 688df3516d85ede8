"""Parse the titles of nodes: their text, and the parameters and outputs that they declare.

| title | meaning |
|---|---|
| `$prompt` | parameter `prompt`, input `prompt` |
| `$prompt.text` | parameter `prompt`, input `text` |
| `$prompt!` | required: the workflow's own value is not used |
| `$~image` | media: the value is a file to upload |
| `$img.~image!` | parameter `img`, input `image`, uploaded, required |
| `$output.cover` | this node's outputs are called `cover` |
| `Size, $width!, $height!` | display text, then several parameters |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OUTPUT = "$output."

# An input's name may have dots and spaces: servers flatten nested inputs to `resize_type.width`, nodes choose freely.
_MARKER = re.compile(
    r"\$(?P<early>~?)(?P<name>[\w-]+)(?:\.(?P<late>~?)(?P<field>[^~!:$]+))?(?P<required>!?)(?::.*)?", re.DOTALL
)


@dataclass(frozen=True)
class Marker:
    """One parameter that a title declares, and the input of the node that it sets."""

    name: str
    field: str
    upload: bool
    required: bool


@dataclass(frozen=True)
class Title:
    """A parsed title: the text to show, "" if there is none; the parameters; the name of the outputs, or None."""

    text: str
    markers: tuple[Marker, ...]
    output: str | None


def parse_title(title: str) -> Title:
    """Parse a title. Never raises: everything that is not a marker is text.

    >>> parse_title("Size, $width!").markers
    (Marker(name='width', field='width', upload=False, required=True),)
    """
    if "$" not in title:
        return Title(title.strip(), (), None)
    texts: list[str] = []
    markers: list[Marker] = []
    output: list[str] = []
    # An output's name at the start of a title may have commas, up to the first marker: `$output.cat, sitting`.
    naming = title.startswith(_OUTPUT)
    for position, part in enumerate(title.split(",")):
        stripped = part.strip()
        if naming and (position == 0 or not stripped.startswith("$")):
            output.append(part)
            continue
        naming = False
        if stripped.startswith(_OUTPUT) and len(stripped) > len(_OUTPUT):
            output = output or [stripped]
        elif (marker := _parse_marker(stripped)) is not None:
            markers.append(marker)
        elif stripped:
            texts.append(stripped)
    name = ",".join(output)[len(_OUTPUT) :].strip()
    return Title(", ".join(texts), tuple(markers), name or None)


def _parse_marker(part: str) -> Marker | None:
    match = _MARKER.fullmatch(part)
    if match is None:
        return None
    name = match["name"]
    field = (match["field"] or name).strip()
    if not field:
        return None
    return Marker(name, field, bool(match["early"] or match["late"]), bool(match["required"]))
