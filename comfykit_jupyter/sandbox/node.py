"""What a node of the embedded server is: its definition, what it is given when it runs, what it returns.

A node is a function with a `@node(...)` in front of it. The decorator says what `/object_info` says of it; the
function gets a `Context` and, by name, those of the node's inputs that it takes, and returns an `Output`. What a
dynamic choice brings along, such as `format.codec`, reaches a function that takes `**inputs`.

    @node("ImageInvert", display_name="Invert Image", category="image",
          required={"image": ("IMAGE", {})}, returns=("IMAGE",))
    def image_invert(context: Context, image: Image) -> Output:
        return Output((1.0 - image,))

Values that travel along links:

=========  =====================================================================================
IMAGE      `numpy.ndarray`, float32, shape (batch, height, width, 3), 0…1
MASK       `numpy.ndarray`, float32, shape (batch, height, width), 0…1; 1 is masked
LATENT     `dict` with `samples`: float32, shape (batch, 4, height / 8, width / 8), and what sampled it
AUDIO      `dict` with `waveform`: float32, shape (batch, channels, samples), -1…1, and `sample_rate` in Hz
VIDEO      an object with `save_to(path, …)`, see `nodes/video.py`
others     whatever the nodes that share the type agree on
=========  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

Spec = tuple[Any, dict[str, Any]]
"""One input as `/object_info` gives it: its type (or the list of its choices) and its options."""

Specs = Mapping[str, Spec]
"""Inputs by name, in the order of the widgets."""


class Folders(Protocol):
    """The server's folders: `input`, `output`, `temp` and `models`, all below its `--dir`."""

    input: Path
    output: Path
    temp: Path

    def list_files(self, kind: str) -> list[str]:
        """Names, sorted, of the files in `input` of one kind: `image`, `video` or `audio`."""

    def list_models(self, folder: str) -> list[str]:
        """Names, sorted, of the models in a folder such as `checkpoints` or `loras`."""

    def find_file(self, name: str) -> Path:
        """The file that a name such as `sub/cat.png` or `cat.png [output]` means; never outside the folders.

        Raises:
            ValueError: the name leads out of its folder.
        """

    def choose_save_target(self, prefix: str, folder: Path, width: int = 0, height: int = 0) -> SaveTarget:
        """Where files with a prefix such as `sub/cat` go next; makes the folder.

        Raises:
            ValueError: the prefix leads out of the folder.
        """


@dataclass(frozen=True)
class SaveTarget:
    """A folder and the first free counter in it, for names such as `cat_00001_.png`."""

    folder: Path
    name: str
    counter: int
    subfolder: str


class Context(Protocol):
    """What a running node may know and do."""

    node_id: str
    prompt_id: str
    prompt: Mapping[str, Any]
    """The whole API prompt, as it goes into the metadata of saved files."""
    extra_pnginfo: Mapping[str, Any]
    """What the client asked to be put beside it, such as the editor's `workflow`."""
    folders: Folders

    def report_progress(self, value: int, total: int, preview: Image.Image | None = None) -> None:
        """Tell the clients: step `value` of `total`, and how it looks by now.

        Raises:
            Interrupted: the run was cancelled; let it pass.
        """

    def show_text(self, text: str) -> None:
        """Show a line of text on the node while it runs (binary event 3)."""


class Interrupted(Exception):
    """The run was cancelled."""


@dataclass(frozen=True)
class Output:
    """What a node made: a value for each of its outputs, and what is shown of it (`executed`, history)."""

    values: tuple[Any, ...] = ()
    ui: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Node:
    """A node's definition, and the function that does its work."""

    class_type: str
    run: Callable[..., Output]
    display_name: str
    category: str
    description: str
    build_specs: Callable[[Folders], tuple[Specs, Specs]]
    """Required and optional inputs: a function of the folders, because choices may be files."""
    returns: tuple[str, ...]
    return_names: tuple[str, ...]
    output_node: bool
    fingerprint: Callable[..., object] | None
    """A value that differs when the node must run again although its inputs don't, such as a file's hash.

    Called as `fingerprint(folders, **inputs)` with those inputs that it names and that are no links. NaN: always run.
    """
    validate: Callable[..., str | None] | None
    """One line that says what is wrong with the inputs, or None.

    Called as `validate(folders, **inputs)` with those inputs that it names and that are no links. The inputs that it
    names are checked by it alone: neither against the list of choices nor against min and max.
    """
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of its `/object_info` entry."""


NODES: dict[str, Node] = {}
"""Every node that the server has, by class."""

MODELS: dict[str, tuple[str, ...]] = {}
"""Models that are built in and have no file, by folder (`checkpoints`): `Folders.models` lists them with the files."""


def node(
    class_type: str,
    *,
    display_name: str,
    category: str,
    required: Specs | Callable[[Folders], Specs] | None = None,
    optional: Specs | Callable[[Folders], Specs] | None = None,
    returns: tuple[str, ...] = (),
    return_names: tuple[str, ...] | None = None,
    output_node: bool = False,
    description: str = "",
    fingerprint: Callable[..., object] | None = None,
    validate: Callable[..., str | None] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Output]], Callable[..., Output]]:
    """Add a node to `NODES`: the decorator of the function that does its work."""

    def build_specs(folders: Folders) -> tuple[Specs, Specs]:
        both = (part(folders) if callable(part) else part or {} for part in (required, optional))
        needed, extra = both
        return needed, extra

    def add(run: Callable[..., Output]) -> Callable[..., Output]:
        NODES[class_type] = Node(
            class_type,
            run,
            display_name,
            category,
            description,
            build_specs,
            returns,
            return_names or returns,
            output_node,
            fingerprint,
            validate,
            options or {},
        )
        return run

    return add
