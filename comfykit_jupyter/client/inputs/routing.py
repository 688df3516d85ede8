"""Where a workflow runs: on the first backend whose route handles it. Only this backend is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.comfyapi.route import ComfyAPIRoute
from comfykit_jupyter.client.backends.comfyui.route import ComfyUIRoute
from comfykit_jupyter.client.backends.pool.route import PoolRoute
from comfykit_jupyter.client.backends.remembered import RememberedOrigin
from comfykit_jupyter.client.backends.runninghub.route import RunningHubRoute

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.backends.route import Route
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow

ROUTES: tuple[Route, ...] = (
    RunningHubRoute(),
    PoolRoute(),
    ComfyAPIRoute(),
    ComfyUIRoute(),
)


def find_hosted(source: Any, settings: Settings) -> HostedWorkflow | None:
    """Return the workflow of a cloud that a source names; None for any other source.

    Raises:
        WorkflowError: The source refers to such a workflow, and does not say to which.
    """
    return next((hosted for route in ROUTES if (hosted := route.find_hosted(source, settings)) is not None), None)


def find_backend(source: Any, settings: Settings) -> type[Backend]:
    """Return the kind of backend that runs a workflow, by its snapshot; None for the kit's own server."""
    return next(route for route in ROUTES if route.handles(source, settings)).load()


def find_backend_of_job(prompt_id: str, settings: Settings) -> type[Backend]:
    """Return the kind of backend that has a job with this prompt ID."""
    return next(route for route in ROUTES if route.handles_job(prompt_id, settings)).load()


def remember_origin(place: str, url: str) -> RememberedOrigin | None:
    """Return the server or cloud of media by its `Backend.place` and its address; None if there is no such place."""
    for route in ROUTES:
        if type(route).__module__.endswith(f".{place}.route"):
            return RememberedOrigin(route.load(), url)
    return None
