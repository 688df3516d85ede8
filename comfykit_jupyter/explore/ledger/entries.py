"""What the journal says about each run and sweep. Pure: lines in any order give the same entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from comfykit_jupyter.explore.ledger.objects import is_hash

ENDED = frozenset({"completed", "failed", "cancelled"})
MARKS = ("star", "rating", "rejected", "note", "score")
"""The marks that have one value; tags are a set."""
_MAX_OUTPUTS = 10_000
MAX_NOTE = 10_000
"""Characters of a note."""

Order = tuple[Any, ...]
"""What decides which of two lines counts: the larger one, but of two ends the smaller one."""
_OUTPUT = ("name", "node", "var", "hash")
_SENT = ("name", "template", "server", "sweep")


@dataclass(slots=True)
class Output:
    """One output of a run.

    Attributes:
        name: Its file name.
        node: The node that produced it.
        var: Its name in the workflow.
        entry: Where the server has it.
        hash: Its original here; empty if it was not kept.
        text: The text, if it is one.
        animated: Whether the node said that it is animated.
    """

    name: str
    node: str
    var: str
    entry: dict[str, str] = field(default_factory=dict)
    hash: str = ""
    text: str | None = None
    animated: bool = False


@dataclass(slots=True)
class RunEntry:
    """One run, as its lines describe it. Most attributes are as in `Row`."""

    id: str
    key: str = ""
    name: str = ""
    template: str = ""
    patch: list[list[Any]] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    server: str = ""
    at: str = ""
    sweep: str = ""
    prompt_id: str = ""
    status: str = "sent"
    error: str = ""
    kind: str = ""
    node: str = ""
    ended_at: str = ""
    seconds: float | None = None
    waited: float | None = None
    outputs: list[Output] = field(default_factory=list)
    cached: bool = False
    models: dict[str, Any] = field(default_factory=dict)
    loras: list[Any] = field(default_factory=list)
    inserted: list[str] = field(default_factory=list)
    version: str = ""
    found: str = ""
    kept: bool = False
    links: bool = False
    generation: int = 0
    sent_order: Order | None = field(default=None, repr=False)
    end_order: Order | None = field(default=None, repr=False)


@dataclass
class SweepEntry:
    """One sweep, as its newest line describes it."""

    id: str
    name: str = ""
    workflow: str = ""
    template: str = ""
    base: dict[str, Any] = field(default_factory=dict)
    axes: list[dict[str, Any]] = field(default_factory=list)
    salt: str = ""
    generation: int = 0
    since: str = ""
    kind: str = "sweep"
    at: str = ""
    sequence: int = 0
    is_emptied: bool = False
    """Whether its runs were forgotten, and its values with them."""


@dataclass
class Marks:
    """The marks of a run, or of one of its outputs."""

    values: dict[str, Any] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)

    @property
    def picked(self) -> bool:
        """Whether it is starred and not rejected."""
        return bool(self.values.get("star")) and not self.values.get("rejected")


_UNMARKED = Marks()


class Entries:
    """All runs and sweeps of a journal.

    Attributes:
        runs: The runs by ID.
        sweeps: The sweeps by ID.
        unknown: The number of lines of a kind that this version does not know; they are kept and passed over.
        sequence: The largest number of a mark.
    """

    def __init__(self) -> None:
        self.runs: dict[str, RunEntry] = {}
        self.sweeps: dict[str, SweepEntry] = {}
        self.templates: dict[str, str] = {}
        self.unknown = 0
        self.sequence = 0
        self.pruned: set[str] = set()
        self.forgotten: set[str] = set()
        self._marks: dict[str, Marks] = {}
        self._orders: dict[tuple[str, str], Order] = {}
        self._by_key: dict[str, tuple[str, ...]] = {}
        self._apply: dict[str, Callable[[str, Mapping[str, Any]], None]] = {
            "journal": lambda _file, _event: None,
            "template": self._apply_template,
            "sweep": self._apply_sweep,
            "sent": self._apply_sent,
            "accepted": self._apply_accepted,
            "end": self._apply_end,
            "kept": self._apply_kept,
            "found": self._apply_found,
            "mark": self._apply_mark,
            "pruned": self._apply_pruned,
            "forgotten": self._apply_forgotten,
        }

    def apply(self, file: str, event: Mapping[str, Any]) -> None:
        """Apply a line. One with values of the wrong types changes nothing.

        Args:
            file: The name of the file that it is from, which decides between marks with the same number.
            event: The line.
        """
        apply = self._apply.get(event["event"])
        if apply is None:
            self.unknown += 1
            return
        try:
            apply(file, event)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):  # edited by hand
            self.unknown += 1

    def find_by_key(self, key: str) -> list[RunEntry]:
        """Return the runs with this key."""
        return [self.runs[each] for each in self._by_key.get(key, ()) if each in self.runs]

    def find_since_restart(self, key: str, sweep: str) -> list[RunEntry]:
        """Return the runs with this key; if the sweep was restarted, those since then, whatever the clock said."""
        runs, entry = self.find_by_key(key), self.sweeps.get(sweep)
        if entry is None or not entry.generation:
            return runs
        own = [run for run in runs if run.sweep == sweep and run.generation >= entry.generation]
        return own + [run for run in runs if run.sweep != sweep and run.at >= entry.since]

    def get_marks(self, id: str, output: int | None = None) -> Marks:  # noqa: A002 - as in Row
        """Return the marks of a run, or of one of its outputs."""
        return self._marks.get(_to_target(id, output)) or _UNMARKED

    # -- one kind of line each -----------------------------------------------------------------------------------------

    def _get_run(self, event: Mapping[str, Any]) -> RunEntry | None:
        id_ = event.get("id")
        if not isinstance(id_, str) or not id_ or id_ in self.forgotten:
            return None
        entry = self.runs.get(id_)
        if entry is None:
            entry = self.runs[id_] = RunEntry(id_)
        return entry

    def _is_newer(self, target: str, name: str, order: Order) -> bool:
        """Return whether a line counts more than the last one of the same kind, and remember it if so."""
        if (target, name) in self._orders and self._orders[target, name] >= order:
            return False
        self._orders[target, name] = order
        return True

    def _apply_template(self, _file: str, event: Mapping[str, Any]) -> None:
        self.templates[_read_text(event, "hash")] = _read_text(event, "name")

    def _apply_sweep(self, file: str, event: Mapping[str, Any]) -> None:
        id_, generation, at = _read_text(event, "id"), int(event.get("generation", 0)), _read_text(event, "at")
        if self._is_newer(
            id_, "salt", (generation, _invert(at), _invert(file))
        ):  # of two that began at once, the first
            entry = self.sweeps.setdefault(id_, SweepEntry(id_))
            entry.salt, entry.generation, entry.since = (
                _read_text(event, "salt"),
                generation,
                _read_text(event, "since"),
            )
        sequence = int(event.get("seq", 0))  # the clock may have been set back
        if self._is_newer(id_, "sweep", (sequence, at, file)):
            entry = self.sweeps.setdefault(id_, SweepEntry(id_))
            entry.sequence, entry.is_emptied = sequence, bool(event.get("emptied"))
            entry.name, entry.workflow, entry.at = (_read_text(event, each) for each in ("name", "workflow", "at"))
            entry.template, entry.kind = _read_text(event, "template"), _read_text(event, "kind") or "sweep"
            axes = event.get("axes")
            entry.base = _read_dict(event, "base")
            entry.axes = [each for each in axes if _is_axis(each)] if isinstance(axes, list) else []

    def _apply_sent(self, file: str, event: Mapping[str, Any]) -> None:
        entry = self._get_run(event)
        if entry is None:
            return
        get, at = event.get, _read_text(event, "at")
        if entry.sent_order is not None and entry.sent_order >= (at, file):
            return
        entry.sent_order, entry.at = (at, file), at
        entry.key = _read_text(event, "key")
        texts = [intern(value) if isinstance(value := get(name), str) else "" for name in _SENT]
        entry.name, entry.template, entry.server, entry.sweep = texts  # most runs share them
        entry.patch = [each for each in get("patch") or () if isinstance(each, list) and len(each) == 3]
        entry.generation = generation if isinstance(generation := get("generation"), int) else 0
        entry.params, entry.seeds = _read_dict(event, "params"), _read_dict(event, "seeds")
        if models := _read_dict(event, "models"):
            entry.models = models
        if loras := get("loras"):
            entry.loras, entry.inserted = list(loras), [str(each) for each in get("inserted") or ()]
        if files := _read_dict(event, "files"):
            entry.files = {name: str(value) for name, value in files.items()}
        found = self._by_key.get(entry.key, ())
        if entry.key and entry.id not in found:
            self._by_key[entry.key] = (*found, entry.id)

    def _apply_accepted(self, _file: str, event: Mapping[str, Any]) -> None:
        if (entry := self._get_run(event)) is not None:
            entry.prompt_id = max(entry.prompt_id, _read_text(event, "prompt_id"))

    def _apply_end(self, file: str, event: Mapping[str, Any]) -> None:
        entry, status, at = self._get_run(event), event.get("status"), _read_text(event, "at")
        if entry is None or not isinstance(status, str) or status not in ENDED:
            return
        order = (status != "completed", at, file)  # the first one that completed counts
        if entry.end_order is not None and order >= entry.end_order:
            return
        hashes = {index: output.hash for index, output in enumerate(entry.outputs) if output.hash}
        entry.end_order, entry.status, entry.ended_at = order, status, at
        entry.error, entry.kind, entry.node = (_read_text(event, each) for each in ("error", "kind", "node"))
        entry.seconds, entry.waited = _read_number(event, "seconds"), _read_number(event, "waited")
        entry.cached, entry.version = bool(event.get("cached")), _read_text(event, "version")
        entry.links = bool(event.get("links"))
        if models := _read_dict(event, "models"):
            entry.models = models
        entry.prompt_id = _read_text(event, "prompt_id") or entry.prompt_id
        entry.outputs = [_read_output(each) for each in list(event.get("outputs") or ())[:_MAX_OUTPUTS]]
        for index, digest in hashes.items():
            _set_hash(entry, index, digest)

    def _apply_kept(self, _file: str, event: Mapping[str, Any]) -> None:
        entry = self._get_run(event)
        if entry is None:
            return
        entry.kept = True
        for index, digest in _read_dict(event, "hashes").items():
            if is_hash(digest) and 0 <= int(index) < _MAX_OUTPUTS:
                _set_hash(entry, int(index), digest)

    def _apply_found(self, file: str, event: Mapping[str, Any]) -> None:
        """Apply a file that a scan found: a run of which only this output is known."""
        self._apply_sent(file, event)
        entry = self._get_run(event)
        if entry is not None and self._is_newer(entry.id, "found", (_read_text(event, "at"), file)):
            entry.found, entry.status = _read_text(event, "path"), "completed"
            entry.ended_at = entry.at
            entry.outputs = [Output(_read_text(event, "output"), "", "")]

    def _apply_mark(self, file: str, event: Mapping[str, Any]) -> None:
        target, sequence = _read_text(event, "target"), int(event.get("seq", 0))
        self.sequence = max(self.sequence, sequence)
        marks = self._marks.setdefault(target, Marks())
        for name, value in _read_dict(event, "set").items():
            if is_mark(name, value) and self._is_newer(target, name, (sequence, file)):
                marks.values[name] = value
        for present, tags in ((True, event.get("add_tags") or []), (False, event.get("remove_tags") or [])):
            for tag in tags:
                if isinstance(tag, str) and self._is_newer(target, f"#{tag}", (sequence, file)):
                    (marks.tags.add if present else marks.tags.discard)(tag)

    def _apply_pruned(self, _file: str, event: Mapping[str, Any]) -> None:
        self.pruned |= {each for each in event.get("hashes") or [] if is_hash(each)}

    def _apply_forgotten(self, _file: str, event: Mapping[str, Any]) -> None:
        id_ = _read_text(event, "id")
        self.forgotten.add(id_)
        self.runs.pop(id_, None)


def _to_target(id: str, output: int | None) -> str:  # noqa: A002 - as in Row
    return id if output is None else f"{id}/{output}"


def _set_hash(entry: RunEntry, index: int, digest: str) -> None:
    while len(entry.outputs) <= index:  # its end is read later
        entry.outputs.append(Output("", "", ""))
    entry.outputs[index].hash = digest


def _read_text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _read_dict(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = event.get(name)
    return dict(value) if isinstance(value, Mapping) else {}


def _is_axis(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    names, labels = value.get("names"), value.get("labels")
    return isinstance(names, list) and all(isinstance(name, str) for name in names) and isinstance(labels, list)


def _read_number(event: Mapping[str, Any], name: str) -> float | None:
    return to_finite(event.get(name))


def to_finite(value: object) -> float | None:
    """Return a value as a number; None if it is not one, or is too large. JSON may hold NaN and infinity, too."""
    try:
        number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def is_mark(name: str, value: object) -> bool:
    """Return whether there is a mark with this name, and whether it can have this value."""
    if name in ("star", "rejected"):
        return isinstance(value, bool)
    if name == "rating":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 5
    if name == "score":
        return to_finite(value) is not None
    return name == "note" and isinstance(value, str) and len(value) <= MAX_NOTE


def _read_output(line: Mapping[str, Any]) -> Output:
    get = line.get
    name, node, var, digest = (value if isinstance(value := get(each), str) else "" for each in _OUTPUT)
    entry, text = _read_dict(line, "entry"), get("text")
    if {*map(type, entry.values())} - {str}:
        entry = {str(each): str(value) for each, value in entry.items()}
    kept = digest if is_hash(digest) else ""
    return Output(name, node, var, entry, kept, text if isinstance(text, str) else None, bool(get("animated")))


def _invert(text: str) -> tuple[int, ...]:
    """Return a key that sorts in the opposite order of a text."""
    return (*(-ord(each) for each in text), 1)
