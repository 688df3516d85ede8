"""What the editor does for single node classes and widget types, as data.

`seen_in` names the versions of the editor (comfyui-frontend-package) whose own exports show a row: 1.35.9, which came
with ComfyUI 0.8.0, and 1.49.6, with 0.33.0. It is empty for a row that no recorded export shows. "Older" editors are
those of servers before 2026, see `NodeDefinition.recent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from comfykit_jupyter.workflow.nodes import MISSING

EDITOR_CLASSES: Final = frozenset({"Note", "MarkdownNote", "PrimitiveNode", "Reroute"})
"""The classes that only the editor knows: they never run."""

PRIMITIVE_VALUES: Final[Mapping[str, int]] = {"INT": 2, "FLOAT": 2, "COMBO": 3}
"""How many values a primitive node in a group node has, by type, if not one: its own, and its controls'."""


@dataclass(frozen=True)
class WidgetType:
    """The widget that the editor draws for inputs of one type.

    Attributes:
        default: the value of a new widget where the definition gives none.
        sent: whether the prompt has its value: in all editors, in older ones, or in none.
        saved: whether its value has a place in the file's list of values.
        blank: whether its value lives in the page only: what a file has in its place is not read.
        followers: further widgets behind it, each of which has a place in the file and is not sent.
        supplies: what only the editor's page can supply for it, in the words of a message.
        tagged: whether a list is sent with the type beside it.
        in_page: whether it is an element of the page, which the editor doesn't draw itself.
        seen_in: the versions of the editor whose exports show it.
    """

    default: Any = ""
    sent: Literal["always", "older", "never"] = "always"
    saved: bool = True
    blank: bool = False
    followers: tuple[str, ...] = ()
    supplies: str = ""
    tagged: bool = False
    in_page: bool = False
    seen_in: str = ""


@dataclass(frozen=True)
class NodeQuirk:
    """What the editor does for nodes of one class.

    Attributes:
        extra_input: the name and the type of an input that only the editor adds.
        buttons: the labels and values of buttons in front of the first widget of type `LOAD_3D`.
        older_widgets: further widgets in older editors, each with its value and whether a file has a place for it.
        grows_options: whether it has a list of options with an empty place at its end, and the index of the choice.
        prefixes: by widget, a prefix of its value that very old files have and newer editors drop.
        titles: by a server's display name, the name that the editor has for the class instead.
        seen_in: the versions of the editor whose exports show it.
    """

    extra_input: tuple[str, str] | None = None
    buttons: tuple[tuple[str, str], ...] = ()
    older_widgets: tuple[tuple[str, Any, bool], ...] = ()
    grows_options: bool = False
    prefixes: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    seen_in: str = ""


WIDGET_TYPES: Final[Mapping[str, WidgetType]] = {
    "INT": WidgetType(0, seen_in="1.35.9, 1.49.6"),
    "FLOAT": WidgetType(0, seen_in="1.35.9, 1.49.6"),
    "BOOLEAN": WidgetType(default=False, seen_in="1.35.9, 1.49.6"),
    "STRING": WidgetType(seen_in="1.35.9, 1.49.6"),
    "COMBO": WidgetType(MISSING, seen_in="1.35.9, 1.49.6"),
    "COMFY_DYNAMICCOMBO_V3": WidgetType(MISSING, seen_in="1.35.9, 1.49.6"),
    "COLOR": WidgetType("#000000", seen_in="1.49.6"),
    "COLORS": WidgetType([]),
    "MARKDOWN": WidgetType(in_page=True),
    "TEXTAREA": WidgetType(),
    "PAINTER": WidgetType(),
    "CHART": WidgetType({}),
    "GALLERIA": WidgetType([]),
    "COMPOSITOR": WidgetType({}),
    "CURVE": WidgetType({"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"}, tagged=True),
    "RANGE": WidgetType({"min": 0.0, "max": 1.0}),
    "VIDEO_EDIT": WidgetType(
        {"trim": {"start_time": 0, "duration": 0}, "crop": {"x": 0, "y": 0, "width": 0, "height": 0}}
    ),
    "BOUNDING_BOX": WidgetType(
        {"x": 0, "y": 0, "width": 512, "height": 512}, followers=("x", "y", "width", "height"), seen_in="1.49.6"
    ),
    "BOUNDING_BOXES": WidgetType([]),
    "IMAGECOMPARE": WidgetType(["", ""], saved=False, seen_in="1.49.6"),
    "LOAD_3D": WidgetType(blank=True, in_page=True, supplies="a view of its scene", seen_in="1.49.6"),
    "PREVIEW_3D": WidgetType(blank=True, in_page=True, seen_in="1.35.9, 1.49.6"),
    "AUDIO_UI": WidgetType(sent="older", saved=False, blank=True, in_page=True, seen_in="1.35.9, 1.49.6"),
    "AUDIO_RECORD": WidgetType(
        blank=True,
        followers=("",),  # the recorder's button: it has the name of the input
        supplies="a recording",
        in_page=True,
        seen_in="1.49.6",
    ),
    "WEBCAM": WidgetType(blank=True, in_page=True, supplies="an image"),
    "IMAGEUPLOAD": WidgetType(sent="never", seen_in="1.35.9, 1.49.6"),
    "AUDIOUPLOAD": WidgetType(sent="never", seen_in="1.35.9, 1.49.6"),
}
"""The types of inputs that have a widget; an input of any other type is a socket."""

