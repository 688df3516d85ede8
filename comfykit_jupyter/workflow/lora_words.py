"""Find the trigger words of a LoRA in the metadata of its file, as trainers write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from comfykit_jupyter.workflow.untrusted_json import parse_json, to_mapping

MAX_WORDS = 16
"""Words that are returned."""
MAX_WORD_LENGTH = 120
"""Characters of a word or phrase."""
MAX_TEXT = 1024 * 1024
"""Characters of one value; the header of a file that a server reads is not longer."""
MAX_TAGS = 50_000
"""Different tags that are counted."""
_EXPLICIT = (
    "modelspec.trigger_phrase",
    "modelspec.trigger_phrases",
    "ss_trigger_words",
    "trigger_phrase",
    "trigger_words",
    "trigger_word",
    "trained_words",
    "activation text",
)
"""Where trainers write words, the most reliable key first: a text with commas or lines, or a list."""
_FREQUENCY = "ss_tag_frequency"
"""How often each tag was in the captions, by folder: `{"10_fox": {"fox": 12, "snow": 3}}`."""
_PARENTHESES = str.maketrans({"(": "\\(", ")": "\\)"})
"""In a prompt, parentheses would be a weight."""


def find_words(metadata: Any) -> tuple[str, ...]:
    """Return the trigger words of a LoRA: those that its file names, then the most frequent tags of its training.

    Args:
        metadata: The metadata of the file. Anything may be in it.

    Example:
        >>> find_words({"ss_tag_frequency": '{"10_fox": {"snow": 3, "fox": 12}}', "ss_trigger_words": "f0x, red fur"})
        ('f0x', 'red fur', 'fox', 'snow')
    """
    found: dict[str, str] = {}
    for word in _iterate_words(to_mapping(metadata)):
        clean = " ".join(word.split())
        if clean and len(clean) <= MAX_WORD_LENGTH and clean.isprintable():
            found.setdefault(clean.casefold(), clean)
        if len(found) == MAX_WORDS:
            break
    return tuple(found.values())


def _iterate_words(metadata: Any) -> Iterator[str]:
    for key in _EXPLICIT:
        yield from _split(metadata.get(key))
    for tag, _ in _count_tags(metadata.get(_FREQUENCY)).most_common(MAX_WORDS):
        yield tag.translate(_PARENTHESES)


def _split(value: Any) -> Iterator[str]:
    """Yield the words of a text, or of a list, which may be written as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        parsed = _parse(value)
        value = value if parsed is None else parsed
    if isinstance(value, str):
        value = value[: MAX_WORDS * (MAX_WORD_LENGTH + 2)].replace("\n", ",").split(",")
    if isinstance(value, list):
        yield from (each for each in value[:MAX_WORDS] if isinstance(each, str))


def _count_tags(value: Any) -> Counter[str]:
    counted: Counter[str] = Counter()
    for tags in to_mapping(_parse(value) if isinstance(value, str) else value).values():
        for tag, count in to_mapping(tags).items():
            if isinstance(tag, str) and isinstance(count, int) and len(tag) <= MAX_WORD_LENGTH:
                counted[tag.strip()] += min(count, MAX_TEXT)
            if len(counted) >= MAX_TAGS:
                return counted
    return counted


def _parse(text: str) -> Any:
    try:
        return parse_json(text) if len(text) <= MAX_TEXT else None
    except (ValueError, RecursionError):
        return None
