"""Make the runs of a sweep on disk, without a server that runs them."""

from __future__ import annotations

import io
import uuid
from typing import Any

from PIL import Image

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.explore.sweeps.sweep import Sweep
from tests.client.workflows import picture

PICTURES = 12
"""Pictures that all points share."""


def make_runs(kit: ComfyKit, over: Any, count: int | None = None, failing: int = 0) -> Sweep:
    """Return a sweep whose first points are done.

    Args:
        kit: A kit with a folder for its runs.
        over: The axes.
        count: How many points are done; None for all.
        failing: Every nth point has failed; 0 for none.
    """
    planned = kit.sweep(picture(), over=over)
    ledger = planned._ledger
    hashes = []
    for number in range(PICTURES):
        out = io.BytesIO()
        Image.new("RGB", (96, 64), (20 * number, 255 - 20 * number, 128)).save(out, "PNG")
        hashes.append(ledger.store.add_bytes(out.getvalue(), ".png"))
        ledger.store.get_thumbnail(hashes[-1])
    template = ledger.add_template("picture", planned.workflow.prompt)
    for point, key in zip(planned.points[:count], planned._prepared.keys, strict=False):
        id_ = str(uuid.uuid4())
        sent = {"event": "sent", "id": id_, "key": key, "name": "picture", "template": template}
        patch = [["1", name, value] for name, value in point.values.items()]
        ledger.append(
            {**sent, "patch": patch, "params": dict(point.labels), "server": "http://gpu-a:8188", "sweep": planned.id}
        )
        if failing and point.index % failing == failing - 1:
            error = "The bomb: <img src=x onerror=window.hacked=1>"
            ledger.append({"event": "end", "id": id_, "status": "failed", "error": error, "kind": "node_error"})
            continue
        name = f"<b>{point.index}.png"
        output = {"name": name, "node": "2", "var": "cover", "entry": {"filename": name, "type": "output"}}
        ledger.append({"event": "end", "id": id_, "status": "completed", "seconds": 1.5, "outputs": [output]})
        ledger.append({"event": "kept", "id": id_, "hashes": {"0": hashes[point.index % PICTURES]}})
    return kit.sweep(picture(), over=over)
