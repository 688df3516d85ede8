"""`SweepServers`: the servers on which the points of a sweep run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from typing_extensions import Self

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.servers.pool import KitWorker, PooledJob
from comfykit_jupyter.explore.sweeps.awaited_worker import AwaitedWorker
from comfykit_jupyter.explore.sweeps.crew import Crew
from comfykit_jupyter.explore.sweeps.edits import EditableAxes

if TYPE_CHECKING:
    from comfykit_jupyter.client.servers.pool import Worker
    from comfykit_jupyter.explore.ledger.recorder import LedgerRecorder
    from comfykit_jupyter.kit.kit import ComfyKit


class SweepServers(EditableAxes):
    """Points that run on one server or on several."""

    _kit: ComfyKit
    _recorder: LedgerRecorder
    _added: list[Worker]
    _awaited: dict[str, AwaitedWorker]

    def _build_crew(self) -> Crew:
        prepared = self._prepared
        workers = self._find_workers()
        groups = prepared.group_points(by_choice=len(workers) > 1)
        firsts = {group: index for index, group in enumerate(groups) if index not in prepared.problems}
        rows = [point.position[:-1] for point in prepared.points] if self._kit.same_server == "row" else None

        def build_job(index: int) -> PooledJob:
            return PooledJob(prepared.workflow, prepared.bind(prepared.points[index]), prepared.definitions)

        return Crew(workers, groups, firsts, rows, build_job, self._find_workers)

    def _find_workers(self) -> Sequence[Worker]:
        """Return a worker for each server that there is now; for a workflow that a cloud hosts, that cloud."""
        server = self._preparation.server
        if not server.members:
            return [KitWorker(self._kit, self._recorder, server), *self._added]
        return [*(KitWorker(kit, self._recorder) for kit in self._kit.servers), *self._added]

    def _make_worker(self, server: str) -> Worker:
        """Return a worker for a server that is none of these now."""
        if server.startswith(("http://", "https://")):
            return KitWorker(self._kit.options(comfyui_url=server), self._recorder)
        return self._awaited.setdefault(server, AwaitedWorker(server, self._find_workers, self._kit.patience))

    def add_server(self, server: str | ComfyKit) -> Self:
        """Let another server take part, also while the sweep runs.

        Args:
            server: Its address, or a kit where it needs a key.

        Raises:
            SettingsError: It is not the address of a server.
        """
        added = self._kit.options(servers=[server])
        workers = [KitWorker(kit, self._recorder) for kit in added.servers]
        self._added += workers
        for worker in workers:
            loop.get_loop().call_soon_threadsafe(partial(self._engine.crew.add, worker))
        return self
