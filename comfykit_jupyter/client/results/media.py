"""`Media`: one picture, video, sound or other file that a run made."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.workflow.media_kinds import MediaKind, find_format

if TYPE_CHECKING:
    from PIL.Image import Image


class Origin(Protocol):
    """Where media come from: it alone has the address and the secrets to fetch them."""

    url: str

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """The address of a file, and what `fetch` needs to have it, from its entry in a record."""

    async def fetch(self, media: Media) -> Path:
        """A local copy of the file, made on the first call."""


class Media(str):
    """One picture, video, sound or other file that a run made.

    It is a string, the address on its server, and knows more: in a notebook cell it shows itself.

        result.image.save("cat.png")
        result.image.pil().resize((64, 64))
    """

    kind: MediaKind
    node: str
    """The id of the node that made it."""
    var: str
    """The name of the output in the workflow (`$output.name`), else the node's id."""
    name: str
    """Its file name, without folders."""
    temp: bool
    """A preview that the server does not keep."""
    mime: str
    animated: bool
    """The node said that it moves; for a `.webp` or `.png` only that tells."""
    origin: Origin
    """The server that has it."""
    query: dict[str, str]
    """What names it there: `filename`, on a ComfyUI server also `subfolder` and `type`."""
    local: Path | None
    """Its local copy, once there is one."""

    __slots__ = ("animated", "kind", "local", "mime", "name", "node", "origin", "query", "temp", "var")

    def __new__(cls, origin: Origin, entry: Mapping[str, Any], *, node: str, var: str, animated: bool = False) -> Media:
        """Made from an entry such as `{"filename": …, "subfolder": …, "type": …}`."""
        address, query = origin.locate(entry)
        self = super().__new__(cls, address)
        self.origin, self.query, self.local = origin, query, None
        self.name = PurePosixPath(query["filename"].replace("\\", "/")).name or "file"
        self.node, self.var, self.temp, self.animated = node, var, query.get("type") == "temp", animated
        self.kind, found = find_format(self.name)
        self.mime = found.mime
        return self

    @classmethod
    def from_name(cls, origin: Origin, name: str) -> Media:
        """A file that the server has, by the name that its nodes know: `cat.png`, `cats/cat.png [output]`.

        Raises:
            ComfyKitError: it is no name of a file in the server's folders.
        """
        path, folder = name, "input"
        if found := re.fullmatch(r"(.+) \[(input|output|temp)\]", name):
            path, folder = found[1], found[2]
        parts = path.split("/")
        if not all(parts) or ".." in parts or "\\" in path or len(path) > 1000:
            raise ComfyKitError(f"{name[:200]!r} is no name of a file on the server")
        entry = {"filename": parts[-1], "subfolder": "/".join(parts[:-1]), "type": folder}
        return cls(origin, entry, node="", var="")

    @property
    def server_name(self) -> str:
        """The name by which nodes of a ComfyUI server know it, the other way round of `named`; else its address."""
        return format_annotated_name(self.query) if "type" in self.query else str(self)

    @property
    def path(self) -> Path:
        """A local copy, fetched once and kept as long as this process.

        Raises:
            ServerError: the server is away, or no longer has it.
        """
        return _wait(self.origin.fetch(self))

    def read(self) -> bytes:
        """Its bytes. Raises as `path`."""
        return self.path.read_bytes()

    def save(self, path: str | Path) -> Path:
        """Copy it to a file, or into a folder under its own name; returns where. Raises as `path`, and OSError."""
        import shutil

        target = Path(path)
        if target.is_dir() or str(path).endswith(("/", "\\")):
            target.mkdir(parents=True, exist_ok=True)
            target = target / to_safe_name(self.name)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path, target)
        return target

    def pil(self) -> Image:
        """It as a Pillow picture.

        Raises:
            ComfyKitError: it is no picture. And as `path`.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            picture = Image.open(self.path)
            picture.load()
        except UnidentifiedImageError:
            raise ComfyKitError(f"{self.name} is no picture that Pillow can read ({self.mime})") from None
        return picture

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002
        from comfykit_jupyter.client.results.render import build_media_bundle

        return build_media_bundle(self)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (str(self),))  # a copy in another process has no server behind it: it is the address


FILE = {"filename": "", "subfolder": "", "type": "output"}
"""What names a file on a ComfyUI server, and what is meant where an entry does not say it."""


def build_view_url(url: str, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The address of a file on a ComfyUI server, and what names it there."""
    query = {key: to_encodable(entry.get(key) or meant) for key, meant in FILE.items()}
    return f"{url}/view?{urlencode({key: part for key, part in query.items() if part})}", query


def format_annotated_name(query: Mapping[str, str]) -> str:
    """The name by which a node of a ComfyUI server finds a file in one of the server's folders."""
    name = f"{query['subfolder']}/{query['filename']}" if query.get("subfolder") else query["filename"]
    folder = query.get("type") or "output"
    return name if folder == "input" else f"{name} [{folder}]"


def to_safe_name(name: str) -> str:
    """A server's file name as the name of a file in a folder of ours: it can't lead out, nor hide, nor be too long."""
    base = to_encodable(name.replace("\\", "/").rpartition("/")[2])
    clean = "".join("_" if char in '<>:"|?*' or ord(char) < 32 else char for char in base).strip(". ")
    stem, dot, suffix = clean.rpartition(".")
    if not stem or len(suffix.encode()) > 20:
        stem, dot, suffix = clean, "", ""
    return (stem.encode()[:200].decode(errors="ignore") + dot + suffix) or "file"


def to_encodable(value: object) -> str:
    """Text without what JSON can hold and UTF-8 can't: halves of characters."""
    return str(value).encode("utf-8", "replace").decode()


def _wait(coroutine: Coroutine[Any, Any, Path]) -> Path:
    from comfykit_jupyter.client.loop import call

    return call(coroutine)
