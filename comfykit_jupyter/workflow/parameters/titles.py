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
from dataclasses import dataclass, field

_OUTPUT = "$output."

# An input's name may have dots and spaces: servers flatten nested inputs to `resize_type.width`, nodes choose freely.
_MARKER = re.compile(
    r"\$(?P<early>~?)(?P<name>[\w-]+)(?:\.(?P<late>~?)(?P<field>[^~!:$]+))?(?P<required>!?)(?::.*)?", re.DOTALL
)
_LIKE_MARKER = re.compile(r"\$~?[^\W\d]")
"""How a part of a title begins that somebody meant as a parameter: `$5` is a price."""


@dataclass(frozen=True)
class Marker:
    """One parameter that a title declares, and the input of the node that it sets."""

    name: str
    field: str
    upload: bool
    required: bool


@dataclass(frozen=True)
class Title:
    """A parsed title.

    Attributes:
        text: The text to show, "" if there is none.
        markers: The parameters.
        output: The name of the outputs, or None.
        unread: The parts of the text that look like parameters and are none.
    """

    text: str
    markers: tuple[Marker, ...]
    output: str | None
    unread: tuple[str, ...] = field(default=(), compare=False)


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
    unread = tuple(text for text in texts if _LIKE_MARKER.match(text))
    return Title(", ".join(texts), tuple(markers), name or None, unread)


def explain_unread(text: str) -> str:
    """Return why a part of a title is not read as a parameter, with what to write instead, if that is clear.

    >>> explain_unread("$my prompt.text")
    "the name of a parameter can't have a ' ': write $my_prompt.text"
    """
    tilde, name, rest = re.fullmatch(r"\$(~?)([^.!]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    name = name.rstrip()
    odd = re.search(r"[^\w-]", name)
    better = "".join(["$", tilde, re.sub(r"[^\w-]+", "_", name), rest])
    if odd is None or _parse_marker(better) is None:
        return "write $NAME, $NAME.INPUT or, where a value is required, $NAME.INPUT!"
    return f"the name of a parameter can't have a {odd[0]!r}: write {better}"


def format_title(title: Title) -> str:
    """Format a title so that parsing it gives the same; a part that no title can say is left out or becomes text.

    >>> format_title(Title("Size", (Marker("width", "width", False, True), Marker("img", "image", True, False)), "cat"))
    '$output.cat, $width!, $img.~image, Size'
    """
    output = [f"{_OUTPUT}{title.output}"] if title.output else []
    # The text comes last: after an output's name at the start it would be a part of that name.
    if output and title.markers:
        return ", ".join([*output, *map(_format_marker, title.markers), *([title.text] if title.text else [])])
    return ", ".join([*([title.text] if title.text else []), *map(_format_marker, title.markers), *output])


def _format_marker(marker: Marker) -> str:
    upload, required = "~" if marker.upload else "", "!" if marker.required else ""
    if marker.field == marker.name:
        return f"${upload}{marker.name}{required}"
    return f"${marker.name}.{upload}{marker.field}{required}"


def _parse_marker(part: str) -> Marker | None:
    match = _MARKER.fullmatch(part)
    if match is None:
        return None
    name = match["name"]
    field = (match["field"] or name).strip()
    if not field:
        return None
    return Marker(name, field, bool(match["early"] or match["late"]), bool(match["required"]))
