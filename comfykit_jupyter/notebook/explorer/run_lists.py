"""Lists of kept runs for the page: by day, with those that differ only in the seed in one stack; and the filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.missing.model_files import find_model_places
from comfykit_jupyter.explore.rows.row import parse_time
from comfykit_jupyter.explore.runs.query import find_month
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.entries import Entries, RunEntry
    from comfykit_jupyter.explore.ledger.ledger import Ledger

MAX_OPTIONS = 200
"""Choices of a filter."""
MAX_LABEL = 80
"""Characters of a choice."""
STATUSES = {
    "completed": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "sent": "Unfinished",
}
MARKS = {
    "picked": "★ Picked",
    "5": "Rated 5",
    "4": "Rated 4 or more",
    "3": "Rated 3 or more",
    "1": "Rated",
    "unjudged": "Not yet judged",
    "rejected": "Rejected",
    "note": "With a note",
}


class RunLists:
    """Facts about the runs of a folder, computed once for each run.

    Args:
        ledger: The folder.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._days: dict[str, date | None] = {}
        self._settings: dict[str, Hashable] = {}
        self._models: dict[str, tuple[str, ...]] = {}
        """The models of each workflow."""

    def list_days(self, ids: Sequence[str], today: date | None = None) -> list[tuple[str, int]]:
        """Return the days of runs that are in the order of time: the name of each, and how many runs it has.

        Args:
            ids: The IDs of the runs.
            today: The day that is called today.
        """
        runs, today = self._ledger.read().runs, today or datetime.now().astimezone().date()
        found: list[tuple[date | None, int]] = []
        for id_ in ids:
            day = self._find_day(runs[id_])
            if found and found[-1][0] == day:
                found[-1] = (day, found[-1][1] + 1)
            else:
                found.append((day, 1))
        return [(format_day(day, today), count) for day, count in found]

    def _find_day(self, entry: RunEntry) -> date | None:
        if entry.id not in self._days:
            at = parse_time(entry.at)
            self._days[entry.id] = at.astimezone().date() if at is not None else None
        return self._days[entry.id]

    def stack(self, ids: Iterable[str]) -> list[list[str]]:
        """Return runs in stacks of those that differ only in the seed, each where its first run is."""
        runs = self._ledger.read().runs
        stacks: dict[Hashable, list[str]] = {}
        for id_ in ids:
            stacks.setdefault(self._find_settings(runs[id_]), []).append(id_)
        return list(stacks.values())

    def _find_settings(self, entry: RunEntry) -> Hashable:
        """Return what is equal for two runs that differ only in the seed."""
        if entry.id not in self._settings:
            values = sorted((name, str(value)) for name, value in entry.params.items() if name not in entry.seeds)
            self._settings[entry.id] = (entry.name, entry.template, *values, *sorted(entry.files.items()), entry.found)
        return self._settings[entry.id]

    def list_filters(self, today: date | None = None) -> list[dict[str, Any]]:
        """Return the filters with a choice: name, label, and choices as pairs of value and label."""
        entries, today = self._ledger.read(), today or datetime.now().astimezone().date()
        runs = list(entries.runs.values())
        workflows = Counter(run.name for run in runs if run.name)
        models = Counter(name for run in runs for name in self._find_models(run))
        tags = Counter(tag for run in runs for tag in tuple(entries.get_marks(run.id).tags))
        found = [
            ("marks", "Marks", list(MARKS.items())),
            ("date", "Date", self._list_dates(runs, today)),
            ("workflow", "Workflow", _list_options(workflows)),
            ("model", "Model", _list_options(models)),
            ("tag", "Tag", _list_options(tags, "#")),
            ("sweep", "Sweep", _list_sweeps(entries, {run.sweep for run in runs})),
            ("status", "Status", _list_statuses({run.status for run in runs})),
        ]
        needs = {"marks": 1, "tag": 1, "sweep": 1}
        return [
            {"name": name, "label": label, "options": options}
            for name, label, options in found
            if len(options) >= needs.get(name, 2)
        ]

    def _find_models(self, entry: RunEntry) -> Iterable[str]:
        if entry.models:
            return entry.models
        if entry.template not in self._models:
            try:
                prompt = self._ledger.build_prompt(entry) or {}
                self._models[entry.template] = tuple({place.name for place in find_model_places(prompt)})
            except (AttributeError, TypeError, ValueError):  # a template that was edited by hand
                self._models[entry.template] = ()
        return self._models[entry.template]

    def _list_dates(self, runs: Iterable[RunEntry], today: date) -> list[tuple[str, str]]:
        days = {day for run in runs if (day := self._find_day(run)) is not None}
        near = {"today": (0, "Today"), "yesterday": (1, "Yesterday")}
        found = [(name, label) for name, (ago, label) in near.items() if today - timedelta(days=ago) in days]
        found += [("7", "Last 7 days"), ("30", "Last 30 days")] if days else []
        months = sorted({(day.year, day.month) for day in days}, reverse=True)
        return found + [(f"{year}-{month:02}", f"{date(year, month, 1):%B %Y}") for year, month in months]


