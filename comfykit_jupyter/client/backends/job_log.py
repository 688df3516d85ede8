"""Jobs that clouds have taken from this machine, noted here for a week.

A cloud gives its jobs names of its own, tells nobody which of them are whose, and not every one tells what a job was
given. A kernel may restart while one runs that is paid: by these notes it is found again, with its values.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

LIFE = 7 * 24 * 3600.0
"""Seconds for which a note is kept."""
OUTPUTS_LIFE = 24 * 3600.0
"""Seconds after its end for which a job is found: outputs live about as long."""
MOST = 500
"""Notes that are kept."""
_ENDED = ".ended"


def find_folder() -> Path:
    """Where the notes are: this user's folder for what programs remember."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "comfykit-jupyter" / "jobs"


def add(url: str, run_id: str, prompt_id: str, prompt: Mapping[str, Any]) -> None:
    """Note a job that was taken. What can't be written is not: the job runs all the same.

    Args:
        url: the cloud's address. run_id: the run's own id. prompt_id: the cloud's name for it.
        prompt: what it was given, in API format.
    """
    try:
        find_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_old()
        path = _path(url, prompt_id)
        content = {"url": url, "run": run_id, "job": prompt_id, "prompt": prompt}
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - readable by its owner only
            json.dump(content, file)
    except (OSError, RuntimeError, ValueError) as error:
        logger.debug("a job could not be noted: %s", type(error).__name__)


def mark_ended(url: str, prompt_id: str) -> None:
    """Note that a job has ended."""
    with contextlib.suppress(OSError, RuntimeError):
        path = _path(url, prompt_id)
        os.utime(path)
        path.rename(path.with_suffix(_ENDED))


def find(url: str, ending: str) -> list[str]:
    """The jobs of a cloud whose runs' ids end so: that which ended last, then those of which no end is known."""
    going: list[tuple[float, str]] = []
    ended: list[tuple[float, str]] = []
    for at, path in _notes():
        told = _read(path)
        if told.get("url") == url and str(told.get("run")).endswith(ending) and isinstance(told.get("job"), str):
            (ended if path.suffix == _ENDED else going).append((at, told["job"]))
    ended = [each for each in ended if time.time() - each[0] < OUTPUTS_LIFE]
    return [job for _, job in [*sorted(ended)[-1:], *sorted(going)]]


def read_prompt(url: str, prompt_id: str) -> Mapping[str, Any] | None:
    """What a job was given, if that is noted."""
    with contextlib.suppress(OSError, RuntimeError):
        path = _path(url, prompt_id)
        told = _read(path) or _read(path.with_suffix(_ENDED))
        prompt = told.get("prompt")
        return prompt if isinstance(prompt, dict) and told.get("job") == prompt_id else None
    return None


def _path(url: str, prompt_id: str) -> Path:
    return find_folder() / f"{hashlib.sha256(f'{url} {prompt_id}'.encode('utf-8', 'replace')).hexdigest()[:32]}.json"


def _notes() -> Iterator[tuple[float, Path]]:
    """The notes, with the times at which they were made or ended."""
    with contextlib.suppress(OSError, RuntimeError):
        for path in find_folder().iterdir():
            with contextlib.suppress(OSError):
                yield path.stat().st_mtime, path


def _read(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _forget_old() -> None:
    for index, (at, path) in enumerate(sorted(_notes(), reverse=True)):
        if index >= MOST or time.time() - at > LIFE:
            path.unlink(missing_ok=True)
