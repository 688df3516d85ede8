"""Read the body of `%%comfykit run wf.json`: a JSON object, or lines in a small part of YAML.

    prompt: |
        a red fox in the snow,
        soft light
    seed: 42
    KSampler.cfg: 7.5
    image: {picture}
    # a comment has a line of its own

A value extends to the end of its line. Quotes work as in the line of the magic, and a value that is wholly in braces is
a Python expression. `|` begins a text of several lines: the indented lines that follow, without their indent and
without a line break at the end.

This is written by hand because prompt texts are not YAML. A YAML parser takes `a cat: (fluffy:1.2)` for a mapping, cuts
a text at ` #`, turns `no` into False, and has no place for `{picture}`. What YAML would read differently than a person
does (lists, ` #` after a value, a value on the next line) is therefore rejected with a message.
"""

from __future__ import annotations

import json
import re
from typing import Any

from comfykit_jupyter.notebook.magic.line import LineError, Token, parse_expression, read_quotation

FIRST_LINE = 2
"""The number of the body's first line in its cell."""
NAME_LENGTH = 60
"""Characters of a name in a message."""

_NAME = re.compile(
    r"""(?P<name>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s:"'{\[|>#-](?:[^:"']|:(?!\s|$))*?)\s*:(?=\s|$)(?P<value>.*)"""
)
_LIST = re.compile(r"- |-$|\[.*\]$")
_YAML = re.compile(r"[|>][-+0-9]*$|[&*!]\w")


class BodyError(ValueError):
    """A body that can't be read; the message says in which line of the cell, and what to write."""


def read_body(text: str) -> dict[str, Any]:
    """Return the values by name: a `Token` for each line, or whatever a JSON object holds.

    Raises:
        BodyError: The body is neither a JSON object nor `name: value` lines.
    """
    return _read_json(text) if text.lstrip()[:1] == "{" else _read_lines(text)


# -- JSON --------------------------------------------------------------------------------------------------------------


def _read_json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno + FIRST_LINE - 1}, column {error.colno}"
        raise BodyError(
            f"{where}: not valid JSON ({error.msg}); values can also be given as `name: value` lines"
        ) from None
    except RecursionError:
        raise BodyError("the JSON is nested too deeply") from None
    except BodyError:
        raise
    except ValueError:
        raise BodyError("the JSON contains a number with too many digits") from None
    values: dict[str, Any] = found  # a text that begins with a brace is an object
    return values


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BodyError(f"{name[:NAME_LENGTH]!r} is given twice")
        found[name] = value
    return found


def _reject_constant(name: str) -> Any:
    raise BodyError(f"{name} is not a number that a workflow can contain")


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
        name, value = _split_line(line, number)
        if name in values:
            raise BodyError(f"line {number}: {name[:NAME_LENGTH]!r} is given twice")
        if value == "|":
            count = _count_block_lines(lines[at:])
            values[name] = Token(_join_block(lines[at : at + count], number), name, quoted=True)
            at += count
        else:
            values[name] = _read_value(name, value, number)
    return values


def _split_line(line: str, number: int) -> tuple[str, str]:
    """Return the name and the value of one line."""
    if line[0].isspace():
        raise BodyError(f"line {number}: unexpected indent; a text of several lines begins after `name: |`")
    found = _NAME.fullmatch(line)
    if found is None:
        raise BodyError(f"line {number}: expected `name: value`, not {line[:40]!r}")
    name = found["name"]
    return (_unquote(name, number) if name[0] in "\"'" else name), found["value"].strip()


def _read_value(name: str, value: str, number: int) -> Token:
    where = f"line {number}, {name[:NAME_LENGTH]}"
    if not value:
        raise BodyError(
            f'{where}: no value after the colon; write "" for an empty text, or `|` to begin a text of several lines'
        )
    if value[0] in "\"'":
        return Token(_unquote(value, number), name, quoted=True)
    if (python := parse_expression(value)) is not None:
        return Token(python, name, expression=True)
    if _YAML.match(value) or _LIST.match(value):
        raise BodyError(
            f"{where}: {value[:20]!r} is unsupported YAML; quote it if it is text, "
            "use `|` to begin a text of several lines, or {…} for Python"
        )
    if re.search(r"\s#", value):
        raise BodyError(f"{where}: ` #` may begin a comment; quote the text, or put the comment on its own line")
    return Token(value, name)


def _unquote(text: str, number: int) -> str:
    try:
        content, end = read_quotation(text)
    except LineError as error:
        raise BodyError(f"line {number}: {error}") from None
    if end != len(text):
        raise BodyError(
            f"line {number}: unexpected {text[end : end + 20]!r} after the closing quote; "
            "quote the whole text, or begin it with `|`"
        )
    return content


def _count_block_lines(lines: list[str]) -> int:
    """Count the lines that belong to the text that begins here."""
    return next((at for at, line in enumerate(lines) if line.strip() and not line[0].isspace()), len(lines))


def _join_block(lines: list[str], number: int) -> str:
    """Join the lines of a text without their indent; `number` is the number of the line with the `|`."""
    while lines and not lines[-1].strip():
        lines.pop()
    first = next((line for line in lines if line.strip()), "")
    if not first:
        raise BodyError(f"line {number}: no text follows the `|`; indent its lines")
    indent = first[: len(first) - len(first.lstrip())]
    for at, line in enumerate(lines):
        if line.strip() and not line.startswith(indent):
            raise BodyError(f"line {number + 1 + at}: indented less than the first line of its text")
    return "\n".join(line[len(indent) :] if line.strip() else "" for line in lines)
