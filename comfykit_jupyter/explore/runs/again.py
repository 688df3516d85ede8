"""Run a kept run again, with the same workflow, values, seeds and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.entries import RunEntry
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.kit.kit import ComfyKit


def start_again(kit: ComfyKit, ledger: Ledger, row: Row, changes: Mapping[str, Any]) -> Run:
    """Start a run with what an earlier one was given, and with some other values.

    Raises:
        ComfyKitError: Its workflow, or a file that it was given, is no longer here.
    """
    workflow, values = row.workflow, collect_values(ledger, row)
    return choose_kit(kit, ledger).submit(workflow, {**values, **changes})


def choose_kit(kit: ComfyKit, ledger: Ledger) -> ComfyKit:
    """Return a kit that keeps its runs: what is made of a run that was found here is kept here, too."""
    return kit if kit.has_runs_folder else kit.options(runs=ledger.folder)


def collect_values(ledger: Ledger, row: Row) -> dict[str, Any]:
    """Return what a run was given beside its workflow's own values: its seeds and files.

    Raises:
        ComfyKitError: A file, or the workflow, is no longer here.
    """
    places = row.workflow.parameters.items()
    names = {(each.node_id, each.field): name for name, found in places for each in found.targets}
    files = collect_files(ledger, ledger.read().runs[row.id])
    return {**row.seeds, **{names.get(place, ".".join(place)): path for place, path in files.items()}}


def collect_files(ledger: Ledger, entry: RunEntry) -> dict[tuple[str, str], Path]:
    """Return the files that a run was given, by node ID and input.

    Raises:
        ComfyKitError: One is no longer here.
    """
    found: dict[tuple[str, str], Path] = {}
    for place, value in entry.files.items():
        try:
            node_id, field = map(str, json.loads(place))
        except (ValueError, TypeError, RecursionError):  # edited by hand
            raise ComfyKitError("the journal does not say which input a file of this run is for") from None
        kind, _, name = value.partition(":")
        if kind != "sha256":
            continue  # a file of the server's: its name is in the prompt
        path = ledger.store.find(name)
        if path is None:
            where = f"{one_line(field)} (node {one_line(node_id)})"
            raise ComfyKitError(f"the file of {where} is no longer in {one_line(str(ledger.folder))}")
        found[node_id, field] = path
    return found
