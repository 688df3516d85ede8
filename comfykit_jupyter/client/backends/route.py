"""`Route`: which workflows and jobs go to a kind of backend, decided without importing that backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow


class Route(ABC):
    """The way to one kind of backend. Its module must stay light: every kit imports it."""

    @abstractmethod
    def handles(self, source: Any, settings: Settings) -> bool:
        """Return whether a workflow runs there.

        Args:
            source: The workflow, as `inputs.workflows.take_snapshot` gives it; None for the kit's own server.
            settings: The kit's settings.
        """

    def handles_job(self, prompt_id: str, settings: Settings) -> bool:  # noqa: ARG002 - only some IDs show it
        """Return whether a job with this prompt ID is there."""
        return self.handles(None, settings)

    def find_hosted(self, source: Any, settings: Settings) -> HostedWorkflow | None:  # noqa: ARG002 - most host none
        """Return the workflow that is stored in the cloud, if the source names one; see `Backend.read_hosted`.

        Raises:
            WorkflowError: The source refers to such a workflow, and does not say to which.
        """
        return None

    @abstractmethod
    def load(self) -> type[Backend]:
        """Import the backend."""
