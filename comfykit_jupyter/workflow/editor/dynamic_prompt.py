"""Choose alternatives in prompt texts such as `a {red|blue} cat`: in a workflow's own, and in values that are given."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

_COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n\r\u2028\u2029]*", re.DOTALL)
_TOKEN: Final = re.compile(r"\\.?|[{}|]|[^\\{}|]+", re.DOTALL)
_ESCAPES: Final = frozenset({r"\{", r"\|", r"\}"})
_JSON_STARTS: Final = ("{", "[", '"')
_ESCAPED: Final = re.compile(r"\\([{}|])")


def choose_alternatives(text: str, draw: Callable[[int, int], int] | None = None) -> str:
    r"""Return a workflow's own text as the editor sends it: with one alternative of each `{a|b|c}`.

    It has no comments: `//` and `/* */`. `\{` is a brace.

    Args:
        text: The text as it was typed.
        draw: `draw(low, high)` returns the index of an alternative, both bounds included; at random by default.

    >>> choose_alternatives("a {red} cat // later")
    'a red cat '
    """
    draw = draw or draw_at_random
    whole: list[str] = []
    open_: list[list[list[str]]] = []  # the open choices: their alternatives, each in pieces
    for part in _TOKEN.findall(_COMMENT.sub("", text)):
        if part == "{":
            open_.append([[]])
        elif part == "|" and open_:
            open_[-1].append([])
        elif part == "}" and open_:
            picked = _pick(open_.pop(), draw)
            (open_[-1][-1] if open_ else whole).append(picked)
        else:
            (open_[-1][-1] if open_ else whole).append(part)
    while open_:  # an unclosed choice ends with the text
        picked = _pick(open_.pop(), draw)
        (open_[-1][-1] if open_ else whole).append(picked)
    return _ESCAPED.sub(r"\1", "".join(whole))


def may_have_choices(text: str) -> bool:
    """Return whether a text may have choices such as `{a|b}`: only drawing them shows whether it does."""
    return "{" in text and "|" in text


def expand_choices(text: str, draw: Callable[[int, int], int] | None = None) -> str:
    r"""Return a text that is given as a value, with one alternative drawn for each `{a|b|c}`; all else stays.

    Unlike in the editor, comments stay, as do braces without `|` or without a partner. A text that is JSON stays as a
    whole. The result can be expanded again without another change: it keeps the backslash of `\{`, which
    `unescape_braces` removes.

    Args:
        text: The text as it was given.
        draw: As for `choose_alternatives`.

    >>> expand_choices("{a} {red|red} cat // https://example.org")
    '{a} red cat // https://example.org'
    """
    if "{" not in text or "|" not in text or _is_json(text):
        return text
    tokens = _TOKEN.findall(text)
    groups = _find_groups(tokens)
    draw = draw or draw_at_random
    parts: list[str] = []
    after: dict[int, int] = {}  # where to continue at the end of an alternative that was drawn
    at = 0
    while at < len(tokens):
        if at in after:
            at = after[at]
        elif at in groups:
            bounds = groups[at]
            drawn = draw(0, len(bounds) - 2)
            after[bounds[drawn + 1]] = bounds[-1] + 1
            at = bounds[drawn] + 1
        else:
            parts.append(tokens[at])
            at += 1
    return "".join(parts)


def unescape_braces(text: str) -> str:
    r"""Return a text that was given as a value without the backslashes of `\{`, `\|` and `\}`; JSON stays.

    >>> print(unescape_braces(r"\{red\|blue\} C:\\{"))
    {red|blue} C:\\{
    """
    if "\\" not in text or _is_json(text):
        return text
    return "".join(token[1:] if token in _ESCAPES else token for token in _TOKEN.findall(text))


def _is_json(text: str) -> bool:
    if text.strip()[:1] not in _JSON_STARTS:
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:
        return True  # it is not a prompt text at any rate
    return True


def _find_groups(tokens: list[str]) -> dict[int, list[int]]:
    """Return the places of `{`, each `|` and `}` of the braces that have alternatives, by the place of the `{`."""
    groups: dict[int, list[int]] = {}
    open_: list[list[int]] = []
    for at, part in enumerate(tokens):
        if part == "{":
            open_.append([at])
        elif part == "|" and open_:
            open_[-1].append(at)
        elif part == "}" and open_:
            bounds = [*open_.pop(), at]
            if len(bounds) > 2:
                groups[bounds[0]] = bounds
    return groups


def _pick(alternatives: list[list[str]], draw: Callable[[int, int], int]) -> str:
    at = draw(0, len(alternatives) - 1) if len(alternatives) > 1 else 0
    return "".join(alternatives[at])


def draw_at_random(low: int, high: int) -> int:
    """Return a random integer within bounds, both included."""
    from random import SystemRandom

    return SystemRandom().randint(low, high)
