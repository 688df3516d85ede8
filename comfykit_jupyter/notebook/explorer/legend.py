"""What the keys of an explorer do, for its legend. The page has no room for these words in its bundle."""

from __future__ import annotations

LEGEND = (
    ("← ↑ ↓ →", "go to a neighbour (Shift: select as well)"),
    ("Home End", "first, last of the row (Ctrl: of all)"),
    ("s", "star on or off"),
    ("1 – 5", "rating; 0 for none"),
    ("x", "reject on or off"),
    ("u", "undo the last mark"),
    ("n", "note and tags"),
    ("Shift", "with a marking key: also go to the next one"),
    ("Enter", "open; z opens at true pixels"),
    ("i", "open with all values"),
    ("c", "choose for comparison, or compare the selected ones (Shift: the chosen ones)"),
    ("Space", "select on or off; Ctrl+A all, Esc none"),
    ("+ −", "larger, smaller"),
)
"""The keys of every explorer."""
SWEEP_LEGEND = (
    *LEGEND,
    ("t", "swap rows and columns"),
    ("[ ]", "previous, next value of the first slider"),
    ("Delete", "leave the row out (Shift: the column); its runs are kept"),
    ("?", "these keys"),
)
LIBRARY_LEGEND = (
    *LEGEND,
    ("/", "search; Enter goes back to the images"),
    ("g", "open or close a stack"),
    ("?", "these keys"),
)
