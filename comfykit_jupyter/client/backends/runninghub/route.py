"""The route to RunningHub: people name its workflows by IDs, by pages of its site, or by files that refer to them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.route import Route
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.settings import Settings

REFERENCE_LIMIT = 4096
"""Size in bytes of the largest file that is read to see whether it refers to a workflow."""


class RunningHubRoute(Route):
    """See `Route`."""

    def handles(self, source: Any, settings: Settings) -> bool:
        """Return whether it is a workflow or an AI app of RunningHub, or the kit runs all workflows there."""
        if settings.place == "runninghub" and source is not None:
            return True
        return isinstance(source, HostedWorkflow) or (isinstance(source, Workflow) and source.hosted is not None)

    def handles_job(self, prompt_id: str, settings: Settings) -> bool:  # noqa: ARG002
        """Return whether the prompt ID is a number: no other server has such IDs."""
        return prompt_id.isascii() and prompt_id.isdigit()

    def find_hosted(self, source: Any, settings: Settings) -> HostedWorkflow | None:
        """Return the workflow or AI app that a source names.

        Raises:
            WorkflowError: The source refers to RunningHub, and does not name a workflow.
        """
        if isinstance(source, Mapping):
            return HostedWorkflow.from_reference(source)
        if isinstance(source, Media) or not isinstance(source, (str, os.PathLike)):
            return None
        text = os.fspath(source)
        if not isinstance(text, str):
            return None
        hosted = HostedWorkflow.parse(text, settings.runninghub_url)
        if hosted is not None and (hosted.site or not Path(text).exists()):  # a file of that name is a file
            return hosted
        return _read_reference(Path(text)) if "://" not in text else None

    def load(self) -> type[Backend]:
        """Import the backend."""
        from comfykit_jupyter.client.backends.runninghub.backend import RunningHub

        return RunningHub


def _read_reference(path: Path) -> HostedWorkflow | None:
    """Return the workflow that a small file refers to; None if the file is anything else."""
    try:
        path = path.expanduser()
        if path.stat().st_size > REFERENCE_LIMIT or not path.is_file():
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RuntimeError, RecursionError):
        return None
    return HostedWorkflow.from_reference(content)
