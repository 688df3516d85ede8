"""Build the result of a run from its last state."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.results.exchange import to_any_json
from comfykit_jupyter.client.results.result import ExecuteResult, collect_outputs, find_changed_values
from comfykit_jupyter.client.running.refusal import format_error
from comfykit_jupyter.workflow.lora_stack import to_plain

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.progress.progress import RunError, RunState
    from comfykit_jupyter.workflow.values.binding import Binding

_MEMORY_ERRORS = ("OutOfMemoryError", "MemoryError")
_OUT_OF_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory", re.IGNORECASE)
"""Messages that say that memory ran out."""
_ALLOCATION = re.compile(r"outofmemory|cuda error: memory|allocation on device", re.IGNORECASE)
"""Messages that mean the same in other words."""


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
    error = _add_advice(state.error, server)
    # a result can't keep bytes or an image: it may be sent, saved, or kept for long
    params = {
        name: value if isinstance(value, (str, Masked)) else to_any_json(value)
        for name, value in binding.params.items()
    }
    seeds = dict(binding.seeds)
    result = ExecuteResult(
        status="completed" if state.status == "completed" else "failed",
        msg=format_error(error),
        error=error,
        params=params,
        seeds=seeds,
        changed=find_changed_values(params, seeds, workflow) if binding.prompt else {},
        loras=to_plain(binding.loras),
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


def _add_advice(error: RunError | None, server: Backend) -> RunError | None:
    """Say what helps after a node ran out of memory."""
    if error is None or error.kind != "node_error" or not is_out_of_memory(error):
        return error
    cause = next((line.strip() for line in error.message.splitlines() if line.strip()), "out of memory")
    cause = cause if _OUT_OF_MEMORY.search(cause) else f"out of memory: {cause}"
    return replace(error, message=f"{cause.rstrip('.')}. What helps: {server.memory_advice}")


def is_out_of_memory(error: RunError) -> bool:
    """Return whether a node ran out of memory, by the name of its exception or by its message."""
    if (error.exception_type or "").endswith(_MEMORY_ERRORS):
        return True
    return any(words.search(error.message) for words in (_OUT_OF_MEMORY, _ALLOCATION))
