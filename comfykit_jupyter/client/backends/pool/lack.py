"""Find out what one of several servers lacks for a prompt: a node, a model, or another choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.prompt_check import check_prompt

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Binding, Upload
    from comfykit_jupyter.workflow.workflow import Workflow


async def find_lack(server: Backend, workflow: Workflow, binding: Binding) -> str:
    """Return what a server lacks for a run: "" for nothing, else such as `the model 'dreams.safetensors'`.

    What is known of its nodes is read again before it is said to lack something: it may have been installed since.

    Raises:
        ServerError: The server is unreachable.
    """
    if not server.has_object_info:
        return ""
    lack = _find_lack(await server.get_definitions(workflow.classes), workflow, binding)
    return lack and _find_lack(await server.get_definitions(workflow.classes, fresh=True), workflow, binding)


def _find_lack(definitions: Definitions, workflow: Workflow, binding: Binding) -> str:
    named = [upload for upload in binding.uploads if _names_remote_file(upload)]
    for upload in named:
        node = definitions.get(workflow.prompt[upload.node_id]["class_type"])
        spec = node.inputs.get(upload.field) if node is not None else None
        if spec is not None and upload.value not in (spec.choices or (upload.value,)):
            return f"the file {short_repr(upload.value)}"
    uploads = {(upload.node_id, upload.field) for upload in binding.uploads}
    for problem in check_prompt(workflow, definitions, binding.prompt, uploads).problems:
        if problem.kind == "missing_node_type" and problem.node_id is not None:
            return f"the node {one_line(binding.prompt[problem.node_id]['class_type'])}"
        if problem.kind == "value_not_in_list" and problem.node_id is not None and problem.field is not None:
            return short_repr(binding.prompt[problem.node_id]["inputs"].get(problem.field))
    return ""


def _names_remote_file(upload: Upload) -> bool:
    """Return whether the value of a media parameter is the name of a file in a server's list of choices."""
    value = upload.value
    return type(value) is str and value in upload.choices and not Path(value).is_file()
