"""The state of one run (`RunState`), its progress for people (`Progress`), and why it failed (`RunError`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from comfykit_jupyter.workflow.errors import one_line

_MAX_BY_TIME = 0.95
"""The largest fraction of a node by its time alone: it may take longer than last time."""

Status: TypeAlias = Literal["queued", "running", "completed", "failed", "cancelled"]


@dataclass(frozen=True)
class Progress:
    """How far a run is, at one moment; printed, it is one line.

    Attributes:
        status: `queued`, `running`, `completed`, `failed` or `cancelled`.
        prompt_id: ID of the run.
        queue_position: Number of jobs before this one; None if it is not queued, or unknown.
        node_id: ID of the node that runs.
        node_title: Its title.
        step: Steps that the node has done; None if it has no steps.
        steps: All its steps.
        nodes_done: Nodes that have finished.
        nodes_total: Nodes that have to run.
        nodes_cached: Nodes that need not run again, because their inputs are the same.
        elapsed: Seconds since the start.
        remaining: Estimated seconds that are left; None if unknown.
        fraction: The part that is done, 0 to 1.
        note: What the run waits for, if it is not a node: an upload, a place in a cloud's queue.
        gives_up_in: Seconds until the run is given up because its server does not answer; None while it answers.

    Example:
        >>> run = kit.submit("text.json", subject="a cat")
        >>> result = run.result()
        >>> run.progress.status, run.progress.fraction, run.progress.nodes_total
        ('completed', 1.0, 4)
    """

    status: Status
    prompt_id: str
    queue_position: int | None = None
    node_id: str | None = None
    node_title: str | None = None
    step: int | None = None
    steps: int | None = None
    nodes_done: int = 0
    nodes_total: int = 0
    nodes_cached: int = 0
    elapsed: float = 0.0
    remaining: float | None = None
    fraction: float = 0.0
    note: str = ""
    gives_up_in: float | None = None

    def __str__(self) -> str:
        """Return one line: `KSampler 12/20 · 2 of 7 nodes · 0:08 · ~0:05 left`."""
        parts: list[str] = []
        title = one_line(self.node_title) if self.node_title else ""
        if self.status == "queued":
            parts.append(one_line(self.note) or "queued")
            if self.queue_position is not None:
                parts.append(f"{self.queue_position} before this" if self.queue_position else "next")
        elif self.status == "running":
            steps = f" {self.step}/{self.steps}" if self.steps is not None and self.step is not None else ""
            parts.append(one_line(self.note) or f"{title or 'running'}{steps}")
            parts.append(f"{self.nodes_done} of {_format_nodes(self.nodes_total)}")
        else:
            parts.append(f"{self.status} at {title}" if title and self.status != "completed" else self.status)
            cached = f" ({self.nodes_cached} cached)" if self.nodes_cached else ""
            parts.append(f"{self.nodes_done} of {_format_nodes(self.nodes_total)}{cached}")
        parts.append(_format_time(self.elapsed))
        if self.gives_up_in is not None:
            parts.append(f"the server does not answer, trying for {self.gives_up_in:.0f} s more")
        if self.remaining is not None:
            parts.append(f"~{_format_time(self.remaining)} left")
        return " · ".join(parts)


@dataclass(frozen=True)
class RunError:
    """Why a run failed or was cancelled.

    | kind | what happened |
    |---|---|
    | invalid | nothing was sent: a value does not fit, a file is missing, or it is not a workflow |
    | refused | the server rejected the prompt; `exception_type` is its own name for the reason |
    | node_error | a node failed |
    | cancelled | it was cancelled from here: `cancel()`, Ctrl-C, ■, or the awaiting task was cancelled |
    | interrupted | it was stopped on the server |
    | timeout | it took longer than the kit's `timeout` and was cancelled, or than `runninghub_timeout` and continues |
    | gone | the server no longer knows the job: it was removed from the queue, or the server restarted |
    | unknown | the answer to the prompt was lost, and the job was not found: it may run |
    | unreachable | the server did not respond, or is not ComfyUI; during a run for longer than the kit's `patience` |

    Attributes:
        kind: One of the kinds above.
        message: One line.
        node_id: ID of the node that failed, or whose value is wrong.
        node_title: Its title.
        class_type: Its class.
        field: The input or parameter that is wrong.
        exception_type: The server's name of the error.
        traceback: The server's lines as it sent them: escape them before you put them into HTML.

    Example:
        >>> error = kit.options(raise_on_error=False).run("text_to_image.json", width=3).error
        >>> error.kind, error.field, error.message
        ('invalid', 'width', 'width (Size): 3 is below the minimum 16')
    """

    kind: str
    message: str
    node_id: str | None = None
    node_title: str | None = None
    class_type: str | None = None
    field: str | None = None
    exception_type: str | None = None
    traceback: tuple[str, ...] = ()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped on purpose, here or on the server."""
        return self.kind in ("cancelled", "interrupted")


