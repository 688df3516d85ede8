"""Find the models, files and node classes that a workflow needs and its server lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.missing.item import Missing
from comfykit_jupyter.workflow.editor.model_sources import ModelSource, find_model_sources
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.interface.words import to_label
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.model_names import is_model_name
from comfykit_jupyter.workflow.nodes import Definitions, Input, find_reachable
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.document.workflow import Workflow

_FOLDERS: Mapping[str, str] = {
    "ckpt_name": "checkpoints",
    "lora_name": "loras",
    "vae_name": "vae",
    "unet_name": "diffusion_models",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "audio_encoder_name": "audio_encoders",
    "photomaker_model_name": "photomaker",
    "bg_removal_name": "background_removal",
    "UpscaleModelLoader.model_name": "upscale_models",
    "LatentUpscaleModelLoader.model_name": "latent_upscale_models",
    "CLIPVisionLoader.clip_name": "clip_vision",
    "ModelPatchLoader.name": "model_patches",
}
"""The folder of a model by the name of its input, or by class and input: used when several folders list its file."""
_MOST = 200
"""How many things are reported."""


class MissingFinder:
    """Finds what one workflow needs and one server lacks.

    Args:
        server: The server.
        workflow: The workflow, with a prompt.
        definitions: The server's definitions of the classes in use; it lacks the classes that are missing here.
    """

    def __init__(self, server: Backend, workflow: Workflow, definitions: Definitions) -> None:
        self.server = server
        self.workflow = workflow
        self.definitions = definitions
        self._listed: dict[str | None, list[str]] = {}

    async def find(self, prompt: Mapping[str, Any], skipped: Collection[tuple[str, str]] = ()) -> tuple[Missing, ...]:
        """Return what a prompt of the workflow needs and the server lacks.

        Args:
            prompt: The prompt.
            skipped: The inputs that get a value of the user's, as (node ID, name).
        """
        found: dict[Missing, None] = {}
        needed = find_reachable(prompt, self.definitions)
        for id_, node in prompt.items():
            definition = self.definitions.get(node["class_type"])
            if definition is None:
                found[await self._describe_class(id_, node["class_type"])] = None
            for name, spec in definition.inputs.items() if definition is not None and id_ in needed else ():
                value = node["inputs"].get(name)
                if isinstance(value, str) and (id_, name) not in skipped:
                    each = await self._check_input(id_, name, spec, value)
                    if each is not None:
                        found[each] = None
            if len(found) >= _MOST:
                break
        return tuple(found)

    async def _check_input(self, id_: str, name: str, spec: Input, value: str) -> Missing | None:
        if spec.kind in MEDIA_KINDS:
            lacking = value not in (spec.choices or ()) and not (value and await self.server.has_file(value))
            return self._describe_file(id_, name, spec, value) if lacking else None
        if spec.kind == "choice" and spec.choices is not None and value not in spec.choices and is_model_name(value):
            return await self.describe_model(id_, name, value, spec.choices)
        return None

    async def describe_model(self, id_: str, field: str, value: str, choices: tuple[Any, ...]) -> Missing:
        """Describe a model that the server does not have."""
        class_type: str = self.workflow.prompt[id_]["class_type"]
        source = self._sources.get(value.replace("\\", "/").rpartition("/")[2])
        folder = source.folder if source is not None and source.folder else None
        parameter, label = self._name_input(id_, field)
        return Missing(
            kind="model",
            name=one_line(value, 300),
            parameter=parameter,
            label=label,
            node_title=self.workflow.get_title(id_, self.definitions),
            folder=folder or await self._find_folder(class_type, field, choices) or "",
            nearest=find_nearest(value, [str(choice) for choice in choices]) or "",
            url=source.url if source is not None else "",
            sha256=source.sha256 if source is not None else "",
        )

    def _describe_file(self, id_: str, field: str, spec: Input, value: str) -> Missing:
        parameter, label = self._name_input(id_, field)
        title = self.workflow.get_title(id_, self.definitions)
        nearest = find_nearest(value, [str(choice) for choice in spec.choices or ()]) if value else None
        return Missing("file", one_line(value, 300), parameter, label, title, nearest=nearest or "")

    async def _describe_class(self, id_: str, class_type: str) -> Missing:
        pack = self.workflow.packs.get(id_, "")
        nearest = find_nearest(class_type, [] if pack else await self.server.list_classes(), likeness=0.8)
        return Missing("node", one_line(class_type), node_title="", nearest=nearest or "", pack=one_line(pack))

    def _name_input(self, id_: str, field: str) -> tuple[str, str]:
        """Return the parameter that sets an input, or the address of the input, and what a form calls it."""
        parameter = self.workflow.find_setter(id_, field, self.definitions)
        if parameter is not None:
            return parameter.name, parameter.label
        return self.workflow.build_address(id_, field), to_label(field, self.workflow.prompt[id_]["class_type"])

    @cached_property
    def _sources(self) -> Mapping[str, ModelSource]:
        return find_model_sources(self.workflow.editor) if self.workflow.editor is not None else {}

    async def _find_folder(self, class_type: str, field: str, choices: tuple[Any, ...]) -> str | None:
        """Find the folder of `models/` that an input takes its files from: the one that lists the same files."""
        folders = await self._list(None)
        known = find_known_folder(class_type, field)
        if known == "text_encoders":
            known = "text_encoders" if "text_encoders" in folders else "clip"
        if known in folders or not choices:
            return known
        files = {str(choice) for choice in choices}
        same = [folder for folder in folders if files & {*await self._list(folder)}]
        return same[0] if len(same) == 1 else None

    async def _list(self, folder: str | None) -> list[str]:
        """Return the server's models in a folder, or its folders."""
        if folder not in self._listed:
            self._listed[folder] = await self.server.list_models(folder)
        return self._listed[folder]


def find_known_folder(class_type: str, field: str) -> str | None:
    """Return the folder of `models/` that an input takes its files from, if its name says it."""
    known = _FOLDERS.get(f"{class_type}.{field}") or _FOLDERS.get(field)
    return "text_encoders" if known is None and field.startswith("clip_name") else known


def explain_missing_model(missing: Missing) -> str:
    """Say what to do about a model that the server does not have."""
    place = f"put it into models/{one_line(missing.folder)} there" if missing.folder else "put it into its folder"
    hint = f", or use {short_repr(missing.nearest)}, which it has" if missing.nearest else ""
    source = f" (it is at {missing.url})" if missing.url else ""
    return f"the server has no model {short_repr(missing.name)}: {place}{hint}{source}"
