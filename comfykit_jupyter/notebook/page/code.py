"""Write a run as code: a cell that repeats it exactly."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, SourceError
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.local_files import compute_digest, strip_folders, write_whole
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.kit.kit import ComfyKit
from comfykit_jupyter.workflow.file_names import to_safe_name

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.workflow.document.workflow import Workflow

LINE_LENGTH = 100
"""Characters of a call that is written in one line."""

MASK_FOLDER = "masks"
"""The folder beside the notebook for the masks of copied code."""
_STEM_LENGTH = 60

_UPLOADED = re.compile(r"comfykit-[0-9a-f]{24}\.\w+|(?:api|openapi)/[\w.-]+")
"""The name on the server of a file that was uploaded."""
_DIGEST = re.compile(r"comfykit-([0-9a-f]{24})")
"""The digest of the file's content, which most of these names contain."""
_RUNNINGHUB = (
    "runninghub_url",
    "runninghub_instance_type",
    "runninghub_use_personal_queue",
    "runninghub_retain_seconds",
    "runninghub_api_key",
    "runninghub_access_password",
)
"""The settings that decide where on RunningHub a workflow runs."""
_SECRETS = ("api_key", "cookies", "runninghub_api_key", "runninghub_access_password")


def build_code(source: Any, result: ExecuteResult, workflow: Workflow, kit: ComfyKit, call: str = "run") -> str:
    """Return a cell that repeats a run: with the values that differ from the workflow's own, its LoRAs and seeds.

    Args:
        source: The workflow, as the user named it.
        result: The result of the run.
        workflow: The workflow that `source` names.
        kit: Where it ran. The code leaves out secrets; a comment names them.
        call: `run`, or `form` for a cell that shows a form with these values.
    """
    values = {name: _to_lasting_value(name, value, result, workflow) for name, value in result.changed.items()}
    masked = ", Masked" if any(isinstance(value, _MaskedCode) for value in values.values()) else ""
    lines = [f"from comfykit_jupyter import ComfyKit{masked}", "", *_build_kit(kit, workflow)]
    if isinstance(source, (str, os.PathLike)):
        name = repr(os.fspath(source))
    elif workflow.hosted is not None:
        name = repr(workflow.hosted.name)
    else:
        lines.append(f"workflow = {_to_plain_json(workflow.without_loras.prompt)!r}")
        name = "workflow"
    if result.loras:
        lines.append(f"workflow = kit.load({name}).with_loras({_format_dict(result.loras)})")
        name = "workflow"
    variable = "result" if call == "run" else call
    return "\n".join([*lines, f"{variable} = {_format_call(call, name, {**values, **result.seeds})}", variable])


def _build_kit(kit: ComfyKit, workflow: Workflow) -> list[str]:
    """Return the line that makes the kit, with the settings that decide where the workflow runs, and on what."""
    try:
        default = ComfyKit()
    except ComfyKitError:
        default = None
    if kit.comfyui_url is None and workflow.hosted is None:
        if not all(address.startswith(("http://", "https://")) for address in kit.addresses):
            return [f"kit = ComfyKit(client)  # the cluster's, with {', '.join(kit.addresses)}"]
        return [f"kit = ComfyKit({'' if default is not None and default.servers == kit.servers else kit.addresses})"]
    names = ["comfyui_url", "api", "api_key", "cookies"]
    if workflow.hosted is not None or kit.place == "runninghub":
        names = [*_RUNNINGHUB, *(["place"] if workflow.hosted is None else [])]
    same = default is not None and getattr(default, names[0]) == getattr(kit, names[0])
    known = {name: getattr(default, name) if same else None for name in names}
    settings = {name: value for name in names if (value := getattr(kit, name)) not in (None, False, known[name])}
    arguments = [f"{name}={value!r}" for name, value in settings.items() if name not in _SECRETS]
    line = f"kit = ComfyKit({', '.join(arguments).removeprefix('comfyui_url=')})"
    secrets = [f"{name}=" for name in settings if name in _SECRETS]
    if "comfyui_url" in names and kit.has_secret_address:
        secrets.append("the name, password or query of the address")
    return [f"# also needs {' and '.join(secrets)}", line] if secrets else [line]


