"""Check the first line of a commit message: at most 72 characters, and no full stop at its end."""
# ruff: noqa: INP001 - a script

import sys
from pathlib import Path

LONGEST = 72

subject = Path(sys.argv[1]).read_text(encoding="utf-8").partition("\n")[0].rstrip()
if not subject.startswith(("fixup! ", "squash! ", "amend! ")):  # git writes these, and removes them again
    if len(subject) > LONGEST:
        sys.exit(f"the subject has {len(subject)} characters, at most {LONGEST} fit: {subject}")
    if subject.endswith("."):
        sys.exit(f"the subject must not end with a full stop: {subject}")
