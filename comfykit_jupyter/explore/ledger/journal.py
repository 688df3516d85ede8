"""`Journal`: an append-only folder of JSON lines, with one file for each process that writes.

Since each file has one writer, nothing is locked in order to write. This works on network file systems, where SQLite
locks up. A reader continues where it stopped. Nothing depends on the order in which files are read: see `entries`. A
writer locks its file only to show that it is alive, so that the file is not merged.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

FORMAT = 1
"""The version of the lines; every later version must read it."""
MAX_LINE_BYTES = 16 << 20
"""Bytes of one line; a longer one was not written by us, and is skipped."""
_READ_BYTES = 4 << 20
"""Bytes that are read at once."""
_SILENT_SECONDS = 30 * 24 * 3600.0
"""Seconds without a line after which a writer that can't be seen from here counts as gone."""
_MAX_FIRST_BYTES = 64 << 10
"""Bytes of a file's first line."""


def format_now() -> str:
    """Return the time in UTC, as lines have it: `2026-11-29T18:40:33.123456Z`."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Journal:
    """The lines of all processes in one folder; this process appends to a file of its own.

    Args:
        folder: The folder; it is created with the first line.

    Attributes:
        skipped: The number of lines that could not be read.

    Example:
        >>> import tempfile
        >>> journal = Journal(Path(tempfile.mkdtemp()))
        >>> journal.append({"event": "mark", "target": "a"})
        >>> [event["event"] for _, event in journal.read_new()]
        ['journal', 'mark']
        >>> journal.read_new()
        []
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.skipped = 0
        self._offsets: dict[str, int] = {}
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._pid = 0
        self.path: Path | None = None
        """The file of this process, once it has written a line."""

    def append(self, event: Mapping[str, Any], *, sync: bool = False) -> None:
        """Append a line. It is complete or, if the machine stops in the middle, skipped by readers.

        Args:
            event: What happened: plain JSON, with its kind as `event`.
            sync: Whether to return only when the line is on the disk.

        Raises:
            OSError: It can't be written: the disk is full, the folder is read-only, or the line is too long to be read.
        """
        line = _encode(event)
        if len(line) > MAX_LINE_BYTES:
            raise OSError(errno.EFBIG, f"a line of {len(line) >> 20} MB is longer than {MAX_LINE_BYTES >> 20} MB")
        with self._lock:
            descriptor = self._open()
            _write(descriptor, line)
            if sync:
                os.fsync(descriptor)

    def _open(self) -> int:
        """Return the descriptor of this process's file, which is created with the first line."""
        if self._descriptor is not None and self._pid == os.getpid():  # a forked process writes a file of its own
            if not _is_deleted(self._descriptor):
                return self._descriptor
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname().partition(".")[0])[:40] or "host"
        path = self.folder / _build_name(f"{host}-{os.getpid()}-{uuid.uuid4().hex[:6]}")
        descriptor = _create(path)
        try_lock(descriptor)
        try:
            _write(descriptor, _encode_first(os.getpid()))
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)  # each attempt on a full disk would leave one
            raise
        self._descriptor, self._pid, self.path = descriptor, os.getpid(), path
        return descriptor

    def close(self) -> None:
        """Close this process's file; the next line begins a new one."""
        with self._lock:
            if self._descriptor is not None and self._pid == os.getpid():
                os.close(self._descriptor)
            self._descriptor = self.path = None

    def compact(self, is_wanted: Callable[[Mapping[str, Any]], bool]) -> int:
        """Merge the files whose writers are gone, and this process's own, into one, and return how many there were.

        The merged file is complete before the others are removed; a process that reads both gets each line twice.

        Args:
            is_wanted: Returns whether a line is kept.

        Raises:
            OSError: It can't be written.
        """
        own = self.path
        self.close()
        old = self._find_ended(own)
        if not old:
            return 0
        target = self.folder / _build_name(f"merged-{uuid.uuid4().hex[:8]}")
        part = target.with_suffix(".part")
        with open(_create(part), "wb") as file:
            file.write(_encode_first(0))
            for path in old:
                for event in _iter_events(path):
                    if event["event"] != "journal" and is_wanted(event):
                        file.write(_encode({**event, "file": event.get("file") or path.name}, allow_nan=True))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _find_ended(self, own: Path | None) -> list[Path]:
        """Return the files that can be merged: those whose writers are gone, and this process's own."""
        found: list[Path] = []
        for path in sorted(self.folder.glob("*.jsonl")) if self.folder.is_dir() else []:
            with contextlib.suppress(OSError):
                first = _read_first(path)
                if _is_newer_format(first):
                    continue  # it may have lines that must not be merged
                if path == own or is_writer_gone(path, first):
                    found.append(path)
        return found

    def read_new(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the lines of `iter_new` as a list."""
        return list(self.iter_new())

    def iter_new(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines that any process has appended since the last call, each with the name of its file.

        A last line without its end is left for the next call. A broken line is skipped and counted. The lines are not
        all in memory at once: those of a million runs take several times as much as the runs themselves.
        """
        with self._lock, contextlib.suppress(FileNotFoundError):
            for entry in sorted(os.scandir(self.folder), key=lambda each: each.name):
                if not entry.name.endswith(".jsonl"):
                    continue
                with contextlib.suppress(OSError):  # it was merged and removed just now
                    start = self._offsets.get(entry.name, 0)
                    if entry.stat().st_size > start:
                        yield from self._read_file(Path(entry.path), start)

    def _read_file(self, path: Path, start: int) -> Iterator[tuple[str, dict[str, Any]]]:
        for lines, end in _iter_batches(path, start):
            self._offsets[path.name] = end
            for event in _parse_all(lines):
                if event is None:
                    self.skipped += 1
                else:
                    yield str(event.get("file") or path.name), event  # a merged line keeps the name of its first file


def _build_name(rest: str) -> str:
    """Return the name of a new file, which begins with the day."""
    return f"{datetime.now(timezone.utc):%Y%m%d}-{rest}.jsonl"


def _create(path: Path) -> int:
    """Create a file that only its owner may read, and return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)


def _encode_first(pid: int) -> bytes:
    """Encode the first line of a file; `pid` is its writer, 0 if it has none."""
    first = {"event": "journal", "format": FORMAT, "host": socket.gethostname(), "pid": pid, "at": format_now()}
    return _encode(first)


def _encode(event: Mapping[str, Any], *, allow_nan: bool = False) -> bytes:
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=allow_nan).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair can only be written as an escape
        return json.dumps(event, separators=(",", ":"), allow_nan=allow_nan).encode() + b"\n"


def _is_deleted(descriptor: int) -> bool:
    """Return whether a file was deleted, here or by another machine: no reader would find its lines."""
    try:
        return os.fstat(descriptor).st_nlink == 0
    except OSError:  # how a network file system reports it
        return True


def _write(descriptor: int, line: bytes) -> None:
    """Write a line with one call where the system allows it; end it if only a part can be written."""
    written = os.write(descriptor, line)
    try:
        while written < len(line):
            written += os.write(descriptor, line[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\n")  # the next line would become a part of this one
        raise


def _iter_batches(path: Path, start: int) -> Iterator[tuple[list[bytes], int]]:
    """Yield the complete lines of a file from an offset, many at once, each time with the offset of their end."""
    with path.open("rb") as file:
        file.seek(start)
        rest, is_dropping, offset = b"", False, start
        while chunk := file.read(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            offset += sum(map(len, lines)) + len(lines)
            if lines and (is_dropping or len(lines[0]) > MAX_LINE_BYTES):
                lines[0], is_dropping = b"\0", False  # a broken line, which is counted
            if lines:
                yield lines, offset
            if len(rest) > MAX_LINE_BYTES:  # it is skipped, and needs no memory meanwhile
                offset, rest, is_dropping = offset + len(rest), b"", True


def _iter_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a whole file, without broken lines."""
    for lines, _ in _iter_batches(path, 0):
        yield from (event for event in _parse_all(lines) if event is not None)


def _parse_all(lines: Sequence[bytes]) -> Sequence[dict[str, Any] | None]:
    """Return the events of lines, None for a broken one. To parse them all together takes half the time."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(b"[%b]" % b",0,".join(lines))  # with a zero after each, to find a line that holds two
        events = found[::2]
        if len(events) == len(lines) and not any(found[1::2]) and all(map(_is_event, events)):
            return list(events)
    return [_parse(line) for line in lines]


def _parse(line: bytes) -> dict[str, Any] | None:
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if _is_event(event) else None


def _is_event(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("event"), str)


def _read_first(path: Path) -> dict[str, Any]:
    """Return the first line of a file; {} if it is broken."""
    with path.open("rb") as file:
        return _parse(file.readline(_MAX_FIRST_BYTES)) or {}


def _is_newer_format(first: Mapping[str, Any]) -> bool:
    version = first.get("format")
    return isinstance(version, int) and version > FORMAT


def is_writer_gone(path: Path, first: Mapping[str, Any]) -> bool:
    """Return whether the process that writes a file has ended, so that its lines can be merged.

    Args:
        path: The file.
        first: Its first line.
    """
    if sys.platform != "win32" and first.get("host") == socket.gethostname():
        pid = first.get("pid")
        return not (isinstance(pid, int) and pid > 0 and _is_running(pid)) and not _is_locked(path)
    return time.time() - path.stat().st_mtime > _SILENT_SECONDS


def _is_running(pid: int) -> bool:
    """Return whether a process of this machine runs. Never call it on Windows, where signal 0 is Ctrl-C."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _is_locked(path: Path) -> bool:
    """Return whether a writer holds the lock: a process ID of another container says nothing here."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock a file until it is closed, where the system can; return False if another process has locked it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # this file system has no locks
            return True
    return True
