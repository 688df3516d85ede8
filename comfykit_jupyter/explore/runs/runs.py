"""`Runs`: all runs that were kept in a folder (`kit.runs`)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.ledger import Ledger, list_files, list_given_files
from comfykit_jupyter.explore.rows.row import Row, find_differences
from comfykit_jupyter.explore.runs.rows import MAX_AGE, Rows, read_age
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.explore.ledger.entries import SweepEntry
    from comfykit_jupyter.explore.runs.bundle import Bundle
    from comfykit_jupyter.kit.kit import ComfyKit

LARGE = 5 << 30
"""Bytes of originals from which `kit.runs` says how much they take."""
_NEWEST = attrgetter("at", "id")


class Differences(dict[str, tuple[Any, Any]]):
    """What differs between two runs, by name, with both values; printed, one line each.

    Example:
        kit.runs.diff(kit.runs[0], kit.runs[1]).get("cfg")
    """

    def __str__(self) -> str:
        lines = [f"{one_line(name)}: {short_repr(one)} → {short_repr(other)}" for name, (one, other) in self.items()]
        return "\n".join(lines) or "no difference"

    __repr__ = __str__


class Runs(Rows):
    """All runs that were kept in a folder, newest first.

    Args:
        ledger: The folder.
        kit: What runs them again.

    Example:
        kit = ComfyKit(runs="runs")
        kit.run("portrait.json", prompt="a fox")
        kit.runs[0].star = True
        kit.runs.where(star=True).df
    """

    def __init__(self, ledger: Ledger, kit: ComfyKit) -> None:
        super().__init__(ledger)
        self._kit = kit

    def __repr__(self) -> str:
        entries = self._ledger.read()
        size = self._ledger.store.measure()
        facts = [f"{len(self):,} runs in {one_line(str(self._ledger.folder))}"]
        facts += [f"{size / (1 << 30):.1f} GB of originals: kit.runs.prune() makes room"] if size > LARGE else []
        skipped = self._ledger.journal.skipped + entries.unknown
        facts += [f"{skipped:,} lines of the journal were not understood"] if skipped else []
        return f"<Runs: {'; '.join(facts)}>"

    def _list_ids(self) -> Sequence[str]:
        entries = self._ledger.read().runs
        return [entry.id for entry in sorted(entries.values(), key=_NEWEST, reverse=True)]

    def _ipython_display_(self) -> None:
        from comfykit_jupyter.notebook.explorer.runs_display import show_runs

        show_runs(self)

    def _display_(self) -> object:
        """Return what marimo shows: the library."""
        from comfykit_jupyter.notebook.explorer.runs_display import get_runs_output

        return get_runs_output(self).explorer

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._ledger.folder

    def unfinished(self) -> Rows:
        """Return the runs that were sent and whose end is not known, as after a kernel was killed."""
        return self.where(status="sent")

    def sweep(self, name: str) -> Rows:
        """Return the runs of a sweep, by its name or ID, or by the name of its workflow if it has none.

        Args:
            name: The name.

        Raises:
            ComfyKitError: There is none.
        """
        ids = {each.id for each in self._find_sweeps(name)}
        entries = self._ledger.read().runs
        return Rows(self._ledger, [each for each in self._list_ids() if entries[each].sweep in ids])

    def _find_sweeps(self, name: str) -> list[SweepEntry]:
        """Return the sweeps with a name, the newest last; one without a name has its workflow's name."""
        entries = self._ledger.read().sweeps.values()
        sweeps = sorted((each for each in entries if not each.is_emptied), key=lambda each: each.at)
        found = [each for each in sweeps if name in (each.name or each.workflow, each.id)]
        if not found:
            nearest = find_nearest(str(name), [each.name or each.workflow for each in sweeps])
            hint = f": did you mean {one_line(nearest)}?" if nearest else ""
            raise ComfyKitError(f"there is no sweep {short_repr(name)}{hint}")
        return found

    def bundle(self, sweep: str, path: str | Path) -> Path:
        """Write the runs of an earlier sweep as one ZIP file, as `Sweep.bundle` does.

        Args:
            sweep: Its name or ID, or the name of its workflow if it has none. Of several, the newest is taken.
            path: The file; it is replaced if it exists.

        Raises:
            ComfyKitError: There is no such sweep, none of its points is done, or an original is no longer here.
        """
        from comfykit_jupyter.explore.runs.bundle_writer import collect_kept_sweep, write_bundle

        contents = collect_kept_sweep(self._ledger, self._find_sweeps(sweep)[-1])
        server = self._kit.find_backend()
        return write_bundle(self._ledger, contents, server, Path(path).expanduser())

    def open(self, path: str | Path) -> Bundle:
        """Look into a bundle that `Sweep.bundle` wrote. Nothing is run, and nothing is written.

        Args:
            path: The file.

        Returns:
            What is in it, and what differs here.

        Raises:
            ComfyKitError: It is not a bundle, or is damaged or too large.
        """
        from comfykit_jupyter.explore.runs.bundle import open_bundle

        return open_bundle(self._kit, self._ledger, Path(path).expanduser())

    def again(self, row: Row | str, values: Mapping[str, Any] | None = None, /, **more: Any) -> Run:
        """Run a row again, with the same workflow, values, seeds and files. Returns at once, as `submit` does.

        Args:
            row: A row, or the beginning of its ID.
            values: Values to change, by parameter name.
            more: More of them, as keywords.

        Raises:
            ComfyKitError: Its workflow, or a file that it was given, is no longer here.

        Example:
            kit.runs.again(kit.runs[0], steps=30)
        """
        from comfykit_jupyter.explore.runs.again import start_again

        return start_again(
            self._kit, self._ledger, row if isinstance(row, Row) else self[row], {**(values or {}), **more}
        )

    def diff(self, one: Row | str, other: Row | str) -> Differences:
        """Return the inputs in which two runs differ, by node and input.

        Args:
            one: A row, or the beginning of its ID.
            other: The other one.
        """
        first, second = (each if isinstance(each, Row) else self[each] for each in (one, other))
        named = {}
        for name in dict.fromkeys([*first.params, *second.params]):
            mine, theirs = first.params.get(name), second.params.get(name)
            if mine != theirs:
                named[name] = (mine, theirs)
        return Differences(named or find_differences(first.prompt, second.prompt))

    def prune(self, older: str | timedelta = "30d", *, keep: str = "starred", dry_run: bool = True) -> str:
        """Delete the originals of old runs. Rows, thumbnails and marks stay.

        Args:
            older: The age from which they are deleted: `"30d"`, `"12h"`, `"2w"`, or a timedelta.
            keep: `starred` keeps those with a star, a rating or a tag; `nothing` keeps none of them.
            dry_run: Whether nothing is deleted, and the line says what would be.

        Returns:
            One line that says what was, or would be, deleted.

        Raises:
            ComfyKitError: The age or `keep` can't be understood.
        """
        if keep not in ("starred", "nothing"):
            raise ComfyKitError(f"keep must be 'starred' or 'nothing', not {short_repr(keep)}")
        limit = datetime.now(timezone.utc) - _read_age(older)
        old = self._find_old_originals(limit, keep_marked=keep == "starred")
        files = [(each, path) for each in sorted(old) if (path := self._ledger.store.find(each)) is not None]
        size = sum(path.stat().st_size for _, path in files)
        what = f"{len(files):,} originals, {size / (1 << 20):.1f} MB"
        if dry_run:
            return f"would delete {what} (dry_run=False does it)"
        if files:
            self._ledger.append({"event": "pruned", "hashes": [each for each, _ in files]})
        for digest, _ in files:
            self._ledger.store.get_thumbnail(digest)  # while it can still be made
            self._ledger.store.remove(digest)
        return f"deleted {what}"

    def _find_old_originals(self, limit: datetime, *, keep_marked: bool) -> set[str]:
        """Return the hashes of the outputs of runs before a time, without the files of all other runs."""
        entries = self._ledger.read()
        kept: set[str] = set()
        old: set[str] = set()
        for row in self:
            entry = entries.runs[row.id]
            hashes = {output.hash for output in entry.outputs if output.hash}
            is_marked = row.star or row.rating or row.tags
            if row.at is not None and row.at < limit and not (keep_marked and is_marked):
                old |= hashes
            else:
                kept |= hashes | list_given_files(entry)  # it may be run again
        return old - kept

    def forget(self, rows: Row | str | Iterable[Row]) -> int:
        """Remove all that is kept of runs: rows, thumbnails, originals, and inputs and workflows that no other run has.

        A sweep with no runs left loses its values, too.

        Args:
            rows: A row, the beginning of an ID, or several rows.

        Returns:
            How many rows were removed.
        """
        given = [self[rows]] if isinstance(rows, str) else [rows] if isinstance(rows, Row) else list(rows)
        runs = self._ledger.read().runs
        files = {digest for row in given if row.id in runs for digest in list_files(runs[row.id])}
        sweeps = {row.sweep for row in given}
        for row in given:
            self._ledger.append({"event": "forgotten", "id": row.id})
            self._ledger.store.remove_thumbnail_of(row.id)
        self._ledger.empty_sweeps(sweeps - {row.sweep for row in self})
        self._ledger.remove_unused(files)
        self._ledger.compact()  # the lines hold the prompt: a process that still runs keeps its own until it ends
        return len(given)

    def compact(self) -> str:
        """Merge the files of the journal whose processes have ended. Nothing is lost.

        Returns:
            One line that says what was merged.
        """
        began = time.monotonic()
        count = self._ledger.compact()
        files = f"{count:,} file{'s' * (count != 1)}"
        return f"merged {files} of the journal in {time.monotonic() - began:.1f} s" if count else "nothing to merge"

    def scan(self, folder: str | Path) -> str:
        """Add the files that ComfyUI itself has saved as rows, by the workflows in them. They stay where they are.

        Args:
            folder: ComfyUI's `output` folder, or a copy of it.

        Returns:
            One line that says what was found.

        Raises:
            ComfyKitError: There is no such folder.
        """
        from comfykit_jupyter.explore.ledger.scan import scan_folder

        return scan_folder(self._ledger, Path(folder).expanduser())


def _read_age(older: str | timedelta) -> timedelta:
    found = min(older, MAX_AGE) if isinstance(older, timedelta) else read_age(older)
    if found is None:
        raise ComfyKitError(f'older must be an age such as "30d", "12h" or "2w", not {short_repr(older)}')
    return found
