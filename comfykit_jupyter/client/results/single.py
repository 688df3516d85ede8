"""`SingleOutputs`: the only image, video, audio file or text of a run, for its result and for its row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from comfykit_jupyter.client.errors import OutputError
from comfykit_jupyter.workflow.media_kinds import KINDS, MediaKind

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.results.result import ExecuteResult

T = TypeVar("T")


class SingleOutputs(ABC):
    """A run whose outputs of a kind may be only one."""

    __slots__ = ()

    @abstractmethod
    def _get_result(self) -> ExecuteResult:
        """Return the result of the run."""

    @property
    def image(self) -> Media:
        """The only image; the saved one, if there are previews as well.

        Raises:
            OutputError: There is no image, or more than one.
        """
        return self._find_one("image")

    @property
    def video(self) -> Media:
        """The only video; the saved one, if there are previews as well.

        Raises:
            OutputError: There is no video, or more than one.
        """
        return self._find_one("video")

    @property
    def audio(self) -> Media:
        """The only audio file; the saved one, if there are previews as well.

        Raises:
            OutputError: There is no audio, or more than one.
        """
        return self._find_one("audio")

    @property
    def text(self) -> str:
        """The only text.

        Raises:
            OutputError: There is no text, or more than one.
        """
        result = self._get_result()
        return str(_take_only(result, result.texts, "text", "texts"))

    def _find_one(self, kind: MediaKind) -> Media:
        result = self._get_result()
        found = [media for media in result.media if media.kind == kind]
        return _take_only(result, [media for media in found if not media.temp] or found, kind, KINDS[kind].plural)


def _take_only(result: ExecuteResult, found: Sequence[T], kind: str, plural: str) -> T:
    if len(found) == 1:
        return found[0]
    if found:
        raise OutputError(f"this run has {len(found)} {plural}: use result.{plural}, or result[name]")
    raise OutputError(f"this run has no {kind}: {result.msg or f'it has {list_outputs(result)}'}")


def list_outputs(result: ExecuteResult) -> str:
    """Return the names of a run's outputs, for messages."""
    names = dict.fromkeys([*(media.var for media in result.media), *result.texts_by_var])
    return ", ".join(map(repr, names)) or "no outputs"
