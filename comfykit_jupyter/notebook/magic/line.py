r"""Split the line of a magic into tokens, as a shell would, with `{expression}` for Python objects.

    run wf.json prompt="a cat" seed=42 image={picture} -o cover

Quotes group. Within '…' every character is literal; within "…" a backslash escapes `"` and `\`. Outside of quotes a
backslash escapes only a space or a quote, so that Windows paths need no escaping. A token or value that is wholly
`{…}` and not quoted is a Python expression; braces elsewhere are text, as in `prompt="{red|blue} cat"`.

This is written by hand because prompt texts break the existing splitters: `shlex` drops the backslashes of Windows
paths and does not say which words were quoted, and IPython's own expansion of `{…}` and `$name` would evaluate the
dynamic prompt `{red|blue}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BARE = re.compile(r"[^\s'\"\\={}]+")


class LineError(ValueError):
    """A line that can't be split; the message says where."""


@dataclass(frozen=True)
class Token:
    """One word of the line: `name=text`, or `text` alone.

    Attributes:
        text: The text, without quotes or braces.
        name: The name before the `=`, or None.
        expression: Whether the text is a Python expression.
        quoted: Whether any of the text was quoted, so that it is literal.
        start: Where the token begins in the line.
        end: Where the token ends in the line.
    """

    text: str
    name: str | None = None
    expression: bool = False
    quoted: bool = False
    start: int = 0
    end: int = 0


def split(line: str) -> list[Token]:
    """Split a line into tokens.

    Raises:
        LineError: A quote is never closed.
    """
    tokens: list[Token] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line):
            return tokens
        token = _read_token(line, at)
        tokens.append(token)
        at = token.end


def quote(text: str) -> str:
    """Quote a text where needed, so that `split` returns it as one token or one value."""
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def parse_expression(text: str) -> str | None:
    """Return the Python expression of a text that is wholly in braces, or None for any other text."""
    return text[1:-1].strip() if text[:1] == "{" and _find_closing(text, 0) == len(text) else None


def _read_token(line: str, start: int) -> Token:
    name, at = _read_name(line, start)
    if at < len(line) and line[at] == "{":
        end = _find_closing(line, at)
        if end is not None and (end == len(line) or line[end].isspace()):
            return Token(line[at + 1 : end - 1].strip(), name, expression=True, start=start, end=end)
    text, end, quoted = _read_word(line, at)
    return Token(text, name, quoted=quoted, start=start, end=end)


def _read_name(line: str, start: int) -> tuple[str | None, int]:
    """Read the name before an unquoted `=`; return it and where the value begins."""
    at = start
    while at < len(line) and not line[at].isspace() and line[at] not in "'\"={":
        at += 1
    if at == start or at == len(line) or line[at] != "=":
        if at < len(line) and line[at] in "'\"":
            return _read_quoted_name(line, start)
        return None, start
    return line[start:at], at + 1


def _read_quoted_name(line: str, start: int) -> tuple[str | None, int]:
    """Read a name that contains spaces, such as `"My node.cfg"=7`."""
    if line[start] not in "'\"":
        return None, start
    text, end = read_quotation(line, start)
    if end < len(line) and line[end] == "=":
        return text, end + 1
    return None, start


def _read_word(line: str, at: int) -> tuple[str, int, bool]:
    """Read up to the next unquoted space; return the text, where it ends, and whether any of it was quoted."""
    parts: list[str] = []
    quoted = False
    while at < len(line) and not line[at].isspace():
        if line[at] in "'\"":
            text, at = read_quotation(line, at)
            parts.append(text)
            quoted = True
        elif line[at] == "\\" and at + 1 < len(line) and (line[at + 1].isspace() or line[at + 1] in "'\""):
            parts.append(line[at + 1])
            at += 2
        else:
            parts.append(line[at])
            at += 1
    return "".join(parts), at, quoted


def read_quotation(line: str, start: int = 0) -> tuple[str, int]:
    """Read the quoted text that begins at `start`; return it and where it ends.

    Raises:
        LineError: The quote is never closed.
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
    rest = line[start + 1 : start + 20]
    raise LineError(f"the quote {mark} before {rest!r} is never closed; put a text with an apostrophe in double quotes")


def _find_closing(line: str, start: int) -> int | None:
    """Return where the brace that opens at `start` closes, skipping nested braces and strings, or None."""
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
