"""Guess which name was meant by a misspelled one."""

from __future__ import annotations

from collections.abc import Iterable


def find_nearest(name: str, names: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the name that was most likely meant, or None if none is close.

    A common suffix doesn't count: `x.png` does not mean `cat.png`.

    Args:
        name: The misspelled name.
        names: The names that exist.
        likeness: How similar a name must be, from 0 (any) to 1 (equal).

    >>> find_nearest("promt", ["prompt", "negative"])
    'prompt'
    """
    from difflib import get_close_matches

    known = {each[:200].casefold(): each for each in list(names)[:5000]}
    wanted = name[:200].casefold()
    if wanted in known:
        return known[wanted]
    stem, _, suffix = wanted.rpartition(".")
    if stem and any(each.endswith(f".{suffix}") for each in known):
        known = {each.removesuffix(f".{suffix}"): said for each, said in known.items()}
        wanted = stem
    found = get_close_matches(wanted, known, n=1, cutoff=likeness)
    return known[found[0]] if found else None
