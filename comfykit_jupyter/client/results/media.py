"""`Media`: one image, video, audio or other file that a run produced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlencode

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import copy_file, is_folder
from comfykit_jupyter.client.loop import call
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.file_names import to_encodable, to_safe_name
from comfykit_jupyter.workflow.media_kinds import MediaKind, find_format

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydantic_core import CoreSchema


class Origin(Protocol):
    """Where media come from. Only it has the address and the secrets to fetch them.

    Attributes:
        url: The address of the server or cloud.

    Example:
        result.image.origin.url
    """

    url: str

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the address of a file, and what `fetch` needs to get it, from its entry in a record."""

    async def fetch(self, media: Media) -> Path:
        """Return a local copy of the file, downloaded on the first call."""


class Media(str):
    """One image, video, audio or other file that a run produced; in a notebook cell it shows itself.

    It is a string: the file's address on the server. A run returns them in `ExecuteResult.images` and the like; given
    as a value of another run on the same server, the file is not uploaded again.

    A pickle has the address, the names, and no secrets. In the process that loads it, it connects when it is read.

    Attributes:
        kind: `image`, `video`, `audio` or `file`.
        name: File name, without folders.
        mime: MIME type.
        node: ID of the node that produced it.
        var: Name of the output in the workflow (`$output.NAME`), else the node's ID.
        temp: Whether it is a preview that the server does not keep.
        animated: Whether the node said that it is animated; for `.webp` and `.png` only this says so.
        origin: The server that has it.
        query: What identifies it there: `filename`, on a ComfyUI server also `subfolder` and `type`.
        local: The local copy, once there is one.

    Example:
        >>> result = kit.run("text_to_image.json", width=64, height=64, steps=1)
        >>> result.image.kind, result.image.mime
        ('image', 'image/png')
        >>> result.image.pil().size
        (64, 64)
        >>> result.image.save("/tmp/")  # doctest: +SKIP
        PosixPath('/tmp/ComfyUI_00001_.png')
    """

    kind: MediaKind
    node: str
    var: str
    name: str
    temp: bool
    mime: str
    animated: bool
    origin: Origin
    query: dict[str, str]
    local: Path | None

    __slots__ = ("animated", "kind", "local", "mime", "name", "node", "origin", "query", "temp", "var")

    def __new__(cls, origin: Origin, entry: Mapping[str, Any], *, node: str, var: str, animated: bool = False) -> Media:
        """Create it from an entry such as `{"filename": …, "subfolder": …, "type": …}`."""
        address, query = origin.locate(entry)
        return cls.restore(address, origin, query, node, var, animated=animated)

    @classmethod
    def restore(
        cls, address: str, origin: Origin, query: Mapping[str, str], node: str, var: str, *, animated: bool
    ) -> Media:
        """Return media as they were, from their attributes; there is no local copy yet."""
        self = super().__new__(cls, address)
        self.origin, self.query, self.local = origin, dict(query), None
        name = query["filename"]
        is_plain = name not in ("", ".") and "/" not in name and "\\" not in name  # ten thousand paths take a while
        self.name = name if is_plain else PurePosixPath(name.replace("\\", "/")).name or "file"
        self.node, self.var, self.temp, self.animated = node, var, query.get("type") == "temp", animated
        self.kind, found = find_format(self.name)
        self.mime = found.mime
        return self

    @classmethod
    def from_name(cls, origin: Origin, name: str) -> Media:
        """Return a file that a ComfyUI server has, by the name that its nodes use.

        Args:
            origin: The server.
            name: Such as `cat.png` in the input folder, or `cats/cat.png [output]`.

        Raises:
            ComfyKitError: The name is not valid.
        """
        path, folder = name, "input"
        if found := re.fullmatch(r"(.+) \[(input|output|temp)\]", name):
            path, folder = found[1], found[2]
        parts = path.split("/")
        if not all(parts) or ".." in parts or "\\" in path or len(path) > 1000:
            raise ComfyKitError(f"{short_repr(name, 200)} is not a valid file name on the server")
        entry = {"filename": parts[-1], "subfolder": "/".join(parts[:-1]), "type": folder}
        return cls(origin, entry, node="", var="")

    @property
    def server_name(self) -> str:
        """How it is given as a value: the name that a ComfyUI server's nodes use, as in `from_name`.

        On Comfy API v2 it is `asset:ID`, and on RunningHub its address.
        """
        if "type" in self.query:
            return format_annotated_name(self.query)
        return f"asset:{self.query['id']}" if "id" in self.query else str(self)

    @property
    def path(self) -> Path:
        """A local copy, downloaded once and kept while this process runs.

        Raises:
            ServerError: The server is unreachable, or no longer has the file.
        """
        return call(self.origin.fetch(self))

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            ServerError: The server is unreachable, or no longer has the file.
        """
        return self.path.read_bytes()

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Copy it to a file, or into a folder under its own name; missing folders are created.

        In a folder it replaces no other file: beside a `cat.png` it is saved as `cat-2.png`. A file that you name is
        replaced.

        Args:
            path: A file, an existing folder, or a folder with a `/` at the end.
            overwrite: Whether a file of that name in the folder is replaced.

        Returns:
            The path of the file.

        Raises:
            ServerError: The server is unreachable, or no longer has the file.
            OSError: The file can't be written.
        """
        target = Path(path).expanduser()
        if is_folder(path):
            return copy_file(self.path, target / to_safe_name(self.name), overwrite=overwrite)
        return copy_file(self.path, target, overwrite=True)

    def pil(self) -> Image:
        """Return it as a Pillow image.

        Raises:
            ComfyKitError: It is not an image in a known format, is broken, or is too large to decode.
            ServerError: The server is unreachable, or no longer has the file.
        """
        import io

        from comfykit_jupyter.client.results.images import map_decoding_errors, open_image

        content = io.BytesIO(self.path.read_bytes())
        try:
            with map_decoding_errors():
                image = open_image(content)
                image.load()
        except ValueError as error:
            raise ComfyKitError(f"{self.name} can't be read as an image: {error}") from None
        return image

    def frame(self, index: int | None = None, *, at: float | None = None) -> Image:
        """Return one frame of a video or animated image as a Pillow image, which can be an input of another run.

        PyAV decodes videos (`pip install av`); the embedded server installs it, too.

        Args:
            index: The frame, from 0; negative ones count from the end. By default it is the last one.
            at: Instead of `index`, a time in seconds: the frame that a player shows then.

        Raises:
            ComfyKitError: It is not a video that can be read, or has no such frame.
            ServerError: The server is unreachable, or no longer has the file.

        Example:
            film = kit.run("video.json").video
            next_part = kit.run("image_to_video.json", image=film.frame(-1))
        """
        from comfykit_jupyter.client.results.frames import find_frame

        try:
            return find_frame(self.path, index, at)
        except ValueError as error:
            raise ComfyKitError(f"{self.name}: {error}") from None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - what IPython calls
        from comfykit_jupyter.client.results.captions import format_media

        printer.text(format_media(self))  # not its address: a notebook keeps what a cell shows, also of a list

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002
        from comfykit_jupyter.client.results.render_media import build_media_bundle

        return build_media_bundle(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return _build_schema()

    def __copy__(self) -> Media:
        return self

    def __deepcopy__(self, _memo: object) -> Media:
        return self  # it has the same connection, and the same local copy

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (str(self), self.origin, self.query, self.node, self.var, self.animated)


def _restore(*attributes: Any) -> Media:
    *others, animated = attributes
    return Media.restore(*others, animated=animated)


FILE = {"filename": "", "subfolder": "", "type": "output"}
"""What identifies a file on a ComfyUI server, with the defaults for what an entry leaves out."""


def build_view_url(url: str, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the address of a file on a ComfyUI server, and its query."""
    query = {key: to_encodable(entry.get(key) or default) for key, default in FILE.items()}
    return f"{url}/view?{urlencode({key: part for key, part in query.items() if part})}", query


def format_annotated_name(query: Mapping[str, str]) -> str:
    """Format the name by which a node of a ComfyUI server finds a file: `cats/cat.png [output]`."""
    name = f"{query['subfolder']}/{query['filename']}" if query.get("subfolder") else query["filename"]
    folder = query.get("type") or "output"
    return name if folder == "input" else f"{name} [{folder}]"


# -- from what a result in JSON has of them ----------------------------------------------------------------------------


class LostOrigin:
    """The origin of media whose dict names no server or cloud: a file of this machine, at best."""

    def __init__(self, url: str) -> None:
        self.url = url

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """See `Origin`."""
        return self.url, dict(entry)

    async def fetch(self, media: Media) -> Path:
        """Return the file, if it is still there."""
        path = Path(media.query.get("path") or "nowhere")
        if not path.is_file():
            raise ComfyKitError(f"{one_line(media.name)} can't be read: its dict does not say which server has it")
        return path


def find_media(url: str) -> Media | None:
    """Return the media at an address of a ComfyUI server; None if it is not such an address."""
    base, _, text = url.partition("/view?")
    query = {name: values[-1] for name, values in parse_qs(text).items()}
    if not query.get("filename") or not base.startswith(("http://", "https://")):
        return None
    return Media.restore(url, _remember("comfyui", base), {**FILE, **query}, "", "", animated=False)


def parse_media(data: Any) -> Media:
    """Return media from their address, or from an entry of `media` in the dict of a result.

    Raises:
        ComfyKitError: It is neither.
    """
    if isinstance(data, Media):
        return data
    if isinstance(data, str):
        name = PurePosixPath(data.partition("?")[0]).name or "file"
        lost = Media.restore(data, LostOrigin(data), {"filename": name}, "", "", animated=False)
        return find_media(data) or lost
    query = data.get("query") if isinstance(data, Mapping) else None
    if not isinstance(query, Mapping) or not isinstance(query.get("filename"), str):
        raise ComfyKitError(f"media of a result can't be {short_repr(data)}")
    url, server, place, node, var = (str(data.get(name) or "") for name in ("url", "server", "place", "node", "var"))
    texts = {str(name): str(each) for name, each in query.items()}
    return Media.restore(url, _remember(place, server), texts, node, var, animated=bool(data.get("animated")))


def _remember(place: str, url: str) -> Origin:
    """Return the server or cloud whose kind and address are in a dict."""
    from comfykit_jupyter.client.inputs.routing import remember_origin

    return remember_origin(place, url) or LostOrigin(url)


def _build_schema() -> CoreSchema:
    """Return what pydantic needs to accept media as a type: see `parse_media` for what they may come from."""
    from pydantic_core import core_schema

    def validate(data: Any) -> Media:
        try:
            return parse_media(data)
        except ComfyKitError as error:
            raise ValueError(str(error)) from None

    address = core_schema.no_info_after_validator_function(validate, core_schema.str_schema())
    return core_schema.json_or_python_schema(
        json_schema=address,
        python_schema=core_schema.no_info_plain_validator_function(validate),
        serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
    )