_AUDIO_PLAYER: Final = ("audioUI", "AUDIO_UI")
_VIEWER_3D: Final = ("image", "PREVIEW_3D")

NODES: Final[Mapping[str, NodeQuirk]] = {
    "LoadAudio": NodeQuirk(extra_input=_AUDIO_PLAYER, seen_in="1.35.9, 1.49.6"),
    "SaveAudio": NodeQuirk(extra_input=_AUDIO_PLAYER),
    "PreviewAudio": NodeQuirk(extra_input=_AUDIO_PLAYER),
    "SaveAudioMP3": NodeQuirk(extra_input=_AUDIO_PLAYER, seen_in="1.35.9, 1.49.6"),
    "SaveAudioOpus": NodeQuirk(extra_input=_AUDIO_PLAYER, seen_in="1.49.6"),
    "Preview3D": NodeQuirk(extra_input=_VIEWER_3D, seen_in="1.35.9, 1.49.6"),
    "SaveGLB": NodeQuirk(extra_input=_VIEWER_3D, seen_in="1.35.9, 1.49.6"),
    "Load3D": NodeQuirk(
        buttons=(
            ("upload 3d model", "upload3dmodel"),
            ("upload extra resources", "uploadExtraResources"),
            ("clear", "clear"),
        ),
        seen_in="1.49.6",
    ),
    "PreviewAny": NodeQuirk(
        older_widgets=(
            ("preview", "", False),
            ("previewMode", False, True),
        ),
        seen_in="1.35.9",
    ),
    "CustomCombo": NodeQuirk(grows_options=True),
    # Files of early 2023 have `sample_euler` for `euler`.
    "KSampler": NodeQuirk(prefixes={"sampler_name": "sample_"}),
    "KSamplerAdvanced": NodeQuirk(prefixes={"sampler_name": "sample_"}),
    "ByteDance2ReferenceNode": NodeQuirk(
        titles={
            "ByteDance Seedance 2.5 Reference to Video (Legacy)": "ByteDance Seedance 2.5 Reference to Video",
        },
        seen_in="1.49.6",
    ),
    "ByteDanceSeedreamNode": NodeQuirk(
        titles={"ByteDance Seedream 4.5": "ByteDance Seedream 4"},
        seen_in="1.35.9",
    ),
    "ByteDanceSeedreamNodeV2": NodeQuirk(
        titles={"ByteDance Seedream 4.5 & 5.0 (Legacy)": "ByteDance Seedream 4.5 & 5.0"},
    ),
    "FluxKontextMultiReferenceLatentMethod": NodeQuirk(
        titles={"Edit Model Reference Method": "FluxKontextMultiReferenceLatentMethod"},
    ),
    "IdeogramPImage": NodeQuirk(
        titles={"Ideogram & Pruna P-Image": "Ideogram P-Image"},
    ),
    "LTXVConcatAVLatent": NodeQuirk(
        titles={"Concat AV Latent": "LTXVConcatAVLatent"},
        seen_in="1.49.6",
    ),
    "LTXVSeparateAVLatent": NodeQuirk(
        titles={"Separate AV Latent": "LTXVSeparateAVLatent"},
        seen_in="1.49.6",
    ),
    "Mahiro": NodeQuirk(
        titles={"Mahiro CFG": "Mahiro is so cute that she deserves a better guidance function!! (。・ω・。)"},
    ),
    "TopazImageEnhance": NodeQuirk(
        titles={"Topaz Image Enhance (Legacy)": "Topaz Image Enhance"},
    ),
}
"""The classes that the editor treats in a special way."""

NO_QUIRK: Final = NodeQuirk()
