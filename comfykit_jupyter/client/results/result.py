"""What a run gave: `ExecuteResult`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, RunFailed
from comfykit_jupyter.client.results.media import Media, Origin
from comfykit_jupyter.client.results.wording import format_cost
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.media_kinds import KINDS, MediaKind
from comfykit_jupyter.workflow.nodes import MISSING
from comfykit_jupyter.workflow.progress.progress import RunError, RunState

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.workflow import Workflow

TEXT_KEYS = ("text", "string")
"""Keys of a node's output whose values are texts to be read."""


@dataclass(repr=False)
class ExecuteResult:
    """What a run gave. In a notebook cell it shows its pictures, videos, sounds and texts.

    Attributes:
        status: `completed` or `failed` (`error.kind` tells cancelled, timed out, refused… apart).
        prompt_id: the server's name for the run; there whenever one was sent.
        duration: seconds from sending the prompt to its end.
        images, videos, audios, texts: all of the kind. The media are strings (addresses) that know more: `Media`.
        images_by_var, …: the same by output name (`$output.name`), else by node id.
        outputs: the nodes' raw outputs by node id.
        msg: one line that says why it failed.
        files, files_by_var: whatever is neither picture, video nor sound: 3D, SVG, latents…
        media: images, videos, audios and files in the order of the nodes.
        error: the same as `msg`, in parts.
        warnings: one line each: what the server left out, what only the editor's page supplies, a cancel that the
            server did not confirm.
        params: the values used, by name. seeds: those of them that are seeds, drawn ones included.
        changed: those of `params` that differ from the workflow's own, seeds left out.
        prompt: the exact API graph that was sent.
        node_times: seconds by node id. cached_nodes: ids of nodes that did not run, since nothing had changed.
        cost: what a cloud took for it, where it tells: `coins`, `money`, `seconds` that were paid.
        workflow_name, server, server_version: what was run, and where.
    """

    status: Literal["completed", "failed"]
    prompt_id: str | None = None
    duration: float | None = None
    images: list[str] = field(default_factory=list)
    images_by_var: dict[str, list[str]] = field(default_factory=dict)
    audios: list[str] = field(default_factory=list)
    audios_by_var: dict[str, list[str]] = field(default_factory=dict)
    videos: list[str] = field(default_factory=list)
    videos_by_var: dict[str, list[str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    texts_by_var: dict[str, list[str]] = field(default_factory=dict)
    outputs: dict[str, Any] | None = None
    msg: str | None = None
    files: list[str] = field(default_factory=list)
    files_by_var: dict[str, list[str]] = field(default_factory=dict)
    media: list[Media] = field(default_factory=list, repr=False)
    error: RunError | None = None
    warnings: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict, repr=False)
    prompt: dict[str, Any] = field(default_factory=dict, repr=False)
    node_times: dict[str, float] = field(default_factory=dict, repr=False)
    cached_nodes: list[str] = field(default_factory=list, repr=False)
    cost: dict[str, float] = field(default_factory=dict, repr=False)
    workflow_name: str = ""
    server: str = ""
    server_version: str | None = None

    def __repr__(self) -> str:
        """One line: `<ExecuteResult completed in 1.25 s: 2 images, 1 text>`; where that is told, with what it cost."""
        took = (
            "" if self.duration is None else f" {'in' if self.status == 'completed' else 'after'} {self.duration:.2f} s"
        )
        lists: dict[str, list[str]] = {kind.name: getattr(self, kind.plural) for kind in KINDS.values()}
        lists |= {"text": self.texts}
        counts = [f"{len(found)} {kind}{'s' * (len(found) > 1)}" for kind, found in lists.items() if found]
        told = [*([one_line(self.msg, 500)] if self.msg else []), ", ".join(counts) or "no outputs"]
        told += [price] if (price := format_cost(self.cost)) else []
        return f"<ExecuteResult {self.status}{took}: {'; '.join(told)}>"

    @property
    def image(self) -> Media:
        """The one picture: the saved one, where previews were made as well.

        Raises:
            ComfyKitError: there is none, or more than one. `video`, `audio` and `text` are alike.
        """
        return self._one("image")

    @property
    def video(self) -> Media:
        """The one video."""
        return self._one("video")

    @property
    def audio(self) -> Media:
        """The one sound."""
        return self._one("audio")

    @property
    def text(self) -> str:
        """The one text."""
        return str(self._only(self.texts, "text"))

    def __getitem__(self, var: str) -> list[Any]:
        """Everything that the output of this name gave, in order: media, then texts.

        Raises:
            KeyError: there is no such output; the message names those that are there.
        """
        found: list[Any] = [media for media in self.media if media.var == var]
        found += self.texts_by_var.get(var, [])
        if not found:
            raise KeyError(f"no output {var!r}; there are {', '.join(map(repr, self._vars())) or 'none'}")
        return found

    def _vars(self) -> list[str]:
        return list(dict.fromkeys([*(media.var for media in self.media), *self.texts_by_var]))

    def raise_for_status(self) -> ExecuteResult:
        """Itself, if it completed.

        Raises:
            RunFailed: it did not; the error holds this result.
        """
        if self.status != "completed":
            failure = RunFailed(self.msg or "the run failed")
            failure.result = self
            raise failure
        return self

    def to_html(self, path: str | Path, megabytes: int = 500) -> Path:
        """Write it as one file that needs nothing else: its media in full, texts, values, seeds, and the prompt.

        Args:
            path: the file; its folder is made.
            megabytes: of media that it may hold; what does not fit is named.

        Returns:
            Where it is.

        Raises:
            OSError: it can't be written. An output that the server no longer has is named, and is no error.
        """
        from comfykit_jupyter.client.results.page import write_page

        return write_page(self, path, megabytes)

    def _one(self, kind: MediaKind) -> Media:
        found = [media for media in self.media if media.kind == kind]
        one: Media = self._only([media for media in found if not media.temp] or found, kind)
        return one

    def _only(self, found: list[Any], kind: str) -> Any:
        if len(found) == 1:
            return found[0]
        if found:
            raise ComfyKitError(f"{len(found)} outputs are {kind}s: take one of result.{kind}s, or one by its name")
        why = f": {self.msg}" if self.msg else f"; there are {', '.join(map(repr, self._vars())) or 'no outputs'}"
        raise ComfyKitError(f"this run gave no {kind}{why}")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002
        from comfykit_jupyter.client.results.render import build_result_bundle

        return build_result_bundle(self)


def collect_outputs(result: ExecuteResult, state: RunState, names: Mapping[str, str], origin: Origin) -> None:
    """Fill a result with the outputs of a run: what each node gave, told apart by its shape and suffix.

    Nothing is dropped, and one odd entry never spoils the rest: what can't be understood stays in `outputs`.
    """
    result.outputs = {node: dict(output) for node, output in state.outputs.items()}
    for node, output in state.outputs.items():
        shown = state.display.get(node, node)
        var = names.get(node) or names.get(shown) or shown
        animated = output.get("animated")
        moving = isinstance(animated, (list, tuple)) and any(animated)
        for entry in _entries(output):
            media = Media(origin, entry, node=shown, var=var, animated=moving)
            result.media.append(media)
            plural = KINDS[media.kind].plural
            getattr(result, plural).append(media)
            getattr(result, f"{plural}_by_var").setdefault(var, []).append(media)
        for text in _texts(output):
            result.texts.append(text)
            result.texts_by_var.setdefault(var, []).append(text)


def find_changed_values(
    params: Mapping[str, Any], seeds: Mapping[str, int], workflow: Workflow | None
) -> dict[str, Any]:
    """The values of a run that differ from the workflow's own; its seeds are told apart from them."""
    mine = {name: value for name, value in params.items() if name not in seeds}
    return {name: value for name, value in mine.items() if not _same(value, _own(name, workflow))}


def _same(value: Any, own: Any) -> bool:
    """Whether two values are equal; what was to be sent as a file, an array say, is none that a workflow has."""
    return isinstance(value, (str, int, float, list, dict, tuple)) and bool(value == own)


def _own(name: str, workflow: Workflow | None) -> Any:
    try:
        return workflow.parameter(name).targets[0].default if workflow is not None else MISSING
    except ParameterError:
        return MISSING


def _entries(output: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Everything that names a file, whatever its key."""
    for value in output.values():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, Mapping) and isinstance(item.get("filename"), str) and item["filename"]:
                yield item


def _texts(output: Mapping[str, Any]) -> Iterator[str]:
    for key in TEXT_KEYS:
        value = output.get(key)
        for item in value if isinstance(value, (list, tuple)) else [] if value is None else [value]:
            if not isinstance(item, Mapping):
                yield str(item)
