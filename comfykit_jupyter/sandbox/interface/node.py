"""The interface of a node: the `@node` decorator, the context it runs in and the output it returns.

A node is a function decorated with `@node(...)`. The decorator describes the node for `/object_info`. The function
gets a `Context`, then the inputs it names as keyword arguments, and returns an `Output`. The inputs that a dynamic
choice adds, such as `format.codec`, are passed only to a function that has `**inputs`.

Values on links:

=========  =====================================================================================
IMAGE      `numpy.ndarray`, float32, shape (batch, height, width, 3), 0…1
MASK       `numpy.ndarray`, float32, shape (batch, height, width), 0…1; 1 is masked
LATENT     `dict` with `samples`: float32, shape (batch, 4, height / 8, width / 8), see `nodes/values.py`
AUDIO      `dict` with `waveform`: float32, shape (batch, channels, samples), -1…1, and `sample_rate` in Hz
VIDEO      an object with `get_components()` and `save_to(path, …)`, see `nodes/video.py`
others     any object that the nodes sharing the type agree on
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
"""An input as in `/object_info`: its type (or its list of choices) and its options."""

Specs = Mapping[str, Spec]
"""Inputs by name, in the order in which an editor displays them."""


class Folders(Protocol):
    """The server's folders `input`, `output`, `temp` and `models`."""

    input: Path
    output: Path
    temp: Path

    def list_files(self, kind: str) -> list[str]:
        """Return the sorted names of the files in `input` of one kind: `image`, `video` or `audio`."""

    def list_models(self, folder: str) -> list[str]:
        """Return the sorted names of the models in a folder such as `checkpoints` or `loras`."""

    def find_file(self, name: str) -> Path:
        """Return the path for a name such as `sub/cat.png` or `cat.png [output]`, never outside the folders.

        Raises:
            ValueError: The name leads out of its folder.
        """

    def choose_save_target(self, prefix: str, folder: Path, width: int = 0, height: int = 0) -> SaveTarget:
        """Return the folder and the first free number for a prefix such as `sub/cat`; create the folder.

        Raises:
            ValueError: The prefix leads out of the folder.
        """


@dataclass(frozen=True)
class SaveTarget:
    """A folder and the first free number in it, for names such as `cat_00001_.png`."""

    folder: Path
    name: str
    counter: int
    subfolder: str


class Context(Protocol):
    """The context that a node runs in: its prompt, the server's folders and its progress."""

    node_id: str
    prompt_id: str
    prompt: Mapping[str, Any]
    """The whole prompt, as written into the metadata of saved files."""
    extra_pnginfo: Mapping[str, Any]
    """More metadata from the client, such as the `workflow` in editor format."""
    folders: Folders

    def report_progress(self, value: int, total: int, preview: Image.Image | None = None) -> None:
        """Send progress to the client: step `value` of `total`, with an optional preview.

        Raises:
            Interrupted: The job was cancelled. Do not catch it.
        """

    def show_text(self, text: str) -> None:
        """Send a line of text to display on the node while it runs (binary event 3)."""


class Interrupted(Exception):
    """The job was cancelled."""


@dataclass(frozen=True)
class Output:
    """A node's result: a value for each output, and the part that clients see (`executed`, history)."""

    values: tuple[Any, ...] = ()
    ui: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Node:
    """A node's definition and the function that does its work."""

    class_type: str
    run: Callable[..., Output]
    display_name: str
    category: str
    description: str
    build_specs: Callable[[Folders], tuple[Specs, Specs]]
    """Returns the required and the optional inputs. It takes the folders, because choices may be files."""
    returns: tuple[str, ...]
    return_names: tuple[str, ...]
    output_node: bool
    fingerprint: Callable[..., object] | None
    """Returns a value, such as a file's hash, that changes when the node must run again despite equal inputs.

    It is called as `fingerprint(folders, **inputs)` with the inputs it names, except links. NaN: run every time.
    """
    validate: Callable[..., str | None] | None
    """Returns one line that says what is wrong with the inputs, or None.

    It is called as `validate(folders, **inputs)` with the inputs it names, except links. For these inputs it replaces
    the checks against choices, min and max.
    """
    options: Mapping[str, Any] = field(default_factory=dict)
    """More keys of the node's entry in `/object_info`."""


NODES: dict[str, Node] = {}
"""All nodes of the server, by class."""

MODELS: dict[str, tuple[str, ...]] = {}
"""Built-in models, which have no file, by folder (`checkpoints`). `Folders.list_models` includes them."""
METADATA: dict[tuple[str, str], dict[str, str]] = {}
"""The metadata of built-in models, by folder and name, as a trainer would write it."""


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
    """Return a decorator that adds a node to `NODES`, with the decorated function doing its work."""

    def build_specs(folders: Folders) -> tuple[Specs, Specs]:
        needed, extra = (part(folders) if callable(part) else part or {} for part in (required, optional))
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
