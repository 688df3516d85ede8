"""Simulate 1,000 servers that run ten sweeps of 100,000 points into one journal, while a tenth of them die.

`python -m benchmarks.simulation` prints processor seconds and MB, and how many points were lost or ended twice. The
servers and their clock are simulated: how long jobs, model swaps and restarts take comes from measured times. What
decides is the real code: `Assignment` says which server gets which point, `Ledger` writes and reads the journal, and
`choose_step` plans. In the middle all kernels are killed: another process reads the journal and plans, and the sweeps
continue by its plan.

On two busy cores: a million points are sent and ended in 113 s of processor time, 113 µs a point. The journal has
765 MB. A new kernel reads it in 82 s, and plans all ten sweeps in 48 s, with 2.95 GB, which is 2.8 kB a point: it keeps
the runs, and never all lines. 100 servers died, 2,000 points were given to others, 0 were lost, and 0 ended twice.

What breaks first, in this order:

1. One Dask scheduler. A point costs it 10 ms of processor time, and it has one core: 100 points a second, which is 300
   servers whose jobs take 3 s. Several schedulers in one list of servers do not share that limit.
2. One kernel. With its requests, which are not simulated, a point costs it 14 ms: 70 a second, or 210 such servers. Ten
   kernels keep 1,000 servers busy; one does so if jobs take 14 s.
3. The memory and the start of a kernel whose folder has all sweeps. Each kernel reads the lines of all others: with a
   folder for each sweep (`runs=`) it is a tenth, 300 MB and 8 s.
4. The journal itself is far from its limit: a kernel appends at most 70 points a second, and 28 µs a line would allow
   17,000.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.exploring import build_event
from comfykit_jupyter.explore.ledger.journal import Journal
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.points.plan import choose_step
from comfykit_jupyter.explore.sweeps.assignment import Assignment, Group

JOB, SWAP = 3.0, 8.0
"""Seconds of a job (its median; they vary by a quarter) and of loading another model."""
PATIENCE, RESTART = 60.0, 600.0
"""Seconds after which the points of a dead server are given to others, and after which every second one is back."""
MODELS = 10
"""How many models a sweep compares."""
DEPTH = 2
DYING = 0.1


@dataclass(eq=False)
class Job:
    """A job on a server."""

    sweep: int
    point: int
    id: str


@dataclass(eq=False)
class Server:
    """A server: what waits in its queue, and which model it has loaded."""

    number: int
    label: str
    pace: float
    queue: deque[Job] = field(default_factory=deque)
    loaded: Group = ()
    is_up: bool = True
    life: int = 0
    """A number that changes when what it runs is no longer there."""


class Simulation:
    """The servers, the sweeps, and what happens when.

    Args:
        folder: Where the journal is.
        servers: How many servers there are.
        sweeps: How many sweeps there are; each has a writer of its own.
        points: How many points each has.
    """

    def __init__(self, folder: Path, servers: int, sweeps: int, points: int) -> None:
        self.random = random.Random(1)
        self.folder, self.points = folder, points
        self.groups: list[Group] = [(f"model-{index * MODELS // points}.safetensors",) for index in range(points)]
        self.writers = [Journal(folder / "journal") for _ in range(sweeps)]
        self.servers = [Server(n, f"http://gpu-{n}:8188", self.random.lognormvariate(0, 0.2)) for n in range(servers)]
        self.sweeps = range(sweeps)
        self.ended = [bytearray(points) for _ in self.sweeps]
        """How often each point has ended on a server: counted there, not in the journal."""
        self.now, self.turn, self.jobs, self.moved, self.deaths = 0.0, 0, 0, 0, 0
        self.events: list[tuple[float, int, str, Server, int]] = []
        self.running: list[list[dict[str, Job]]] = [[{} for _ in self.servers] for _ in self.sweeps]
        span = sweeps * points * JOB * 1.1 / servers
        for server in self.random.sample(self.servers, int(servers * DYING)):
            self.plan("die", server, self.random.uniform(0, span))

    def plan(self, what: str, server: Server, seconds: float) -> None:
        """Schedule an event of a server."""
        self.turn += 1
        heapq.heappush(self.events, (self.now + seconds, self.turn, what, server, server.life))

    def open_kernels(self, waiting: Sequence[Sequence[int]]) -> None:
        """Let a kernel for each sweep send the points that wait."""
        self.waiting = [Assignment(self.groups) for _ in self.sweeps]
        for assignment, indices in zip(self.waiting, waiting, strict=True):
            for index in indices:
                assignment.add(index)
        for server in self.servers:
            self.fill(server)

    def fill(self, server: Server) -> None:
        """Let each sweep send points to a server that holds fewer than two of it."""
        if not server.is_up:
            return
        for sweep in self.sweeps:
            mine = self.running[sweep][server.number]
            while len(mine) < DEPTH:
                index = self.waiting[sweep].take(server.label, lambda _group: False)
                if index is None:
                    break
                self.jobs += 1
                job = Job(sweep, index, f"{sweep}-{index}-{self.jobs}")
                self.write(job, 0, {"server": server.label})
                mine[job.id] = job
                server.queue.append(job)
                if len(server.queue) == 1:
                    self.begin(server)

    def begin(self, server: Server) -> None:
        """Let a server begin the first job in its queue."""
        group = self.groups[server.queue[0].point]
        seconds = self.random.lognormvariate(0, 0.25) * JOB * server.pace + (SWAP if group != server.loaded else 0)
        server.loaded = group
        self.plan("end", server, seconds)

    def write(self, job: Job, part: int, more: dict[str, Any]) -> None:
        """Write the line that a job was sent, or has ended."""
        line = build_event(job.sweep * self.points + job.point)[part]
        at = f"{self.now:015.3f}"
        self.writers[job.sweep].append({"at": at, **line, "id": job.id, "sweep": str(job.sweep), **more})

    def run(self, until: int) -> None:
        """Run events until a number of points have ended; jobs in the servers' queues stay there."""
        done = sum(map(sum, self.ended))
        while self.events and done < until:
            self.now, _, what, server, life = heapq.heappop(self.events)
            if what == "end" and life != server.life:
                continue
            if what == "end":
                job = server.queue.popleft()
                self.ended[job.sweep][job.point] += 1
                done += 1
                self.write(job, 1, {})
                self.running[job.sweep][server.number].pop(job.id, None)
                if server.queue:
                    self.begin(server)
                self.fill(server)
            elif what == "die":
                self.deaths += 1
                server.is_up, server.life, server.loaded = False, server.life + 1, ()
                server.queue.clear()
                self.plan("away", server, PATIENCE)
                if self.deaths % 2:
                    self.plan("back", server, RESTART)
            elif what == "away":
                self.give_back(server)
            else:
                server.is_up = True
                self.fill(server)

    def give_back(self, server: Server) -> None:
        """Give the points of a dead server to the others."""
        for sweep in self.sweeps:
            mine = self.running[sweep][server.number]
            for job in mine.values():
                self.waiting[sweep].add(job.point, first=True)
                self.moved += 1
            mine.clear()
        for each in self.servers:
            if not each.queue:
                self.fill(each)

    def kill_kernels(self) -> None:
        """End all kernels: what they knew is lost."""
        for writer in self.writers:
            writer.close()

    def resume(self, steps: Sequence[bytes]) -> None:
        """Start kernels again by a plan. The jobs in the servers' queues have ended by then, and are collected."""
        self.running = [[{} for _ in self.servers] for _ in self.sweeps]
        self.writers = [Journal(self.folder / "journal") for _ in self.sweeps]
        collected: set[tuple[int, int]] = set()
        for server in self.servers:
            for job in server.queue:
                self.ended[job.sweep][job.point] += 1
                self.write(job, 1, {})
                collected.add((job.sweep, job.point))
            server.queue.clear()
            server.life += 1
        self.open_kernels(
            [
                [index for index in range(self.points) if actions[index] and (sweep, index) not in collected]
                for sweep, actions in zip(self.sweeps, steps, strict=True)
            ]
        )


