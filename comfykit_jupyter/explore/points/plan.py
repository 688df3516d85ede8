"""`Plan`: what a sweep would do: which points are there already, which are followed, and which are sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from comfykit_jupyter.explore.ledger.entries import RunEntry
from comfykit_jupyter.workflow.errors import join_names, one_line

Action = Literal["have", "attach", "fetch", "send", "unknown", "failed", "invalid"]
"""What is done with a point: nothing, as it is there; follow its job; get its files again; send it; nothing, as its job
in a cloud may still run; nothing, as it failed before; nothing, as its values are wrong."""
MAX_LINES = 10
MANY_POINTS = 2_000
LONG = 2 * 3600.0
"""Seconds of a sweep from which it has to be confirmed."""


@dataclass(frozen=True)
class Step:
    """What is done with one point.

    Attributes:
        action: What.
        run_id: The run that is there, or is followed; "" for one to be sent.
        lost: Whether it was done before, and its files are gone.
        server: Where the run was sent.
    """

    action: Action
    run_id: str = ""
    lost: bool = False
    server: str = ""


@dataclass
class Plan:
    """What a sweep would do. Printed, it says how much, how long, and what is wrong.

    Attributes:
        points: How many points there are.
        steps: What is done with each.
        models: The model files that the points use, by how many of them.
        problems: What is wrong with points, by index.
        notes: What is worth knowing, such as duplicates that were left out.
        seconds: How long the rest takes; None if nothing like it has run yet.
        basis: How many earlier runs `seconds` is from.
        away: Why the server could not be asked; "" if it could.
        replaced: The points whose model files are others of the same name now, by file.
        servers: How many servers take part.
        absent: Why some of them do not answer, by their addresses.

    Example:
        >>> print(Plan(12, [Step("have"), *[Step("send")] * 11], seconds=130, basis=3))
        12 points, 1 done · ~2:10 (from 3 earlier runs)
    """

    points: int
    steps: Sequence[Step]
    models: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[int, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    seconds: float | None = None
    basis: int = 0
    away: str = ""
    replaced: Mapping[str, Sequence[int]] = field(default_factory=dict)
    servers: int = 1
    absent: Mapping[str, str] = field(default_factory=dict)

    def count(self, *actions: Action) -> int:
        """Return for how many points one of these actions is planned."""
        return sum(step.action in actions for step in self.steps)

    @property
    def is_large(self) -> bool:
        """Whether it has to be confirmed: more than 2,000 points to send, or more than two hours."""
        return self.count("send") > MANY_POINTS or (self.seconds or 0) > LONG

    def __str__(self) -> str:
        counts = {
            "": self.count("have", "fetch"),
            "to follow": self.count("attach"),
            "failed before: retry() sends them again": self.count("failed"),
            "that may still run in a cloud": self.count("unknown"),
            "invalid": self.count("invalid"),
        }
        first = f"{self.points:,} point{'s' * (self.points != 1)}, {counts.pop(''):,} done"
        facts = [first, *(f"{count:,} {what}" for what, count in counts.items() if count)]
        if lost := sum(step.lost for step in self.steps):
            facts.append(f"{lost:,} lost: their files are gone, and they run again")
        if self.models:
            facts.append(f"{len(self.models)} model file{'s' * (len(self.models) != 1)}")
        if self.seconds is not None:
            where = f" on {self.servers} servers" if self.servers > 1 else ""
            basis = f"{self.basis} earlier run{'s' * (self.basis != 1)}"
            facts.append(f"~{format_seconds(self.seconds)}{where} (from {basis})")
        elif self.servers > 1:
            facts.append(f"{self.servers} servers")
        lines = [" · ".join(facts), *self.notes]
        lines += [
            f"{one_line(name)}: the server has another file of this name now; "
            f"retry(stale=True) runs {format_numbers(found)} again"
            for name, found in self.replaced.items()
        ]
        lines += [f"{label} is left out until it answers: {why}" for label, why in self.absent.items()]
        if self.away:
            lines.append(f"can't start now: {self.away}")
        lines += format_problems(self.problems)
        return "\n".join(lines)

    __repr__ = __str__


def format_problems(problems: Mapping[int, str]) -> list[str]:
    """Return a line for each problem, with the points that have it."""
    points: dict[str, list[int]] = {}
    for index, message in problems.items():
        points.setdefault(message, []).append(index)
    lines = [f"  {format_numbers(found)}: {message}" for message, found in points.items()]
    more = [f"  and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
    return lines[:MAX_LINES] + more


def format_numbers(numbers: Sequence[int]) -> str:
    """Format the indices of points: `point 3`, `points 3, 5, 7 and 12 more`."""
    return f"point{'s' * (len(numbers) != 1)} {join_names(numbers, 5)}"


def format_seconds(seconds: float) -> str:
    """Format a duration: `0:08`, `2:10`, `1:02:03`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def choose_step(
    runs: Iterable[RunEntry], is_here: Callable[[RunEntry], bool], is_paid: Callable[[RunEntry], bool]
) -> Step:
    """Return what to do with a point, by the runs with its key.

    Args:
        runs: The runs.
        is_here: Whether the outputs of a run are here.
        is_paid: Whether a run was sent to a cloud that gives its jobs IDs of its own.
    """
    found = sorted((run for run in runs if run.kind != "gone"), key=lambda run: (run.at, run.id))
    done = [run for run in found if run.status == "completed"]
    for run in reversed(done):
        if is_here(run):
            return Step("have", run.id)
    for run in reversed(found):
        if run.status == "sent":
            return Step("unknown" if is_paid(run) and not run.prompt_id else "attach", run.id, server=run.server)
    unfetched = [run for run in done if not run.kept and not run.found]
    if unfetched:
        return Step("fetch", unfetched[-1].id, server=unfetched[-1].server)
    if found and found[-1].status == "failed":
        return Step("failed", found[-1].id)
    return Step("send", lost=bool(done))


def find_rank(position: Sequence[int]) -> int:
    """Return in which pass a point is sent if every second value of each axis is sent first; the passes are 0 to 3.

    >>> [find_rank((place,)) for place in range(9)]
    [0, 3, 2, 3, 1, 3, 2, 3, 0]
    """
    return max(next((3 - bits for bits in (3, 2, 1) if place % (1 << bits) == 0), 3) for place in position)


def count_models(models: Iterable[tuple[str, ...]]) -> dict[str, int]:
    """Return by how many points each model file is used."""
    return dict(Counter(name for names in models for name in names))
