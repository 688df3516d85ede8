"""Choose alternatives in prompt texts such as `a {red|blue} cat`, and drop comments, as the editor does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n\r\u2028\u2029]*", re.DOTALL)
_TOKEN: Final = re.compile(r"\\.?|[{}|]|[^\\{}|]+", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\([{}|])")


def choose_alternatives(text: str, draw: Callable[[int, int], int] | None = None) -> str:
    r"""Return a text with one alternative of each `{a|b|c}`, without `//` and `/* */` comments; `\{` is a brace.

    Args:
        text: The text as it was typed.
        draw: `draw(low, high)` returns the index of an alternative, both bounds included; at random by default.

    >>> choose_alternatives("a {red} cat // later")
    'a red cat '
    """
    draw = draw or _draw
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


def _pick(alternatives: list[list[str]], draw: Callable[[int, int], int]) -> str:
    at = draw(0, len(alternatives) - 1) if len(alternatives) > 1 else 0
    return "".join(alternatives[at])


def _draw(low: int, high: int) -> int:
    from random import SystemRandom

    return SystemRandom().randint(low, high)
