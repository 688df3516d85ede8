"""`PlannedPoints`: what a sweep would do with each of its points, how far it is, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from comfykit_jupyter.explore.points.plan import Plan, Step, choose_step, count_models, format_seconds
from comfykit_jupyter.explore.rows.origin import is_found_file_there
from comfykit_jupyter.explore.sweeps.crew import Crew
from comfykit_jupyter.explore.sweeps.servers import SweepServers

if TYPE_CHECKING:
    from comfykit_jupyter.client.settings import Keep
    from comfykit_jupyter.explore.ledger.entries import Entries, RunEntry


class PlannedPoints(SweepServers):
    """Points with what a sweep does for each: nothing, follow its job, or send it."""

    _keep: Keep

    @property
    def id(self) -> str:
        """Its ID: the hash of its name, or of its workflow and values without the axes."""
        return self._prepared.id

    def _find_steps(self, crew: Crew) -> list[Step]:
        paid = {worker.label for worker in crew.workers if worker.is_paid}
        entries = self._ledger.read()
        return [self._choose_step(entries, index, paid) for index in range(len(self.points))]

    def _find_step(self, index: int) -> Step:
        paid = {worker.label for worker in self._engine.crew.workers if worker.is_paid}
        return self._choose_step(self._ledger.read(), index, paid)

    def _choose_step(self, entries: Entries, index: int, paid: Collection[str]) -> Step:
        found = entries.find_since_restart(self._prepared.keys[index], self.id)
        step = choose_step(found, self._is_here, lambda run: run.server in paid)
        return Step("invalid") if index in self._prepared.problems else step

    def _is_here(self, run: RunEntry) -> bool:
        outputs = [output for output in run.outputs if output.name]
        if run.found:
            return is_found_file_there(run)
        if not outputs or self._keep == "links":
            return True
        return all(self._ledger.is_kept(output.hash) for output in outputs)

    @property
    def plan(self) -> Plan:
        """What `start` would do: what is there, what is followed and sent, how long it takes, and what is wrong."""
        engine, prepared = self._engine, self._prepared
        basis = self._find_durations()
        steps = [
            Step("have", run_id) if state == "completed" else step
            for state, run_id, step in zip(engine.states, engine.run_ids, self._find_steps(engine.crew), strict=True)
        ]
        return Plan(
            len(self.points),
            steps,
            count_models(prepared.models),
            prepared.problems,
            [*prepared.notes, *engine.crew.list_left_out()],
            engine.estimate(basis),
            len(engine.seconds[-50:] or basis[-50:]),
            prepared.away,
            self.find_replaced_models(range(len(self.points))),
            servers=len(engine.crew.workers),
            absent=engine.crew.absent,
        )

    def _find_durations(self) -> list[float]:
        """Return how long earlier runs of the same workflow took, in seconds, without those that were cached."""
        name = self._prepared.workflow.name
        runs = list(self._ledger.read().runs.values())  # another thread may add some meanwhile
        return [run.seconds for run in runs if run.name == name and run.seconds and not run.cached]

    @property
    def summary(self) -> str:
        """How far it is, in one line: `7 of 12 done · 1 failed · 4 left · ~0:40`."""
        states = self._engine.states
        counts = {state: states.count(state) for state in set(states)}
        facts = [f"{counts.get('completed', 0):,} of {len(states):,} done"]
        facts += [
            f"{counts[name]:,} {name}" for name in ("failed", "cancelled", "unknown", "invalid") if name in counts
        ]
        if left := counts.get("waiting", 0) + counts.get("running", 0):
            facts.append(f"{left:,} left")
            seconds = self.estimate()
            facts += [f"~{format_seconds(seconds)}"] if seconds is not None else []
        facts += [f"paused: {self.paused}"] if self.paused else []
        facts += [f"waiting: {self._engine.away}"] if self._engine.away else []
        facts += [f"without {label}" for label in self._engine.crew.absent]
        return " · ".join(facts)

    @property
    def paused(self) -> str:
        """Why it is paused; "" if it is not."""
        return self._engine.paused

    def estimate(self) -> float | None:
        """Return the seconds that the rest will take; None if nothing like it has run yet."""
        return self._engine.estimate(self._find_durations())
