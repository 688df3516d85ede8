"""Write bundles: a sweep as one ZIP file, to look at and to make again elsewhere."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import write_whole
from comfykit_jupyter.client.missing.model_files import ModelPlace, find_model_places
from comfykit_jupyter.explore.exports.provenance import describe_server
from comfykit_jupyter.explore.ledger.ledger import list_given_files
from comfykit_jupyter.explore.ledger.recorder import to_line
from comfykit_jupyter.explore.points.preparation import describe_axis
from comfykit_jupyter.explore.runs.bundle import FORMAT, MANIFEST
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.explore.ledger.entries import RunEntry, SweepEntry
    from comfykit_jupyter.explore.ledger.ledger import Ledger
    from comfykit_jupyter.explore.points.preparation import Prepared
    from comfykit_jupyter.explore.sweeps.point_rows import PointRows

KEPT = (
    "id",
    "key",
    "at",
    "name",
    "patch",
    "params",
    "seeds",
    "files",
    "seconds",
    "version",
    "models",
    "loras",
    "inserted",
)
"""What a bundle has of a run, beside its outputs and marks."""


@dataclass(frozen=True)
class Contents:
    """The contents of a bundle to write.

    Attributes:
        name: The name of the sweep.
        workflow: The name of its workflow.
        prompt: The workflow's graph.
        base: The values that all points share.
        axes: The axes, as lines of the journal have them.
        points: The points that are done: their runs and labels, by number.
    """

    name: str
    workflow: str
    prompt: Mapping[str, Any]
    base: Mapping[str, Any]
    axes: Sequence[Mapping[str, Any]]
    points: Mapping[int, tuple[RunEntry, Mapping[str, Any]]]


def collect_sweep(sweep: PointRows, ledger: Ledger, prepared: Prepared) -> Contents:
    """Return the contents of a sweep's bundle."""
    runs = ledger.read().runs
    states = enumerate(sweep.states)
    done = [index for index, state in states if state == "completed" and not sweep.is_forgotten(index)]
    points = {index: (runs[sweep.get_run_id(index)], to_line(sweep.points[index].labels)) for index in done}
    axes = [describe_axis(axis) for axis in sweep.axes]
    workflow = prepared.workflow
    return Contents(sweep.name, workflow.name, workflow.prompt, prepared.base, axes, points)


def collect_kept_sweep(ledger: Ledger, sweep: SweepEntry) -> Contents:
    """Return the contents of an earlier sweep's bundle, from its runs in the journal.

    Raises:
        ComfyKitError: Its workflow is no longer here.
    """
    prompt = ledger.store.read_json(sweep.template)
    if not isinstance(prompt, dict):
        raise ComfyKitError(f"the workflow of {one_line(sweep.name or sweep.workflow)} is no longer here")
    names = [name for axis in sweep.axes for name in axis.get("names") or []]
    runs = sorted(ledger.read().runs.values(), key=lambda run: (run.at, run.id))
    done = [
        run for run in runs if run.sweep == sweep.id and run.status == "completed" and run.template == sweep.template
    ]
    labels = ({name: run.params[name] for name in names if name in run.params} for run in done)
    points = dict(enumerate(zip(done, labels, strict=True)))
    return Contents(sweep.name or sweep.workflow, sweep.workflow, prompt, sweep.base, sweep.axes, points)


def write_bundle(ledger: Ledger, contents: Contents, server: Backend, path: Path) -> Path:
    """Write a bundle; see `Sweep.bundle`.

    Args:
        ledger: The folder of the runs.
        contents: What it has.
        server: The server, which says what is installed there.
        path: The file.

    Raises:
        ComfyKitError: No point is done, or an original is no longer here.
        OSError: It can't be written.
    """
    if not contents.points:
        raise ComfyKitError("bundle: no point is done yet")
    runs, hashes, places = [], dict[str, None](), set[ModelPlace]()
    models: dict[str, Any] = {}
    for index, (entry, labels) in contents.points.items():
        hashes.update(dict.fromkeys(each.hash for each in entry.outputs if each.hash))
        hashes.update(dict.fromkeys(sorted(list_given_files(entry))))
        runs.append(_describe_run(ledger, entry) | {"point": index, "labels": labels})
        models.update(entry.models)
        places.update(find_model_places(ledger.build_prompt(entry) or {}))
    manifest = {
        "format": FORMAT,
        "name": contents.name,
        "workflow": contents.workflow,
        "prompt": contents.prompt,
        "base": contents.base,
        "axes": contents.axes,
        "models": sorted({place.name for place in places}),
        "server_version": next((run["version"] for run in runs if run["version"]), ""),
        **loop.call(describe_server(server, places, models)),
        "runs": runs,
    }
    with write_whole(path) as draft, zipfile.ZipFile(draft, "w", strict_timestamps=False) as bundle:
        bundle.writestr(MANIFEST, json.dumps(manifest), zipfile.ZIP_DEFLATED)
        for digest in hashes:
            source = ledger.store.find(digest)
            if source is None:
                raise ComfyKitError(f"bundle: an original is no longer in {one_line(str(ledger.folder), 200)}")
            bundle.write(source, f"objects/{digest}{source.suffix}")
    return path


def _describe_run(ledger: Ledger, entry: RunEntry) -> dict[str, Any]:
    marks = ledger.get_marks(entry.id)
    outputs = [
        {"name": each.name, "node": each.node, "var": each.var, "hash": each.hash, "text": each.text}
        for each in entry.outputs
    ]
    own = {name: getattr(entry, name) for name in KEPT}
    return {**own, "outputs": outputs, "marks": marks.values, "tags": sorted(marks.tags)}
