"""`LedgerRecorder`: writes the runs of a kit to the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from comfykit_jupyter.client.backends.model_files import describe_model_files
from comfykit_jupyter.client.backends.retry import retry
from comfykit_jupyter.client.errors import ComfyKitError, ServerError, WorkflowError
from comfykit_jupyter.client.inputs.files import LocalFile, RemoteFile
from comfykit_jupyter.client.local_files import compute_digest
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.running import registry
from comfykit_jupyter.explore.ledger.key import KeyMaker
from comfykit_jupyter.explore.ledger.ledger import Ledger, build_patch, open_ledger
from comfykit_jupyter.workflow.document.with_loras import find_inserted
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.embedded import read_carried
from comfykit_jupyter.workflow.errors import one_line, truncate

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.model_files import ModelFile
    from comfykit_jupyter.client.results.media import Origin
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.settings import Keep
    from comfykit_jupyter.workflow.values.binding import Binding, Upload

logger = logging.getLogger(__name__)

_FETCHES = 4
"""Outputs that are fetched at once."""
_MAX_TEXT = 2_000_000
"""Characters that are kept of all texts of a run: a line that is too long is skipped by readers."""
_EXIT_PATIENCE = 10.0
"""Seconds that the exit of the interpreter waits for outputs that are still being fetched."""

_recorders: WeakSet[LedgerRecorder] = WeakSet()


class _TakenError(Exception):
    """Another process has sent the same."""


class LedgerRecorder:
    """Keeps what the runs of a kit were given and what came out; see `RunRecorder`.

    Args:
        ledger: Where it is kept.
        keep: What is kept of outputs: the files, small images of them, or only their names.
        sweep: The sweep that the runs belong to.
        generation: How often the sweep was restarted.
        strict: Whether a run that can't be kept is not posted.
    """

    def __init__(
        self, ledger: Ledger, keep: Keep = "originals", sweep: str = "", generation: int = 0, *, strict: bool = False
    ) -> None:
        self._ledger = ledger
        self._keep = keep
        self._sweep = sweep
        self._generation = generation
        self._strict = strict
        self._files: dict[str, dict[tuple[str, str], str]] = {}
        self._sent: set[str] = set()
        self.refused: dict[str, str] = {}
        """Why runs were not sent that could not be kept."""
        self.is_taken: Callable[[str], bool] | None = None
        """Whether another process has sent what a run of a sweep is about to send; called in a thread."""
        self.taken: set[str] = set()
        """The runs that were not sent since another process has done so."""
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(_FETCHES)
        _recorders.add(self)
        self._keys: tuple[int, KeyMaker] | None = None

    async def record_input(self, run_id: str, needed: Upload, source: LocalFile | RemoteFile) -> None:
        """Keep a file that a run is given."""
        place = (needed.node_id, needed.field)
        if isinstance(source, RemoteFile):
            self._files.setdefault(run_id, {})[place] = describe_remote_file(needed.value, source)
            return
        try:
            digest = await asyncio.to_thread(self._add_input, source)
        except (OSError, ComfyKitError) as error:  # the run says by itself that it can't be read
            logger.debug("an input could not be kept: %s", type(error).__name__)
            digest = (await asyncio.to_thread(compute_digest, source.content))[0]
        self._files.setdefault(run_id, {})[place] = f"sha256:{digest}"

    def _add_input(self, source: LocalFile) -> str:
        if self._keep != "originals":
            return compute_digest(source.content)[0]
        if isinstance(source.content, Path):
            return self._ledger.store.add_file(source.content, source.suffix)
        return self._ledger.store.add_bytes(source.content, source.suffix)

    async def record_sent(
        self, run_id: str, server: str, workflow: Workflow, binding: Binding, models: Mapping[str, ModelFile]
    ) -> str:
        """Keep what is going to be posted; see `RunRecorder`."""
        self._sent.add(run_id)  # before: who cancels the run meanwhile does not stop the thread that writes
        try:
            await asyncio.to_thread(self._append_sent, run_id, server, workflow, binding, models)
        except _TakenError:
            self._sent.discard(run_id)
            self.taken.add(run_id)
            raise ComfyKitError("another kernel has just sent the same (nothing was sent)") from None
        except (OSError, ValueError) as error:
            self._sent.discard(run_id)
            reason = getattr(error, "strerror", None) or one_line(str(error))
            message = f"{self._ledger.folder} can't be written: {reason}"
            if self._strict:
                self.refused[run_id] = message
                raise ComfyKitError(f"{message} (nothing was sent)") from None
            return f"this run is not kept: {message}"
        return ""

    def _append_sent(
        self, run_id: str, server: str, workflow: Workflow, binding: Binding, models: Mapping[str, ModelFile]
    ) -> None:
        files = self._files.pop(run_id, {})
        template = self._ledger.add_template(workflow.name, workflow.prompt)
        if self._keys is None or self._keys[0] != id(workflow):
            self._keys = (id(workflow), KeyMaker(workflow.prompt))
        line: dict[str, Any] = {
            "event": "sent",
            "id": run_id,
            "key": self._keys[1].compute(binding.prompt, files),
            "name": workflow.name,
            "template": template,
            "patch": build_patch(workflow.prompt, binding.prompt),
            "params": to_line(binding.params),
            "seeds": dict(binding.seeds),
            "server": server,
        }
        if binding.loras:
            line["loras"] = [list(each) for each in binding.loras]
            line["inserted"] = find_inserted(binding.prompt, workflow.without_loras.prompt)
        if files:
            line["files"] = {json.dumps(place): value for place, value in files.items()}
        if models:
            line["models"] = describe_model_files(models)
        if self._sweep:
            line["sweep"] = self._sweep
        if self._generation:
            line["generation"] = self._generation
        if self.is_taken is None:
            self._ledger.append(line, sync=True)
            return
        with self._ledger.lock():  # of two kernels that run the same sweep, one sends a point
            if self.is_taken(run_id):
                raise _TakenError
            self._ledger.append(line, sync=True)

    def record_accepted(self, run_id: str, prompt_id: str) -> None:
        """Keep the server's ID of the job, if it differs from the run's."""
        if run_id in self._sent and prompt_id != run_id:
            event = {"event": "accepted", "id": run_id, "prompt_id": prompt_id}
            self._begin(f"{run_id} accepted", self._append(event, sync=True))

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin to write; the program's exit waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._writing[name] = task
        task.add_done_callback(lambda _task: self._writing.pop(name, None))

    async def _append(self, event: Mapping[str, Any], *, sync: bool = False) -> None:
        try:
            await asyncio.to_thread(self._ledger.append, event, sync=sync)
        except (OSError, ValueError) as error:
            logger.warning("%s can't be written: %s", self._ledger.folder, getattr(error, "strerror", None) or error)

    def record_resumed(self, run_id: str) -> None:
        """Note that a run of an earlier process is followed again."""
        self._sent.add(run_id)

    def record_end(self, run_id: str, result: ExecuteResult) -> None:
        """Keep the result, and begin to fetch its outputs; nothing of a run that was not sent."""
        self._files.pop(run_id, None)
        if run_id in self._sent:
            self._sent.discard(run_id)
            self._begin(run_id, self._keep_result(run_id, result))

    @property
    def folder(self) -> Path:
        """The folder of the runs."""
        return self._ledger.folder

    @property
    def is_writing(self) -> int:
        """The number of runs whose end, or whose outputs, are not kept yet."""
        return len(self._writing)

    def find_prompt_id(self, run_id: str) -> str:
        """Return the server's ID of a run that was sent."""
        entry = self._ledger.read().runs.get(run_id)
        return (entry.prompt_id if entry is not None else "") or run_id

    async def wait_until_all_are_kept(self) -> None:
        """Wait until everything that has ended is kept."""
        while self._writing:
            await asyncio.wait({*self._writing.values()})

    async def wait_until_kept(self, run_id: str) -> None:
        """Wait until the outputs of a run have been fetched."""
        if (task := self._writing.get(run_id)) is not None:
            await asyncio.wait({task})

    async def _keep_result(self, run_id: str, result: ExecuteResult) -> None:
        """Write the end of a run at once, and the hashes of its outputs when they are here.

        Nothing is kept of a run that was forgotten while it ran, or while its outputs were fetched.
        """
        if self._is_forgotten(run_id):
            return
        if self._keep == "links":
            await self._append({**build_end(run_id, result), "links": True})
            return
        await self._append(build_end(run_id, result))
        if result.media:
            hashes = await asyncio.gather(*(self._keep_output(media) for media in result.media))
            kept = {str(index): digest for index, digest in enumerate(hashes) if digest}
            if len(kept) == len(result.media):
                await self._append({"event": "kept", "id": run_id, "hashes": kept})
            if self._is_forgotten(run_id):
                await asyncio.to_thread(self._ledger.remove_unused, kept.values())

    def _is_forgotten(self, run_id: str) -> bool:
        return run_id in self._ledger.read().forgotten

    async def fetch_again(self, run_id: str, origin: Origin) -> bool:
        """Fetch the outputs of a run whose job the server has forgotten, and return whether all are kept now.

        A server that was emptied uses names again: only a file that carries the prompt of the run is accepted.
        """
        entry = self._ledger.read().runs.get(run_id)
        prompt = self._ledger.build_prompt(entry) if entry is not None else None
        if entry is None or prompt is None:
            return False
        kept: dict[str, str] = {}
        for index, output in enumerate(entry.outputs):
            if not output.name:
                continue
            try:
                media = Media(origin, output.entry, node=output.node, var=output.var, animated=output.animated)
                path = await origin.fetch(media)
                if not await asyncio.to_thread(_carries, path, prompt):
                    return False
            except (ComfyKitError, OSError, KeyError) as error:
                logger.debug("an output is no longer there: %s", type(error).__name__)
                return False
            kept[str(index)] = await self._keep_output(media)
        if all(kept.values()):
            await self._append({"event": "kept", "id": run_id, "hashes": kept})
        return all(kept.values())

    async def _keep_output(self, media: Media) -> str:
        """Fetch an output and return its hash; "" if it can't be fetched."""
        async with self._room:
            try:
                path = await retry(lambda: media.origin.fetch(media), (0.0,), _is_broken)  # the kit may be closed
                return await asyncio.to_thread(self._add_output, path, media)
            except (ComfyKitError, OSError) as error:
                logger.debug("an output could not be kept: %s", type(error).__name__)
                return ""

    def _add_output(self, path: Path, media: Media) -> str:
        store = self._ledger.store
        is_new = store.find(compute_digest(path)[0]) is None  # else it is also an input, or another run's output
        digest = store.add_file(path, Path(media.name).suffix)
        if media.kind in ("image", "video"):
            store.get_thumbnail(digest)
        if self._keep == "thumbs" and is_new and store.has_thumbnail(digest):
            store.remove(digest)
        return digest


