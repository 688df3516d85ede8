"""`Missing`: one thing that a workflow needs and a server lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

CORE_PACK: Final = "comfy-core"
"""The package of the nodes that ComfyUI itself has."""


@dataclass(frozen=True)
class Missing:
    """A model, a file or a node class that a workflow needs and the server lacks.

    Attributes:
        kind: `model`, `file` or `node`.
        name: The name of the model or file, as the workflow has it, or of the node class.
        parameter: The parameter that has it as its value, or the address of the input; "" for a node class.
        label: What a form calls the parameter.
        node_title: The title of the node.
        folder: The folder of `models/` that a model belongs in; "" if unknown.
        nearest: What the server has that is most like it; "" if there is nothing like it.
        url: Where it comes from, if the workflow says so.
        sha256: The digest of its content, if the workflow says so.
        pack: The package that has the node class, if the workflow says so.

    Example:
        for each in (await kit.check("portrait.json")).missing:
            print(each.kind, each.name, each.folder, each.url)
    """

    kind: Literal["model", "file", "node"]
    name: str
    parameter: str = ""
    label: str = ""
    node_title: str = ""
    folder: str = ""
    nearest: str = ""
    url: str = ""
    sha256: str = ""
    pack: str = ""
