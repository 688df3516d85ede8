"""The title DSL: what a node's title says about parameters and outputs.

| title | meaning |
|---|---|
| `$prompt` | parameter `prompt`, field `prompt` |
| `$prompt.text` | parameter `prompt`, field `text` |
| `$prompt!` | required: no default |
| `$~image` | media: the value is a file to upload |
| `$img.~image!` | parameter `img`, field `image`, uploaded, required |
| `$output.cover` | this node's outputs are called `cover` |
| `Size, $width!, $height!` | display text, then several parameters |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OUTPUT = "$output."

# A field may hold dots and spaces: servers flatten nested inputs to `resize_type.width`, and nodes name theirs freely.
_MARKER = re.compile(
    r"\$(?P<early>~?)(?P<name>[\w-]+)(?:\.(?P<late>~?)(?P<field>[^~!:$]+))?(?P<required>!?)(?::.*)?", re.DOTALL
)


@dataclass(frozen=True)
class Marker:
    """One parameter that a title declares, and the input of the node that it fills."""

    name: str
    field: str
    upload: bool
    required: bool


@dataclass(frozen=True)
class Title:
    """A title taken apart: the text to show ("" when there is none), the parameters, the name of the outputs."""

    text: str
    markers: tuple[Marker, ...]
    output: str | None


def parse_title(title: str) -> Title:
    """Takes a title apart. Never fails: what is no marker is text.

    >>> parse_title("Size, $width!").markers
    (Marker(name='width', field='width', upload=False, required=True),)
    """
    if "$" not in title:
        return Title(title.strip(), (), None)
    texts: list[str] = []
    markers: list[Marker] = []
    output: list[str] = []
    # A title that begins with an output's name may go on with commas, up to the first marker: `$output.cat, sitting`.
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
