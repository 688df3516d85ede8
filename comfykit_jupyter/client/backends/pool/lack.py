"""Find out what one of several servers lacks for a prompt: a node, a model, or another choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.nodes import find_reachable
from comfykit_jupyter.workflow.values.prompt_check import find_declared_inputs, is_unlisted_file

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.nodes import Definitions, Input
    from comfykit_jupyter.workflow.values.binding import Binding, Upload


async def find_lack(server: Backend, binding: Binding) -> str:
    """Return what a server lacks for a run: "" for nothing, else such as `'dreams.safetensors'` or `the node X`.

    What is known of its nodes is read again before it is said to lack something: it may have been installed since.

    Raises:
        ServerError: The server is unreachable.
    """
    if not server.has_object_info:
        return ""
    classes = {node["class_type"] for node in binding.prompt.values()}
    lack = _find_lack(await server.get_definitions(classes), binding)
    return lack and _find_lack(await server.get_definitions(classes, fresh=True), binding)


def _find_lack(definitions: Definitions, binding: Binding) -> str:
    uploads = {(upload.node_id, upload.field): upload for upload in binding.uploads}
    reachable = find_reachable(binding.prompt, definitions)
    for id_, node in binding.prompt.items():
        definition = definitions.get(node["class_type"])
        if definition is None:
            return f"the node {one_line(node['class_type'])}"
        for name, spec in find_declared_inputs(definition, node["inputs"]).items() if id_ in reachable else ():
            value = node["inputs"].get(name)
            if (upload := uploads.get((id_, name))) is not None:
                value = upload.value if _names_remote_file(upload) else None
            if _is_lacking(value, spec):
                return short_repr(value)
    return ""


def _is_lacking(value: Any, spec: Input) -> bool:
    """Return whether a server has choices for an input, and this value is not one of them."""
    if spec.choices is None or not isinstance(value, str) or value in spec.choices:
        return False
    return not (spec.kind in MEDIA_KINDS and is_unlisted_file(value, spec))


def _names_remote_file(upload: Upload) -> bool:
    """Return whether the value of a media parameter is the name of a file in a server's list of choices."""
    value = upload.value
    return type(value) is str and value in upload.choices and not Path(value).is_file()
