"""`ModelFile`: the size and the date of a model file on a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfykit_jupyter.workflow.untrusted_json import to_list, to_mapping

_MAX_FILES = 200_000


@dataclass(frozen=True)
class ModelFile:
    """A model file on a server.

    Attributes:
        size: Bytes.
        modified: When it was last changed, in seconds since 1970.

    Example:
        for name, file in kit.runs[0].models.items():
            print(name, file.size)
    """

    size: int
    modified: float

    def to_json(self) -> list[float]:
        """Return it as the journal has it."""
        return [self.size, self.modified]

    @classmethod
    def parse(cls, value: Any) -> ModelFile | None:
        """Return a file from a line of the journal; None if it is not one."""
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
            return None
        return cls(int(value[0]), float(value[1]))

    def is_other(self, now: ModelFile, *, same_server: bool) -> bool:
        """Return whether the file has been replaced. A copy on another server has a date of its own."""
        return self.size != now.size or (same_server and abs(self.modified - now.modified) > 1)


def parse_model_files(answer: Any) -> dict[str, ModelFile]:
    """Return the files of a folder by name, from the answer to `/experiment/models/FOLDER`."""
    found: dict[str, ModelFile] = {}
    for each in map(to_mapping, to_list(answer)[:_MAX_FILES]):
        name, file = each.get("name"), ModelFile.parse([each.get("size"), each.get("modified")])
        if isinstance(name, str) and file is not None:
            found.setdefault(name.replace("\\", "/"), file)  # of two folders, the first one counts
    return found


def describe_model_files(files: Mapping[str, ModelFile]) -> dict[str, Any]:
    """Return files as a line of the journal has them."""
    return {name: file.to_json() for name, file in files.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e18