def _is_broken(error: ComfyKitError) -> bool:
    """Return whether the server was there, and its answer did not arrive."""
    return isinstance(error, ServerError) and error.sent and error.status is None


def _carries(path: Path, prompt: Mapping[str, Any]) -> bool:
    """Return whether a file carries a prompt."""
    with path.open("rb") as file:
        carried = read_carried(file)
    if carried is None or carried.prompt is None:
        return False
    try:
        found = Workflow.parse(carried.prompt, path.stem).prompt
    except WorkflowError:
        return False
    return KeyMaker().compute(found) == KeyMaker().compute(prompt)


_by_folder: dict[tuple[Path, Keep], LedgerRecorder] = {}


def get_recorder(folder: Path, keep: Keep) -> LedgerRecorder:
    """Return the recorder of a folder; one object for each folder in a process."""
    return _by_folder.setdefault((folder, keep), LedgerRecorder(open_ledger(folder), keep))


async def wait_until_kept(folder: Path) -> None:
    """Wait until everything that has ended in this process is kept in a folder."""
    for recorder in list(_recorders):
        if recorder.folder == folder:
            await recorder.wait_until_all_are_kept()


def _wait_at_exit() -> None:
    """Wait until what has ended is kept."""
    deadline = time.monotonic() + _EXIT_PATIENCE
    with contextlib.suppress(KeyboardInterrupt):
        while any(each.is_writing for each in list(_recorders)) and time.monotonic() < deadline:
            time.sleep(registry.WAKE_INTERVAL)
    if left := sum(each.is_writing for each in list(_recorders)):
        logger.warning("the outputs of %d runs were not kept: the program ended before", left)


