"""`RunRecorder`: what keeps the runs of a kit. The client calls it and does not know where it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.model_files import ModelFile
    from comfykit_jupyter.client.inputs.files import LocalFile, RemoteFile
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.values.binding import Binding, Upload


class RunRecorder(Protocol):
    """Keeps what a run was given and what came out. Its methods are called on the background loop."""

    async def record_input(self, run_id: str, needed: Upload, source: LocalFile | RemoteFile) -> None:
        """Keep a file that a run is given, before it is uploaded."""

    async def record_sent(
        self, run_id: str, server: str, workflow: Workflow, binding: Binding, models: Mapping[str, ModelFile]
    ) -> str:
        """Keep what is going to be posted. Returns only when it is on the disk.

        Args:
            run_id: The run's own ID.
            server: Address of the server or cloud.
            workflow: The workflow.
            binding: The prompt, with its values and files.
            models: The size and date of the model files, as far as the server says them.

        Returns:
            A warning if it can't be kept, else "".

        Raises:
            ComfyKitError: It can't be kept, and must not be posted without.
        """

    def record_accepted(self, run_id: str, prompt_id: str) -> None:
        """Keep the server's ID of the job. Returns at once."""

    def record_resumed(self, run_id: str) -> None:
        """Note that a run of an earlier process is followed again, whose end will be recorded. Returns at once."""

    def record_end(self, run_id: str, result: ExecuteResult) -> None:
        """Keep the result, and begin to fetch its outputs. Returns at once."""
