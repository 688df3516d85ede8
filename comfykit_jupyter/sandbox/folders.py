"""The server's folders, and safe paths: a name from a client never leads out of them."""

from __future__ import annotations

import json
import mimetypes
import os
import re
import time
from pathlib import Path
from typing import Any

from comfykit_jupyter.sandbox.interface.node import METADATA, MODELS, SaveTarget

_MAX_NAME = 255
"""Longest file name, in bytes."""

_MAX_PREFIX_NAME = 200
"""Longest name in a prefix, in bytes: a counter and a suffix are added to it."""

MAX_HEADER = 1024 * 1024
"""Bytes of the header of a model file that is read for its metadata."""

MODEL_FOLDERS = (
    "checkpoints",
    "clip_vision",
    "controlnet",
    "diffusion_models",
    "embeddings",
    "loras",
    "style_models",
    "text_encoders",
    "upscale_models",
    "vae",
)

_MEDIA_TYPES = mimetypes.MimeTypes()  # an own table, so that it is the same on every machine
for _suffix, _type in {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".glb": "model/gltf-binary",
    ".m4a": "audio/mp4",
    ".mkv": "video/x-matroska",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".webp": "image/webp",
}.items():
    _MEDIA_TYPES.add_type(_type, _suffix)


def guess_media_type(name: str) -> str:
    """Return the media type for a file's suffix, such as `image/png`, or `application/octet-stream` if unknown.

    Types in which a browser would run a script (HTML, SVG, JavaScript, XML) are `application/octet-stream` as well.
    """
    guessed, encoding = _MEDIA_TYPES.guess_type(f"file{Path(name).suffix.lower()}")
    harmless = guessed is not None and (
        guessed in {"application/json", "text/plain"} or guessed.split("/")[0] in {"image", "video", "audio", "model"}
    )
    if guessed is None or encoding is not None or not harmless or guessed == "image/svg+xml":
        return "application/octet-stream"
    return guessed


def resolve_inside(folder: Path, *parts: str) -> Path:
    """Return the path of a name below a folder, with symlinks resolved. Neither has to exist.

    Raises:
        ValueError: The path leads out of the folder (by `..`, an absolute path or a symlink), or is not a valid name.
    """
    for part in parts:
        if "\0" in part or "\\" in part or any(len(os.fsencode(name)) > _MAX_NAME for name in part.split("/")):
            raise ValueError(f"{part[:80]!r} is not a valid file name")
    try:
        path = folder.joinpath(*parts).resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks, before Python 3.13
        raise ValueError(f"{'/'.join(parts)[:80]!r} is not a valid file name") from error
    if not path.is_relative_to(folder):
        raise ValueError(f"{'/'.join(parts)[:80]!r} leads out of the folder {folder.name!r}")
    return path


