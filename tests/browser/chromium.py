"""Find the Chromium for the browser tests: `python tests/browser/chromium.py` prints its path, or fails."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Return the path of a browser: `$CHROMIUM`, the machine's own, or Playwright's."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    for name in NAMES:
        if (path := shutil.which(name)) is not None:
            return path
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")
    found = sorted(cache.glob("chromium-*/chrome-linux*/chrome")) + sorted(
        cache.glob("chromium-*/chrome-mac/*/*/MacOS/*")
    )
    return str(found[-1]) if found else None


if __name__ == "__main__":
    chromium = find_chromium()
    print(chromium or "no Chromium on this machine")
    sys.exit(0 if chromium else 1)
