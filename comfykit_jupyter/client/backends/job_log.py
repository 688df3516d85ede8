"""A log of the jobs that clouds have accepted from this machine; each note is kept for a week.

A cloud gives its jobs IDs of its own. It does not say who submitted which of them, and may not say what a job was
given. If a kernel restarts while a job runs, and costs money, this log finds the job again, with its values.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.senders import KEY, Sender, SentJob

logger = logging.getLogger(__name__)

LIFE = 7 * 24 * 3600.0
"""Seconds for which a note is kept."""
OUTPUTS_LIFE = 24 * 3600.0
"""Seconds after its end for which a job is found: outputs live about as long."""
MAX_NOTES = 500
"""Maximum number of notes."""
_ENDED = ".ended"


def find_folder() -> Path:
    """Return the folder of the notes, in this user's folder for the state of programs.

    Raises:
        RuntimeError: There is no such folder: the user has no home.
    """
    from platformdirs import user_state_path

    folder = user_state_path("comfykit-jupyter", appauthor=False) / "jobs"
    if not folder.is_absolute():
        raise RuntimeError("there is no home folder")
    return folder


def add(
    url: str, run_id: str, prompt_id: str, prompt: Mapping[str, Any], workflow: str = "", sender: Sender | None = None
) -> None:
    """Add a job that a cloud has accepted. If that fails, nothing happens: the job runs all the same.

    Args:
        url: The cloud's address.
        run_id: The run's own ID.
        prompt_id: The cloud's ID of the job.
        prompt: What the job was given, in API format.
        workflow: The name of its workflow.
        sender: Who sent it, which clouds do not keep.
    """
    try:
        find_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_old()
        path = _build_path(url, prompt_id)
        content = {"url": url, "run": run_id, "job": prompt_id, "prompt": prompt, "workflow": workflow}
        if sender is not None:
            content[KEY] = sender.to_json()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - only its owner may read it
            json.dump(content, file)
    except (OSError, RuntimeError, ValueError) as error:
        logger.debug("a job could not be logged: %s", type(error).__name__)


def mark_ended(url: str, prompt_id: str) -> None:
    """Mark a job as ended."""
    with contextlib.suppress(OSError, RuntimeError):
        path = _build_path(url, prompt_id)
        os.utime(path)
        path.replace(path.with_suffix(_ENDED))  # unlike `rename`, this also replaces a file on Windows


def find(url: str, ending: str) -> list[str]:
    """Return the jobs whose runs' IDs have this ending: the one that ended last, then those without an end."""
    unfinished: list[tuple[float, str]] = []
    ended: list[tuple[float, str]] = []
    for at, path in _iter_notes():
        note = _read(path)
        if note.get("url") == url and str(note.get("run")).endswith(ending) and isinstance(note.get("job"), str):
            (ended if path.suffix == _ENDED else unfinished).append((at, note["job"]))
    ended = [each for each in ended if time.time() - each[0] < OUTPUTS_LIFE]
    return [job for _, job in [*sorted(ended)[-1:], *sorted(unfinished)]]


def find_sent_jobs(url: str) -> list[SentJob]:
    """Return the logged jobs whose sender is known and that have not ended here, oldest first."""
    found: list[tuple[float, SentJob]] = []
    for at, path in _iter_notes():
        note = _read(path) if path.suffix != _ENDED else {}
        sender, prompt_id, prompt = Sender.parse(note), note.get("job"), note.get("prompt")
        if note.get("url") == url and sender is not None and isinstance(prompt_id, str) and isinstance(prompt, dict):
            found.append((at, SentJob(prompt_id, sender, prompt, str(note.get("run")))))
    return [job for _, job in sorted(found, key=lambda each: each[0])]


def read_note(url: str, prompt_id: str) -> Mapping[str, Any] | None:
    """Return the note of a job, with its `prompt` and the name of its `workflow`; None if there is none."""
    with contextlib.suppress(OSError, RuntimeError):
        path = _build_path(url, prompt_id)
        note = _read(path) or _read(path.with_suffix(_ENDED))
        return note if isinstance(note.get("prompt"), dict) and note.get("job") == prompt_id else None
    return None


def _build_path(url: str, prompt_id: str) -> Path:
    return find_folder() / f"{hashlib.sha256(f'{url} {prompt_id}'.encode('utf-8', 'replace')).hexdigest()[:32]}.json"


def _iter_notes() -> Iterator[tuple[float, Path]]:
    """Yield the notes, with the times at which they were written or marked as ended."""
    with contextlib.suppress(OSError, RuntimeError):
        for path in find_folder().iterdir():
            with contextlib.suppress(OSError):
                yield path.stat().st_mtime, path


def _read(path: Path) -> Mapping[str, Any]:
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _remove_old() -> None:
    for index, (at, path) in enumerate(sorted(_iter_notes(), reverse=True)):
        if index >= MAX_NOTES or time.time() - at > LIFE:
            with contextlib.suppress(OSError):  # one that can't be removed must not prevent the next one
                path.unlink(missing_ok=True)