registry.register_at_exit(_wait_at_exit)


def build_end(run_id: str, result: ExecuteResult) -> dict[str, Any]:
    """Return the line of a run that has ended."""
    error = result.error
    status = "cancelled" if error is not None and error.kind == "cancelled" else result.status
    outputs: list[dict[str, Any]] = [
        {"name": media.name, "node": media.node, "var": media.var, "entry": media.query}
        | ({"animated": True} if media.animated else {})
        for media in result.media
    ]
    room = _MAX_TEXT
    for var, texts in result.texts_by_var.items():
        for text in texts:
            outputs.append({"var": var, "text": truncate(text, room) if room > 0 else ""})
            room -= len(text)
    line: dict[str, Any] = {
        "event": "end",
        "id": run_id,
        "status": status,
        "seconds": result.seconds,
        "waited": result.waited,
        "outputs": outputs,
    }
    if result.prompt_id and result.prompt_id != run_id:
        line["prompt_id"] = result.prompt_id
    if error is not None:
        line |= {"error": result.msg or "", "kind": error.kind, "node": error.node_title or ""}
    if result.prompt and len(result.cached_nodes) >= len(result.prompt):
        line["cached"] = True
    if result.server_version:
        line["version"] = result.server_version
    return line


def describe_remote_file(value: Any, source: RemoteFile) -> str:
    """Return what stands for a file that a server has: the hash of an earlier output if it was kept, else its name."""
    digest = value.query.get("hash") if isinstance(value, Media) else None
    return f"sha256:{digest}" if digest else f"name:{source.name}"


def to_line(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a run as JSON; a file is its name."""
    return {name: _to_json(value) for name, value in values.items()}


def _to_json(value: Any) -> Any:
    if isinstance(value, Media):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _to_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(each) for each in value]
    return str(value)[:1000]
