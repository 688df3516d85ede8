"""The body of `%%comfykit run wf.json`: values as a JSON object, or as lines in a small part of YAML.

    prompt: |
        a red fox in the snow,
        soft light
    seed: 42
    KSampler.cfg: 7.5
    image: {picture}
    # a comment has a line of its own

A value goes to the end of its line. In quotes it is as in the magic's line, wholly in braces it is a Python expression.
`|` begins a text of several lines: those that are indented, without their indent and without a line break at the end.
What YAML reads in another way than a person would (lists, ` #` behind a value, a value below its name) is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from comfykit_jupyter.notebook.magic.line import LineError, Token, expression, quotation

FIRST_LINE = 2
"""The number of a body's first line in its cell."""

_NAME = re.compile(
    r"""(?P<name>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s:"'{\[|>#-](?:[^:"']|:(?!\s|$))*?)\s*:(?=\s|$)(?P<value>.*)"""
)
_LIKE_A_LIST = re.compile(r"- |-$|\[.*\]$")


class BodyError(ValueError):
    """A body that can't be read; the message says in which line of the cell, and what to write."""


def read_body(text: str) -> dict[str, Any]:
    """The values by name: a `Token` for each line, as the magic's line has them, or what the JSON object holds.

    Raises:
        BodyError: it is neither.
    """
    return _read_json(text) if text.lstrip()[:1] == "{" else _read_lines(text)


# -- JSON --------------------------------------------------------------------------------------------------------------


def _read_json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno + FIRST_LINE - 1}, column {error.colno}"
        raise BodyError(f"{where}: this is no JSON ({error.msg}); values can also be lines of `name: value`") from None
    except RecursionError:
        raise BodyError("the JSON is nested too deep") from None
    except BodyError:
        raise
    except ValueError:
        raise BodyError("the JSON has a number of too many digits") from None
    values: dict[str, Any] = found  # it begins with a brace
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BodyError(f"{name[:60]!r} is there twice: leave one of them out")
        found[name] = value
    return found


def _no_number(name: str) -> Any:
    raise BodyError(f"{name} is no number that a workflow can have")


# -- lines -------------------------------------------------------------------------------------------------------------


def _read_lines(text: str) -> dict[str, Any]:
    lines = [line.rstrip("\r") for line in text.split("\n")]
    values: dict[str, Any] = {}
    at = 0
    while at < len(lines):
        number, line = at + FIRST_LINE, lines[at]
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, value = _split(line, number)
        if name in values:
            raise BodyError(f"line {number}: {name[:60]!r} is there twice: leave one of them out")
        if value == "|":
            count = _block_length(lines[at:])
            values[name] = Token(_block(lines[at : at + count], number), name, quoted=True)
            at += count
        else:
            values[name] = _value(name, value, number)
    return values


def _split(line: str, number: int) -> tuple[str, str]:
    """The name and the value of one line."""
    if line[0].isspace():
        raise BodyError(
            f"line {number} is indented: names begin at the left; a text of several lines begins behind `name: |`"
        )
    found = _NAME.fullmatch(line)
    if found is None:
        raise BodyError(f"line {number}: {line[:40]!r} is no `name: value`")
    name = found["name"]
    return (_unquoted(name, number) if name[0] in "\"'" else name), found["value"].strip()


def _value(name: str, value: str, number: int) -> Token:
    where = f"line {number}, {name[:60]}"
    if not value:
        raise BodyError(
            f'{where}: no value: write it behind the colon; "" is an empty text, `|` begins one of several lines'
        )
    if value[0] in "\"'":
        return Token(_unquoted(value, number), name, quoted=True)
    if (python := expression(value)) is not None:
        return Token(python, name, expression=True)
    if re.match(r"[|>][-+0-9]*$|[&*!]\w", value) or _LIKE_A_LIST.match(value):
        raise BodyError(
            f"{where}: {value[:20]!r} is YAML that is not read here: `|` begins a text of several lines, "
            "{…} is Python, and a text that looks so goes in quotes"
        )
    if re.search(r"\s#", value):
        raise BodyError(f"{where}: a ` #` may be text or a comment: put the text in quotes, or the comment above")
    return Token(value, name)


def _unquoted(text: str, number: int) -> str:
    try:
        content, end = quotation(text)
    except LineError as error:
        raise BodyError(f"line {number}: {error}") from None
    if end != len(text):
        raise BodyError(
            f"line {number}: {text[end : end + 20]!r} stands behind the closing quote: quote all, or begin with `|`"
        )
    return content


def _block_length(lines: list[str]) -> int:
    """How many lines belong to the text that begins here."""
    return next((at for at, line in enumerate(lines) if line.strip() and not line[0].isspace()), len(lines))


def _block(lines: list[str], number: int) -> str:
    while lines and not lines[-1].strip():
        lines.pop()
    first = next((line for line in lines if line.strip()), "")
    if not first:
        raise BodyError(f"line {number}: no text follows the `|`: indent its lines")
    indent = first[: len(first) - len(first.lstrip())]
    for at, line in enumerate(lines):
        if line.strip() and not line.startswith(indent):
            raise BodyError(f"line {number + 1 + at} is indented less than the first line of its text")
    return "\n".join(line[len(indent) :] if line.strip() else "" for line in lines)
