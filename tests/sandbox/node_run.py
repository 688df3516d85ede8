"""`NodeRun`: run a node without a server, on real folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

import comfykit_jupyter.sandbox.nodes  # noqa: F401  # fills NODES
from comfykit_jupyter.sandbox.folders import ServerFolders
from comfykit_jupyter.sandbox.interface.node import NODES, Interrupted, Output

DREAMS = "procedural-dreams (no diffusion model).safetensors"


class NodeRun:
    """A node's context, which records what the node reports.

    Args:
        root: The server's folder.
        stop_at: Step at which the run is cancelled.
    """

    def __init__(self, root: Path, stop_at: int | None = None) -> None:
        self.node_id = "1"
        self.prompt_id = "p"
        self.prompt: Mapping[str, Any] = {"1": {"class_type": "EmptyImage", "inputs": {"text": "ü <b>"}}}
        self.extra_pnginfo: Mapping[str, Any] = {"workflow": {"nodes": [1, 2]}}
        self.folders = ServerFolders(root)
        self.steps: list[tuple[int, int]] = []
        self.previews: list[Image.Image] = []
        self._stop_at = stop_at

    def report_progress(self, value: int, total: int, preview: Image.Image | None = None) -> None:
        if self._stop_at == value:
            raise Interrupted
        self.steps.append((value, total))
        if preview is not None:
            self.previews.append(preview)

    def show_text(self, text: str) -> None:
        pass

    def run(self, class_type: str, **inputs: Any) -> Output:
        return NODES[class_type].run(self, **inputs)

    def value(self, class_type: str, **inputs: Any) -> Any:
        return self.run(class_type, **inputs).values[0]

    def saved(self, output: Output, key: str = "images") -> list[Path]:
        """Return the files that a node reports as saved."""
        assert output.ui is not None
        roots = {"output": self.folders.output, "temp": self.folders.temp}
        return [roots[entry["type"]] / entry["subfolder"] / entry["filename"] for entry in output.ui[key]]