def _to_lasting_value(name: str, value: Any, result: ExecuteResult, workflow: Workflow) -> Any:
    """Return a value that still works in another kernel.

    A file keeps its path as long as it is the file that ran. A file that is temporary, missing or changed gets its
    name on the server instead.
    """
    if isinstance(value, Media):
        return str(value)
    if isinstance(value, Masked):
        return _to_masked_code(value) or _find_uploaded_name(name, result, workflow) or str(value)
    uploaded = _find_uploaded_name(name, result, workflow) if isinstance(value, str) else None
    return value if uploaded is None or _is_unchanged(value, uploaded) else uploaded


class _MaskedCode:
    """An image with a mask as code has it."""

    def __init__(self, image: str, mask: str) -> None:
        self._image, self._mask = image, mask

    def __repr__(self) -> str:
        return f"Masked({self._image!r}, {self._mask!r})"


def _to_masked_code(value: Masked) -> _MaskedCode | None:
    """Write a mask to a file that lasts, and return the code; None if the image is temporary, or it can't be written.

    The PNG that was sent carries the mask, too: without a file of its own, code uses that.
    """
    if not isinstance(value.image, (str, os.PathLike)):
        return None
    image = str(value.image) if isinstance(value.image, Media) else str(os.fspath(value.image))
    if strip_folders(image) != image:
        return None
    stem = Path(to_safe_name(image)).stem[:_STEM_LENGTH]
    path = Path(MASK_FOLDER) / f"{stem}-{value.id}.png"
    try:
        if not path.is_file() or path.read_bytes() != value.mask:
            with write_whole(path) as draft:
                draft.write_bytes(value.mask)
    except OSError:
        return None
    return _MaskedCode(image, path.as_posix())


def _find_uploaded_name(name: str, result: ExecuteResult, workflow: Workflow) -> str | None:
    """Return the name on the server of the file that a parameter was set to, if it was uploaded."""
    try:
        targets = workflow.find_parameter(name).targets
    except ParameterError:
        return None
    for target in targets:
        value = result.prompt.get(target.node_id, {}).get("inputs", {}).get(target.field)
        if isinstance(value, str) and _UPLOADED.fullmatch(value):
            return value
    return None


def _is_unchanged(path: str, uploaded: str) -> bool:
    """Return whether the file at a path is the one that was uploaded; true if the name on the server has no digest."""
    if strip_folders(path) != path:
        return False
    digest = _DIGEST.match(uploaded)
    try:
        return digest is None or compute_digest(Path(path).expanduser())[0].startswith(digest[1])
    except SourceError:
        return path.startswith(("http://", "https://"))


def _format_call(call: str, workflow: str, values: Mapping[str, Any]) -> str:
    if all(name.isidentifier() and not keyword.iskeyword(name) for name in values):
        parts = [f"{name}={value!r}" for name, value in values.items()]
    else:
        parts = ["{" + ", ".join(f"{name!r}: {value!r}" for name, value in values.items()) + "}"]
    arguments = [workflow, *parts]
    line = f"kit.{call}({', '.join(arguments)})"
    if len(line) <= LINE_LENGTH:
        return line
    return f"kit.{call}(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"


def _format_dict(values: Mapping[str, Any]) -> str:
    line = repr(dict(values))
    if len(line) <= LINE_LENGTH - 20:
        return line
    return "{\n" + "".join(f"    {name!r}: {value!r},\n" for name, value in values.items()) + "}"


def _to_plain_json(value: Any) -> Any:
    """Convert mappings and sequences to dicts and lists."""
    if isinstance(value, Mapping):
        return {name: _to_plain_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain_json(each) for each in value]
    return value