class ServerFolders:
    """The folders `input`, `output`, `temp` and `models` below one root; created if missing."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.input = self._make_folder("input")
        self.output = self._make_folder("output")
        self.temp = self._make_folder("temp")
        self.incoming = self._make_folder("incoming")
        """Incomplete uploads. No route serves this folder."""
        self._models = self._make_folder("models")
        for name in MODEL_FOLDERS:
            self._make_folder(f"models/{name}")

    def _make_folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder.resolve()

    def get_folder(self, kind: str) -> Path:
        """Return the folder for the protocol's `type`: `input`, `output` or `temp`.

        Raises:
            ValueError: There is no such type.
        """
        folders = {"input": self.input, "output": self.output, "temp": self.temp}
        if kind not in folders:
            raise ValueError(f"type must be input, output or temp, not {kind[:80]!r}")
        return folders[kind]

    def list_files(self, kind: str) -> list[str]:
        """Return the sorted names of the files in `input` of one kind: `image`, `video` or `audio`."""
        with os.scandir(self.input) as entries:
            return sorted(e.name for e in entries if e.is_file() and guess_media_type(e.name).startswith(f"{kind}/"))

    def list_model_folders(self) -> list[str]:
        """Return the sorted names of the model folders."""
        with os.scandir(self._models) as entries:
            return sorted({*MODELS, *(entry.name for entry in entries if entry.is_dir())})

    def list_models(self, folder: str) -> list[str]:
        """Return the sorted names of the models in a folder such as `checkpoints`; empty if it does not exist.

        Raises:
            ValueError: The name leads out of the model folders.
        """
        base = resolve_inside(self._models, folder)
        found = (Path(at, name).relative_to(base) for at, _, names in os.walk(base) for name in names)
        return sorted({*MODELS.get(folder, ()), *(path.as_posix() for path in found)})

    def describe_models(self, folder: str) -> list[dict[str, Any]]:
        """Return name, size and date of the model files in a folder; built-in models have no file.

        Raises:
            ValueError: The name leads out of the model folders.
        """
        base = resolve_inside(self._models, folder)
        paths = (base / name for name in self.list_models(folder))
        files = [(path, path.stat()) for path in paths if path.is_file()]
        return [
            {
                "name": path.relative_to(base).as_posix(),
                "pathIndex": 0,
                "modified": found.st_mtime,
                "created": found.st_ctime,
                "size": found.st_size,
            }
            for path, found in files
        ]

    def read_metadata(self, folder: str, name: str) -> Any:
        """Return the metadata in the header of a safetensors file; None where ComfyUI answers 404.

        Raises:
            ValueError: The header is not valid.
        """
        if not name.endswith(".safetensors"):
            return None
        try:
            path = resolve_inside(resolve_inside(self._models, folder), name)
        except ValueError:
            return None
        if not path.is_file():
            return METADATA.get((folder, name))
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(length) if length <= MAX_HEADER else b"{}"
        return json.loads(header).get("__metadata__")

    def find_file(self, name: str) -> Path:
        """Return the path for a name such as `sub/cat.png` or `cat.png [output]`; it does not have to exist.

        Raises:
            ValueError: The name leads out of its folder.
        """
        annotated = re.fullmatch(r"(.+?) ?\[(input|output|temp)\]", name, re.DOTALL)
        if annotated:
            return resolve_inside(self.get_folder(annotated[2]), annotated[1])
        return resolve_inside(self.input, name)

    def choose_save_target(self, prefix: str, folder: Path, width: int = 0, height: int = 0) -> SaveTarget:
        """Return the folder and the first free number for a prefix such as `sub/cat`; create the folder.

        `%width%`, `%height%` (pixels), `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%` and `%second%` are filled in.

        Raises:
            ValueError: The prefix leads out of the folder.
        """
        now = time.localtime()
        values = {
            "width": str(width),
            "height": str(height),
            "year": str(now.tm_year),
            "month": f"{now.tm_mon:02}",
            "day": f"{now.tm_mday:02}",
            "hour": f"{now.tm_hour:02}",
            "minute": f"{now.tm_min:02}",
            "second": f"{now.tm_sec:02}",
        }
        filled = os.path.normpath(re.sub(r"%(\w+)%", lambda found: values.get(found[1], found[0]), prefix))
        subfolder, name = os.path.split(filled)
        resolve_inside(folder, filled)
        target = resolve_inside(folder, subfolder)
        if name in {"", ".", ".."} or len(os.fsencode(name)) > _MAX_PREFIX_NAME:
            raise ValueError(f"{prefix[:80]!r} is not a valid file name prefix")
        target.mkdir(parents=True, exist_ok=True)
        numbered = re.compile(rf"{re.escape(name)}_(\d{{1,9}})(?=[_.])")
        with os.scandir(target) as entries:
            used = [int(found[1]) for entry in entries if (found := numbered.match(entry.name))]
        return SaveTarget(target, name, max(used, default=0) + 1, Path(subfolder).as_posix() if subfolder else "")
