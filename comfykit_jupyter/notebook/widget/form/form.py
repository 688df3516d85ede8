"""Show the form of a workflow in the page: its fields, their values and errors, and the files that it accepts."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.local_files import strip_folders
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.results.wording import hide_address
from comfykit_jupyter.notebook.page.media import draw_masked, get_inbox, read_piece, run_in_background
from comfykit_jupyter.notebook.page.page_widget import Reply, Work
from comfykit_jupyter.notebook.page.values import (
    STACK,
    ValuesTrait,
    from_wire,
    get_initial_value,
    keep_file,
    to_wire,
)
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.widget.form.masks import MAX_BYTES, PaintedMasks, read_base, read_view
from comfykit_jupyter.notebook.widget.stage.view import RunView
from comfykit_jupyter.workflow.lora_stack import to_plain
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS, find_format
from comfykit_jupyter.workflow.nodes import RANDOM

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.notebook.widget.form.parameters import FormParameters
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow

NAME_LENGTH = 60
"""Characters of a name from the page in a message."""
_ACCEPTED = {"audio": ("video",), "video": ("image",)}
"""The kinds of files that nodes for another kind accept as well."""
ERROR_LENGTH = 500
"""Characters of an error at a field."""


class FormView(RunView):
    """A form with its values. `WorkflowWidget` adds what runs it.

    Args:
        kit: Where its files are.
        parameters: The parameters of its workflow.
        values: The first values by name.
        traits: Further traits.

    Raises:
        ParameterError: A value does not fit.
    """

    values: Any = ValuesTrait()

    def __init__(self, kit: ComfyKit, parameters: FormParameters, values: Mapping[str, Any], **traits: Any) -> None:
        self._kit = kit
        self._parameters = parameters
        self._masks = PaintedMasks()
        self._rejected: dict[str, str] = {}
        """The errors of values that the page sent and the form does not have, by field."""
        checked = parameters.check(values)
        super().__init__(
            view="form",
            title=parameters.workflow.name,
            fields=parameters.build_trait(),
            notes=parameters.list_notes(),
            has_origin=parameters.find_origin() is not None,
            storage=parameters.get_storage_name(),
            **traits,
        )
        self.handlers |= {
            "set": (writer.post, self._on_set),
            "apply": (writer.post, self._on_apply),
            "use": (writer.post, self._on_use),
            "frame": (run_in_background, self._on_frame),
            "choices": (writer.post, self._on_choices),
            "inputs": (run_in_background, self._on_inputs),
            "upload": (run_in_background, self._on_upload),
            "mask": (writer.post, self._on_mask),
            "media": (writer.post, self._on_form_media),
        }
        self._set_values({**parameters.get_defaults(), **checked})

    @property
    def workflow(self) -> Workflow:
        """The workflow of the form."""
        return self._parameters.workflow

    # -- values --------------------------------------------------------------------------------------------------------

    def change_values(self, changes: Mapping[str, Any], *, whole: bool = False) -> None:
        """Check and set values.

        Args:
            changes: The values by name.
            whole: Whether all other values return to the workflow's own.

        Raises:
            ParameterError: A name or value is wrong; nothing was changed.
        """
        checked = self._parameters.check(changes)
        defaults = self._parameters.get_defaults()
        own = set(changes) - set(checked)  # None stands for the workflow's own value
        with self.lock:
            before = defaults if whole else {n: v for n, v in self._get_values().items() if n not in own}
            self._set_values({**before, **{name: defaults[name] for name in own & set(defaults)}, **checked})
            self._clear_errors(list(self._rejected) if whole else list(changes))

    def change_many(self, label: str, changes: Mapping[str, Any]) -> None:  # noqa: ARG002 - `EditingView` undoes it
        """Set values, and all others to the workflow's own; `label` says in a few words what changes them."""
        self.change_values(changes, whole=True)

    def find_name(self, name: str) -> str:
        """Return the name in the form of what a name or an address means."""
        return self._parameters.find_name(name)

    def get_all_values(self) -> dict[str, Any]:
        """Return the values with the stack of LoRAs among them."""
        return self._get_values()

    @property
    def loras(self) -> dict[str, Any]:
        """The stack of LoRAs, as `with_loras` accepts it. Assigning replaces it; what is off is `{"off": strength}`."""
        return to_plain(self._get_values()[STACK])

    @loras.setter
    def loras(self, loras: Mapping[str, Any]) -> None:
        self.change_values({STACK: loras})

    def _get_values(self) -> dict[str, Any]:
        return dict(self._trait_values["values"])

    def _set_values(self, values: dict[str, Any]) -> None:
        """Set values that have been checked."""
        trait: ValuesTrait = type(self).values
        trait.put(self, values)

    def _reset_value(self, name: str) -> None:
        """Return a parameter to the workflow's own value."""
        with self.lock:
            values, defaults = self._get_values(), self._parameters.get_defaults()
            values.pop(name, None)
            if name in defaults:
                values[name] = defaults[name]
            self._set_values(values)
            self._clear_errors([name])

    def _reject_value(self, name: str, error: ParameterError) -> None:
        """Show an error at a field; the form can't run until the field has a value that fits."""
        self._rejected[name] = self._to_saved(str(error))
        self._show_errors({name: self._rejected[name]})

    def _to_saved(self, error: str) -> str:
        """Return an error as the notebook may keep it: without private folders and addresses."""
        return hide_address(strip_folders(error), *self._kit.addresses, self._kit.runninghub_url)[:ERROR_LENGTH]

    def _show_errors(self, errors: Mapping[str, str]) -> None:
        with self.lock:
            self.errors = {**self.errors, **{name: self._to_saved(error) for name, error in errors.items()}}

    def _clear_errors(self, names: Sequence[str]) -> None:
        """Remove the errors of fields that have a value that fits."""
        for name in names:
            self._rejected.pop(name, None)
        left = {name: error for name, error in self.errors.items() if name not in names}
        if left != self.errors:
            self.errors = left

    def _find_changed_values(self) -> dict[str, Any]:
        """Return the values that differ from the workflow's own, and random seeds: only they are sent with a run."""
        defaults = self._parameters.get_defaults()
        return {
            name: value
            for name, value in self._get_values().items()
            if name not in defaults
            or defaults[name] != value
            or type(defaults[name]) is not type(value)
            or (isinstance(value, str) and value == RANDOM and self._parameters.fields[name].kind == "seed")
        }

    # -- messages of the page ------------------------------------------------------------------------------------------

    def _on_set(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        name = str(content["name"])
        field = self._parameters.find_field(name)
        if field is None and name != STACK:
            raise ComfyKitError(f"the form has no field {name[:NAME_LENGTH]!r}")
        try:
            if content.get("reset") is True:
                self._reset_value(name)
            else:
                self.change_values(
                    {name: content["value"] if field is None else from_wire(content["value"], field.kind)}
                )
        except ParameterError as error:
            self._reject_value(name, error)
            raise
        return {}, ()

    def _on_apply(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Set the form to the values and seeds of a run."""
        result = self._find_result(content["run"])
        seeds = {name: seed for name, seed in result.seeds.items() if name in self._parameters.fields}
        self.change_many("values of a run", {**result.params, **seeds, STACK: result.loras})
        return {}, ()

    def _on_use(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Set a field to an output of a run."""
        name = str(content["name"])
        media = self.find_media(content["run"], content["key"])
        field = self._parameters.find_field(name)
        if field is None or field.kind not in (media.kind, "file"):
            raise ComfyKitError(f"{name[:NAME_LENGTH]}: this field does not accept outputs of this kind ({media.kind})")
        self.change_values({name: media})
        return {}, ()

    def _on_frame(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Set a field to the frame that a video shows at a time, or to its last one."""
        name = str(content["name"])
        media = self.find_media(content["run"], content["key"])
        field = self._parameters.find_field(name)
        if field is None or field.kind != "image":
            raise ComfyKitError(f"{name[:NAME_LENGTH]}: a frame is an image, and this field does not accept images")
        at = content.get("at")
        place = "last frame" if at is None else f"at {float(at):.2f} s"
        path = keep_file(field, media.frame(at=at), f"{Path(media.name).stem} {place}")
        writer.post(lambda: self.change_values({name: path}))
        return {}, ()

    def _find_result(self, run: str) -> ExecuteResult:
        """Return the result of an ended run whose values are known.

        Raises:
            ComfyKitError: There is no such run, or its values are not known.
        """
        result = self.stage.results.get(run)
        if result is None:
            raise ComfyKitError("this run is no longer available: run the cell again")
        if not result.workflow_name:  # an attached run whose prompt is not on record
            server = urlsplit(result.server).netloc
            raise ComfyKitError(f"the values of this run are unknown: {server} returns only its outputs")
        return result

    def _on_choices(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the choices of a field that the trait has no room for."""
        field = self._parameters.find_field(str(content["name"]))
        return {"choices": to_wire(list(field.choices or ())) if field else []}, ()

    def _on_inputs(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the fields of all inputs that are not in the form."""
        return {"fields": self._parameters.build_others()}, ()

    def _on_upload(self, content: dict[str, Any], buffers: Sequence[Any]) -> Reply:
        """Receive a piece of a file, and set its field once the file is complete."""
        name, file = str(content["name"]), str(content["file"])
        field = self._parameters.find_field(name)
        if field is None or field.kind not in MEDIA_KINDS:
            raise ComfyKitError(f"the form has no file field {name[:NAME_LENGTH]!r}")
        _check_kind(file, field.kind)
        key = f"{self.model_id}:{content['upload']}"
        received, path = get_inbox().receive(key, file, int(content["size"]), int(content["offset"]), bytes(buffers[0]))
        if path is None:
            return {"received": received}, ()
        writer.post(lambda: self.change_values({name: str(path)}))
        return {"received": received, "value": str(path)}, ()

    def _on_mask(self, content: dict[str, Any], buffers: Sequence[Any]) -> Work:
        """Receive a piece of a mask that was painted, and set its field once the mask is complete."""
        name = str(content["name"])
        field, value = self._find_media_value(name)
        if field.kind != "image" or int(content["size"]) > MAX_BYTES:
            raise ComfyKitError(f"{name[:NAME_LENGTH]}: a mask must be for an image, with at most {MAX_BYTES:,} bytes")
        return partial(self._receive_mask, field, value, content, bytes(buffers[0]))

    def _receive_mask(self, field: Field, value: str | Masked, content: dict[str, Any], piece: bytes) -> Reply:
        name, key = field.name, f"{self.model_id}:{content['upload']}"
        received, path = get_inbox().receive(key, "mask.png", int(content["size"]), int(content["offset"]), piece)
        if path is None:
            return {"received": received}, ()
        image = value.image if isinstance(value, Masked) else value
        if to_wire(image) != content["image"]:
            raise ComfyKitError(f"{name[:NAME_LENGTH]}: the image has changed: paint the mask again")
        if isinstance(value, Masked):
            self._masks.add(value)
        file = self._find_media_file(name, field, image)[0]
        mask = self._masks.read(path, file, str(content["base"]), invert=content["invert"] is True)
        made = Masked(image, mask)
        self._masks.add(made)
        writer.post(lambda: self.change_values({name: made}))
        return {"received": received, "value": to_wire(made)}, ()

    def _on_form_media(self, content: dict[str, Any], buffers: Sequence[Any]) -> Work:
        """Return a file of a run; or of the form's own values: a piece of it, its thumbnail, or what is painted on."""
        if content["run"] != "input":
            return partial(self._on_media, content, buffers)
        return partial(self._read_media_value, *self._find_media_value(str(content["key"])), content)

    def _read_media_value(self, field: Field, value: str | Masked, content: dict[str, Any]) -> Reply:
        image, size = value.image if isinstance(value, Masked) else value, content.get("size", "full")
        path, mime = self._find_media_file(field.name, field, image)
        if size == "view":
            return read_view(path)
        if size == "base":
            return read_base(value, path)
        if isinstance(value, Masked):
            path, mime = draw_masked(value, path), "image/webp"
        return read_piece(path, mime, size, int(content.get("offset") or 0))

    def _find_media_value(self, key: str) -> tuple[Field, str | Masked]:
        """Return a field of files and its value.

        Raises:
            ComfyKitError: There is no such field, or its value is not a file.
        """
        field, value = self._parameters.find_field(key), self._get_values().get(key)
        value = field.default if field is not None and value is None else value
        if field is None or field.kind not in MEDIA_KINDS or not isinstance(value, (str, Masked)):
            raise ComfyKitError(f"{key[:NAME_LENGTH]}: this value can't be shown")
        return field, value

    def find_file(self, run: str, key: str) -> tuple[Path, str]:
        """Return a local file and its MIME type, as in `RunView`.

        The run `workflow` means the image that carries the workflow.
        """
        if run == "workflow" and (origin := self._parameters.find_origin()) is not None:
            return origin
        return super().find_file(run, key)

    def _find_media_file(self, key: str, field: Field, value: str) -> tuple[Path, str]:
        if isinstance(value, Media):
            return value.path, value.mime
        path = Path(value).expanduser()
        if value != get_initial_value(field) and path.is_file():  # a foreign default opens no local file
            kind, found = find_format(path.name)
            if kind == "file":
                raise ComfyKitError(f"{key}: this file can't be shown")
            return path, found.mime
        if value.startswith(("http://", "https://")):
            raise ComfyKitError(f"{key}: the file at a URL can't be shown before a run")
        media = self._kit.input(value, self._parameters.workflow)
        return media.path, media.mime


def _check_kind(file: str, kind: str) -> None:
    """Check that a file can be of a kind, by its name: nodes that load sound take videos, and animations are videos.

    Raises:
        ComfyKitError: It is of another kind.
    """
    type_ = (mimetypes.guess_type(file)[0] or "").partition("/")[0]
    accepted = {kind, *_ACCEPTED.get(kind, ())}
    if kind != "file" and type_ and type_ not in accepted:
        article = "an" if kind in ("image", "audio") else "a"
        raise ComfyKitError(f"{strip_folders(file)[:NAME_LENGTH]} is not {article} {kind} file")
