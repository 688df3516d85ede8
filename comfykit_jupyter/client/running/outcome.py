"""Build the result of a run from its last state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.results.result import ExecuteResult, collect_outputs, find_changed_values
from comfykit_jupyter.client.running.refusal import format_error

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.progress.progress import RunState
    from comfykit_jupyter.workflow.values.binding import Binding
    from comfykit_jupyter.workflow.workflow import Workflow


def build_result(
    state: RunState, workflow: Workflow | None, binding: Binding, server: Backend, **more: Any
) -> ExecuteResult:
    """Build a result.

    Args:
        state: The last state of the run.
        workflow: The workflow, if it could be read.
        binding: The prompt, empty if nothing was sent, and the values.
        server: Where it ran.
        more: Other attributes of the result.
    """
    params, seeds = dict(binding.params), dict(binding.seeds)
    result = ExecuteResult(
        status="completed" if state.status == "completed" else "failed",
        msg=format_error(state.error),
        error=state.error,
        params=params,
        seeds=seeds,
        changed=find_changed_values(params, seeds, workflow) if binding.prompt else {},
        prompt=binding.prompt,
        node_times=dict(state.node_times),
        cached_nodes=sorted(state.cached),
        workflow_name=workflow.name if workflow else "",
        server=server.url,
        server_version=server.version,
        **more,
    )
    collect_outputs(result, state, workflow.outputs if workflow else {}, server)
    return result