@dataclass(frozen=True)
class RunState:
    """Everything known about one run. Times are seconds of the caller's clock.

    `outputs` are the raw outputs by node id, as in `/history`; `display` says which node of the prompt such an id
    stands for, where they differ (a node may expand to others). `finished`: nothing more will come for this run.
    """

    prompt_id: str
    created: float
    titles: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    total: int = 0
    status: Status = "queued"
    done: frozenset[str] = frozenset()
    cached: frozenset[str] = frozenset()
    current: str | None = None
    step: int | None = None
    steps: int | None = None
    queue_position: int | None = None
    note: str = ""
    gives_up_at: float | None = None  # set while the server does not answer
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    display: Mapping[str, str] = field(default_factory=dict)
    node_times: Mapping[str, float] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    error: RunError | None = None
    seen_start: bool = False
    succeeded: bool = False  # execution_success was seen; the run is over only when the server says so
    finished: bool = False
    has_state_events: bool = False  # this server sends progress_state, so nothing need be guessed from `executing`
    node_started: float | None = None
    step_at: float | None = None
    pace: float | None = None  # seconds per step of the current node, smoothed
    reached: float = 0.0  # the largest fraction so far
    weights: Mapping[str, float] = field(default_factory=dict)  # seconds that nodes are likely to take, if known

    @classmethod
    def create(
        cls,
        prompt_id: str,
        prompt: Mapping[str, Any],
        titles: Mapping[str, str],
        at: float,
        total: int | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> RunState:
        """Create the state of a run that is about to be sent.

        Args:
            prompt_id: The prompt ID; messages about others are ignored.
            prompt: The prompt.
            titles: What its nodes are called, by ID; others are called by their class.
            at: The time now, in seconds; later calls use the same clock.
            total: How many nodes the outputs need; all of them by default.
            weights: The seconds that nodes will probably take, by ID; without them all nodes count the same.
        """
        classes = {id_: _find_class(node) for id_, node in prompt.items()}
        count = len(prompt) if total is None else total
        return cls(prompt_id, at, titles, classes, count, weights=weights or {})

    def get_title(self, node_id: str | None) -> str | None:
        """Return what to call a node; None for None."""
        if node_id is None:
            return None
        shown = self.display.get(node_id, node_id)
        return self.titles.get(shown) or self.classes.get(shown) or shown

    def build_progress(self, at: float) -> Progress:
        """Return the progress at a time."""
        since = self.created if self.started is None else self.started
        until = at if self.ended is None else self.ended
        completed = self.status == "completed"
        running = self.status == "running"
        silent = self.gives_up_at is not None and not self.finished
        return Progress(
            status=self.status,
            prompt_id=self.prompt_id,
            queue_position=self.queue_position if self.status == "queued" else None,
            node_id=None if completed else self.current,
            node_title=None if completed else self.get_title(self.current),
            step=self.step if running else None,
            steps=self.steps if running else None,
            nodes_done=self.total if completed else min(len(self.done), self.total),
            nodes_total=self.total,
            nodes_cached=min(len(self.cached), self.total),
            elapsed=max(0.0, until - since),
            remaining=self._estimate_remaining(at) if running and not silent else None,
            fraction=1.0 if completed else max(self.reached, self.compute_fraction(until)),
            note=self.note if self.status in ("queued", "running") else "",
            gives_up_in=max(0.0, self.gives_up_at - at) if silent and self.gives_up_at is not None else None,
        )

    def compute_fraction(self, at: float) -> float:
        """Return the fraction done at a time, 0…1: by the times of its nodes if known, else by their number."""
        if not self.weights:
            return min(1.0, (len(self.done) + self._compute_node_fraction(at)) / max(1, self.total))
        whole = sum(self.weights.get(id_, 0.0) for id_ in self.classes.keys() - self.cached)
        done = sum(self.weights.get(id_, 0.0) for id_ in self.done - self.cached)
        if self.current is not None:
            done += self.weights.get(self.current, 0.0) * self._compute_node_fraction(at)
        return min(1.0, done / whole) if whole > 0 else 0.0

    def _compute_node_fraction(self, at: float) -> float:
        """Return the fraction done of the current node: by its steps, else by its time."""
        if self.current is None or self.current in self.done:
            return 0.0
        if self.step is not None and self.steps:
            return self.step / self.steps
        likely = self.weights.get(self.current, 0.0)
        if self.node_started is None or likely <= 0:
            return 0.0
        return min(_MAX_BY_TIME, max(0.0, at - self.node_started) / likely)

    def _estimate_remaining(self, at: float) -> float | None:
        """Return the seconds to the end of the run if the times of its nodes are known, else to the last step."""
        steps = self._estimate_steps_remaining(at)
        if not self.weights:
            return steps
        todo = self.classes.keys() - self.done - self.cached
        rest = sum(self.weights.get(id_, 0.0) for id_ in todo if id_ != self.current)
        if steps is not None:
            return rest + steps
        if self.current in todo and self.node_started is not None:
            rest += max(0.0, self.weights.get(self.current, 0.0) - max(0.0, at - self.node_started))
        return rest or None

    def _estimate_steps_remaining(self, at: float) -> float | None:
        if self.pace is None or self.step_at is None or self.step is None or self.steps is None:
            return None
        if self.step >= self.steps:  # how long a node takes after its steps is not known
            return None
        return max(0.0, self.pace * (self.steps - self.step) - max(0.0, at - self.step_at))


def _find_class(node: Any) -> str:
    """Return the class of a node; the prompt may come from a server."""
    class_type = node.get("class_type") if isinstance(node, Mapping) else None
    return class_type if isinstance(class_type, str) else ""


def _format_nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _format_time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