def read_and_plan(folder: Path, sweeps: int, points: int) -> tuple[list[bytes], float, float, float, float]:
    """Read the journal and plan all points, as a new kernel does.

    Returns:
        For each point of each sweep, 0 if it is there, else 1; the processor seconds to read, and to plan; the MB of
        this process at its largest, before and after.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    began = time.process_time()
    entries = Ledger(folder).read()
    read_at = time.process_time()
    steps = []
    for sweep in range(sweeps):
        keys = (build_event(sweep * points + point)[0]["key"] for point in range(points))
        runs = (entries.find_since_restart(key, str(sweep)) for key in keys)
        found = [choose_step(each, lambda _: True, lambda _: False) for each in runs]
        steps.append(bytes(step.action != "have" for step in found))
    planned_at = time.process_time()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return steps, read_at - began, planned_at - read_at, before, most


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--points", type=int, default=100_000, help="points of each sweep (default: 100,000)")
    given = parser.parse_args(arguments)
    total = given.sweeps * given.points
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulation = Simulation(folder, given.servers, given.sweeps, given.points)
        simulation.open_kernels([range(given.points)] * given.sweeps)
        for until in (total // 2, total):
            began, points = time.process_time(), sum(map(sum, simulation.ended))
            simulation.run(until)
            seconds, points = time.process_time() - began, sum(map(sum, simulation.ended)) - points
            print(f"{points:,} points sent and ended in {seconds:.0f} s: {seconds / points * 1e6:.0f} µs a point")
            simulation.kill_kernels()
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                steps, reading, planning, before, most = pool.submit(
                    read_and_plan, folder, given.sweeps, given.points
                ).result()
            size = sum(path.stat().st_size for path in (folder / "journal").iterdir()) / 1e6
            print(
                f"  journal {size:,.0f} MB, read in {reading:.1f} s, planned in {planning:.1f} s; "
                f"memory {most:,.0f} MB, {(most - before) / max(until, 1) * 1000:.2f} kB a point"
            )
            if until < total:
                simulation.resume(steps)
        lost = sum(sum(each) for each in steps)
        twice = sum(count > 1 for each in simulation.ended for count in each)
        print(
            f"simulated {simulation.now / 3600:.1f} h on {given.servers:,} servers, of which {simulation.deaths} died; "
            f"{simulation.moved} points given to others; {lost} lost, {twice} ended twice"
        )
        print(json.dumps({"lost": lost, "twice": twice, "jobs": simulation.jobs}))


if __name__ == "__main__":
    main()
