"""Captions: short texts on one line, bounded and safe to print."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

from comfykit_jupyter.workflow.errors import truncate

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.media import Media

MAX_NAME_LENGTH = 120
"""Characters of a name or value."""

_CONTROLS = ("Cc", "Cs")
"""Unicode categories that control a terminal, or are not characters."""
_DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Unicode classes that change the direction of the text that follows."""


def format_label(media: Media) -> str:
    """Return the name that an output has in the workflow, else the number of its node."""
    return shorten(media.var if media.var != media.node else f"node {media.node}")


def format_media(media: Media) -> str:
    """Format an output on one line, without its address."""
    return f"<Media {media.kind} {shorten(media.name)}>"


def format_cost(cost: Mapping[str, float]) -> str:
    """Format what a run cost: `17 coins`; empty if unknown."""
    units = {"coins": "coins", "money": "in money", "third_party_money": "in money for third-party services"}
    amounts = [f"{cost[name]:.10g} {unit}" for name, unit in units.items() if name in cost]
    return ", ".join("1 coin" if amount == "1 coins" else amount for amount in amounts)


def shorten(text: str, limit: int = MAX_NAME_LENGTH) -> str:
    """Return a text as one readable line of at most `limit` characters, for captions; messages use `one_line`."""
    return truncate(strip_controls("".join(" " if c.isspace() else c for c in text[: 2 * limit + 100])), limit)


def strip_controls(text: str) -> str:
    """Remove characters that control a terminal or change the direction of the text around them."""
    return "".join(
        c for c in text if unicodedata.category(c) not in _CONTROLS and unicodedata.bidirectional(c) not in _DIRECTIONS
    )
