"""A run as code: a cell that makes it again, exactly."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError
from comfykit_jupyter.client.kit import ComfyKit
from comfykit_jupyter.client.local_files import compute_digest, strip_folders
from comfykit_jupyter.client.results.media import Media

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.workflow.workflow import Workflow

_SENT = re.compile(r"comfykit-[0-9a-f]{24}\.\w+|(?:api|openapi)/[\w.-]+")
"""The name on the server of a file that was sent there."""
_DIGEST = re.compile(r"comfykit-([0-9a-f]{24})")
"""Most are made from the file's content."""
_SECRETS = ("api_key", "cookies", "runninghub_api_key")
WIDE = 100
"""Characters of a call that stands in one line."""


def as_code(source: Any, result: ExecuteResult, workflow: Workflow, kit: ComfyKit) -> str:
    """A cell that makes a run again: the values that differ from the workflow's own, and its seeds.

    Args:
        source: the workflow, as it was given.
        result: the run.
        workflow: what `source` was read as.
        kit: where it ran. Its secrets are not in the code; a comment says that there were some.
    """
    values = {name: _value(name, value, result, workflow) for name, value in result.changed.items()}
    lines = ["from comfykit_jupyter import ComfyKit", "", *_kit(kit, workflow)]
    if isinstance(source, (str, os.PathLike)):
        named = repr(os.fspath(source))
    elif workflow.hosted is not None:
        named = repr(workflow.hosted.name)
    else:
        lines.append(f"workflow = {_plain(workflow.prompt)!r}")
        named = "workflow"
    return "\n".join([*lines, f"result = {_call(named, {**values, **result.seeds})}", "result"])


def _kit(kit: ComfyKit, workflow: Workflow) -> list[str]:
    """The kit, with those of its settings that decide where the workflow runs, and on what."""
    try:
        usual = ComfyKit()
    except ComfyKitError:
        usual = None
    names = ["comfyui_url", "api", "api_key", "cookies"]
    if workflow.hosted is not None:
        names = ["runninghub_url", "runninghub_instance_type", "runninghub_api_key"]
    same = usual is not None and getattr(usual, names[0]) == getattr(kit, names[0])
    known = {name: getattr(usual, name) if same else None for name in names}
    other = {name: value for name in names if (value := getattr(kit, name)) not in (None, known[name])}
    told = [f"{name}={value!r}" for name, value in other.items() if name not in _SECRETS]
    lines = [f"kit = ComfyKit({', '.join(told).removeprefix('comfyui_url=')})"]
    secret = [f"{name}=" for name in other if name in _SECRETS]
    return [f"# it needs {' and '.join(secret)} as well", *lines] if secret else lines


def _value(name: str, value: Any, result: ExecuteResult, workflow: Workflow) -> Any:
    """A value that is still good tomorrow: of a file, its path as long as it is the same file that the user named.

    Of one that goes with this kernel, has gone or has changed, it is the name under which the server has what ran.
    """
    if isinstance(value, Media):
        return str(value)
    sent = _name_on_server(name, result, workflow) if isinstance(value, str) else None
    return value if sent is None or _is_still(value, sent) else sent


def _name_on_server(name: str, result: ExecuteResult, workflow: Workflow) -> str | None:
    try:
        targets = workflow.find_parameter(name).targets
    except ParameterError:
        return None
    for target in targets:
        value = result.prompt.get(target.node_id, {}).get("inputs", {}).get(target.field)
        if isinstance(value, str) and _SENT.fullmatch(value):
            return value
    return None


def _is_still(path: str, sent: str) -> bool:
    """Whether the file at a path is the one that was sent; where the name on the server does not tell, it is."""
    if strip_folders(path) != path:
        return False
    digest = _DIGEST.match(sent)
    try:
        return digest is None or compute_digest(Path(path).expanduser())[0].startswith(digest[1])
    except OSError:
        return path.startswith(("http://", "https://"))


def _call(workflow: str, values: Mapping[str, Any]) -> str:
    if all(name.isidentifier() and not keyword.iskeyword(name) for name in values):
        parts = [f"{name}={value!r}" for name, value in values.items()]
    else:
        parts = ["{" + ", ".join(f"{name!r}: {value!r}" for name, value in values.items()) + "}"]
    call = f"kit.run({', '.join([workflow, *parts])})"
    return call if len(call) <= WIDE else "kit.run(\n" + "".join(f"    {part},\n" for part in [workflow, *parts]) + ")"


def _plain(value: Any) -> Any:
    """JSON as dicts and lists, whatever holds it."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
