"""The example workflows of the package: `example:portrait` names one wherever a workflow can be named."""

from __future__ import annotations

from pathlib import Path

from comfykit_jupyter.client.errors import SourceError
from comfykit_jupyter.workflow.errors import one_line

PREFIX = "example:"
_FOLDER = Path(__file__).parents[2] / "examples"


def list_examples() -> list[str]:
    """Return the names of the examples, such as `example:portrait`."""
    return sorted(f"{PREFIX}{path.stem}" for path in _FOLDER.glob("*.json"))


def find_example(text: str) -> Path | None:
    """Return the file of the example that a text names, or None if the text does not name an example.

    Raises:
        SourceError: There is no example of this name.
    """
    if not text.startswith(PREFIX):
        return None
    names = list_examples()
    if text in names:  # not a path: `example:../secret` is rejected
        return _FOLDER / f"{text.removeprefix(PREFIX)}.json"
    raise SourceError(f"there is no example {one_line(text)}: there are {', '.join(names)}")