def _list_options(counts: Counter[str], prefix: str = "") -> list[tuple[str, str]]:
    names = sorted(counts, key=lambda name: (-counts[name], name))[:MAX_OPTIONS]
    return [(name, f"{prefix}{one_line(name, MAX_LABEL)} ({counts[name]:,})") for name in names]


def _list_sweeps(entries: Entries, present: set[str]) -> list[tuple[str, str]]:
    sweeps = sorted((each for each in list(entries.sweeps.values()) if each.id in present), key=lambda each: each.at)
    found = []
    for sweep in reversed(sweeps[-MAX_OPTIONS:]):
        axes = ", ".join(str(name) for axis in sweep.axes for name in axis.get("names", ()) if isinstance(name, str))
        label = one_line(" · ".join(filter(None, (sweep.name or sweep.workflow, axes, sweep.at[:10]))), MAX_LABEL)
        found.append((sweep.id, label))
    return found


def _list_statuses(present: set[str]) -> list[tuple[str, str]]:
    return [(name, label) for name, label in STATUSES.items() if name in present]


def format_day(day: date | None, today: date) -> str:
    """Return a day as a heading, such as Today, Mon 23 Nov, or 3 May 2025."""
    if day is None:
        return "No date"
    if day in (today, today - timedelta(days=1)):
        return "Today" if day == today else "Yesterday"
    return f"{day:%a} {day.day} {day:%b}" + (f" {day.year}" if day.year != today.year else "")


def build_filters(chosen: dict[str, str], today: date | None = None) -> dict[str, Any]:
    """Return chosen filters as keywords of `Rows.where`; `unjudged` and `note` are left to `passes_marks`.

    Raises:
        ValueError: A value is not one of the filter's.
    """
    found: dict[str, Any] = {
        name: value for name, value in chosen.items() if name in ("workflow", "model", "tag", "sweep", "status")
    }
    marks = chosen.get("marks", "")
    if marks in ("picked", "rejected"):
        found[marks] = True
    elif marks.isdecimal():
        found["rating"] = int(marks)
    when = chosen.get("date", "")
    if when:
        found |= _build_dates(when, today or datetime.now().astimezone().date())
    return found


def _build_dates(when: str, today: date) -> dict[str, datetime]:
    if "-" in when:
        begin, end = find_month(when)
        return {"since": begin, "until": end}
    ago = {"today": 0, "yesterday": 1}
    day = today - timedelta(days=ago[when] if when in ago else int(when) - 1)
    since = _find_midnight(day)
    # The day on which the clocks change has 23 or 25 hours.
    return {"since": since} | ({"until": _find_midnight(day + timedelta(days=1))} if when == "yesterday" else {})


def _find_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day).astimezone()
