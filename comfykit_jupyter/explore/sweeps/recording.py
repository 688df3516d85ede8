"""Write to the journal that a sweep begins, with its workflow, values and axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.points.preparation import describe_axis

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.ledger import Ledger
    from comfykit_jupyter.explore.points.preparation import Prepared


def record_sweep(ledger: Ledger, prepared: Prepared, name: str, **changes: Any) -> None:
    """Write the line of a sweep.

    Args:
        ledger: The folder of the runs.
        prepared: The sweep.
        name: Its name; "" keeps the one that it has.
        changes: What is new, such as the salt after a restart.

    Raises:
        ComfyKitError: It can't be written.
    """
    entry = ledger.read().sweeps.get(prepared.id)
    try:
        line = {
            "event": "sweep",
            "id": prepared.id,
            "name": name or (entry.name if entry is not None else ""),
            "workflow": prepared.workflow.name,
            "template": ledger.add_template(prepared.workflow.name, prepared.workflow.prompt),
            "base": prepared.base,
            "axes": [describe_axis(axis) for axis in prepared.axes],
            "salt": prepared.salt,
            "generation": entry.generation if entry is not None else 0,
            "since": entry.since if entry is not None else "",
            "seq": entry.sequence + 1 if entry is not None else 1,
        }
        ledger.append({**line, **changes}, sync=True)
    except OSError as error:
        raise _describe_failure(ledger, error) from None


def claim_sweep(ledger: Ledger, prepared: Prepared, name: str) -> bool:
    """Write the line of a sweep that begins, and return True; False if another kernel has begun it with other seeds.

    Raises:
        ComfyKitError: It can't be written.
    """
    try:
        with ledger.lock():
            entry = ledger.read().sweeps.get(prepared.id)
            if entry is not None and entry.salt not in ("", prepared.salt):
                return False
            record_sweep(ledger, prepared, name)
            return True
    except OSError as error:
        raise _describe_failure(ledger, error) from None


def _describe_failure(ledger: Ledger, error: OSError) -> ComfyKitError:
    return ComfyKitError(f"{ledger.folder} can't be written: {error.strerror} (nothing was sent)")
