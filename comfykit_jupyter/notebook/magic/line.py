r"""The line of a magic, split into tokens as a shell would, with what a shell has no need of: `{expression}`.

    run wf.json prompt="a cat" seed=42 image={picture} -o cover

Quotes group: within '…' everything is itself, within "…" a backslash stands before `"` and `\`. Outside of them a
backslash stands before a space or a quote only, so that Windows' paths need no care. A token or value that is wholly
`{…}` and not quoted is a Python expression; braces elsewhere are text, as in `prompt="{red|blue} cat"`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BARE = re.compile(r"[^\s'\"\\={}]+")


class LineError(ValueError):
    """A line that can't be split; the message says where."""


@dataclass(frozen=True)
class Token:
    """One word of the line: `name=text`, or only `text` (name None).

    `expression`: the text is Python, to be evaluated. `quoted`: it is meant as it stands. `start` and `end`: where the
    token stands in the line.
    """

    text: str
    name: str | None = None
    expression: bool = False
    quoted: bool = False
    start: int = 0
    end: int = 0


def split(line: str) -> list[Token]:
    """The tokens of a line.

    Raises:
        LineError: a quote or brace is never closed.
    """
    tokens: list[Token] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line):
            return tokens
        token = _token(line, at)
        tokens.append(token)
        at = token.end


def quote(text: str) -> str:
    """A text as one token, or as the value in one: `split` gives it back."""
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def expression(text: str) -> str | None:
    """The Python of a text that is wholly in braces; None of any other."""
    return text[1:-1].strip() if text[:1] == "{" and _closing(text, 0) == len(text) else None


def _token(line: str, start: int) -> Token:
    name, at = _name(line, start)
    if at < len(line) and line[at] == "{":
        end = _closing(line, at)
        if end is not None and (end == len(line) or line[end].isspace()):
            return Token(line[at + 1 : end - 1].strip(), name, expression=True, start=start, end=end)
    text, end, quoted = _word(line, at)
    return Token(text, name, quoted=quoted, start=start, end=end)


def _name(line: str, start: int) -> tuple[str | None, int]:
    """The name before an unquoted `=`, and where the value begins."""
    at = start
    while at < len(line) and not line[at].isspace() and line[at] not in "'\"={":
        at += 1
    if at == start or at == len(line) or line[at] != "=":
        if at < len(line) and line[at] in "'\"":
            return _quoted_name(line, start)
        return None, start
    return line[start:at], at + 1


def _quoted_name(line: str, start: int) -> tuple[str | None, int]:
    """A name with spaces in it: `"My node.cfg"=7`."""
    if line[start] not in "'\"":
        return None, start
    text, end = quotation(line, start)
    if end < len(line) and line[end] == "=":
        return text, end + 1
    return None, start


def _word(line: str, at: int) -> tuple[str, int, bool]:
    """The text up to the next space outside of quotes, where it ends, and whether any of it was quoted."""
    parts: list[str] = []
    quoted = False
    while at < len(line) and not line[at].isspace():
        if line[at] in "'\"":
            text, at = quotation(line, at)
            parts.append(text)
            quoted = True
        elif line[at] == "\\" and at + 1 < len(line) and (line[at + 1].isspace() or line[at + 1] in "'\""):
            parts.append(line[at + 1])
            at += 2
        else:
            parts.append(line[at])
            at += 1
    return "".join(parts), at, quoted


def quotation(line: str, start: int = 0) -> tuple[str, int]:
    """The text of the quotation that begins here, and where it ends.

    Raises:
        LineError: it is never closed.
    """
    mark = line[start]
    parts: list[str] = []
    at = start + 1
    while at < len(line):
        if line[at] == mark:
            return "".join(parts), at + 1
        if mark == '"' and line[at] == "\\" and line[at + 1 : at + 2] in ('"', "\\"):
            at += 1
        parts.append(line[at])
        at += 1
    shown = line[start : start + 20]
    raise LineError(f"the quote {mark} before {shown[1:]!r} is never closed: an apostrophe goes within double quotes")


def _closing(line: str, start: int) -> int | None:
    """Where the brace that opens at `start` ends, minding braces and strings within; None when it never does."""
    depth = 0
    at = start
    while at < len(line):
        char = line[at]
        if char in "'\"":
            end = line.find(char, at + 1)
            if end < 0:
                return None
            at = end
        elif char in "{[(":
            depth += 1
        elif char in "}])":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return None
