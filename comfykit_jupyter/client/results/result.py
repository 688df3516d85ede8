"""`ExecuteResult`: everything that a run produced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from comfykit_jupyter.client.errors import ParameterError, RunFailed
from comfykit_jupyter.client.results.captions import format_cost
from comfykit_jupyter.client.results.exchange import Exchangeable
from comfykit_jupyter.client.results.media import Media, Origin
from comfykit_jupyter.client.results.single import SingleOutputs, list_outputs
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.media_kinds import KINDS
from comfykit_jupyter.workflow.nodes import MISSING
from comfykit_jupyter.workflow.progress.progress import RunError, RunState

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.document.workflow import Workflow

TEXT_KEYS = ("text", "string")
"""Keys of a node's output whose values are texts to read."""


@dataclass(repr=False)
class ExecuteResult(Exchangeable, SingleOutputs):
    """Everything that a run produced; in a notebook cell it shows its images, videos, audio and texts.

    Attributes:
        status: `completed` or `failed`; `error.kind` says whether it was cancelled, rejected or timed out.
        prompt_id: The server's ID of the job; None if nothing was sent.
        duration: Seconds from sending the prompt to its end; None if nothing was sent.
        images: The images, as `Media`: strings (addresses) that also have `.save()`, `.path`, `.pil()`.
        images_by_var: The same by output name (`$output.NAME`), else by node ID.
        audios: The audio files.
        audios_by_var: The same by output name.
        videos: The videos.
        videos_by_var: The same by output name.
        texts: The texts.
        texts_by_var: The same by output name.
        outputs: The raw outputs of the nodes, by node ID.
        msg: One line that says why the run failed.
        files: Outputs of other kinds: 3D models, SVG, latents, …
        files_by_var: The same by output name.
        media: Images, videos, audio and files together, in the order of the nodes.
        error: What `msg` says, in parts.
        warnings: One line each, about what is worth knowing and did not make the run fail.
        params: The values used, by parameter name.
        seeds: The values that are seeds, including drawn ones.
        changed: The `params` that differ from the workflow's own values, without seeds.
        loras: The stack of LoRAs, as `with_loras` accepts it.
        prompt: The API-format graph that was sent.
        node_times: Seconds that each node took, by node ID, as far as they were seen: a run that is polled has none.
        seconds: Seconds that the server executed it; None if it did not start, or that is not known.
        waited: Seconds that it waited in the queue before; None if that is not known.
        cached_nodes: IDs of the nodes that did not run again, because their inputs were the same.
        cost: What a cloud charged, if it says so: `coins`, `money`, and the `seconds` that were charged.
        raw: RunningHub's own answer about the end of a task; the older route gives the list of outputs. Otherwise None.
        workflow_name: Name of the workflow, usually the name of its file.
        server: Address of the server.
        server_version: Version of ComfyUI there, if known.

    Example:
        >>> result = kit.run("text.json", subject="a cat")
        >>> result.status, result.text
        ('completed', 'a cat, watercolor, morning light')
        >>> result["text"]
        ['a cat, watercolor, morning light']
        >>> result.changed
        {'subject': 'a cat'}
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
    media: list[Media] = field(default_factory=list)
    error: RunError | None = None
    warnings: list[str] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict)
    loras: dict[str, Any] = field(default_factory=dict)
    prompt: dict[str, Any] = field(default_factory=dict)
    node_times: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    waited: float | None = None
    cached_nodes: list[str] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)
    raw: Any = None
    workflow_name: str = ""
    server: str = ""
    server_version: str | None = None

    def __repr__(self) -> str:
        """Return one line: `<ExecuteResult completed in 1.25 s: 2 images, 1 text>`, with its cost if known."""
        spent = ""
        if (seconds := self.duration if self.seconds is None else self.seconds) is not None:
            spent = f" {'in' if self.status == 'completed' else 'after'} {seconds:.2f} s"
        lists: dict[str, list[str]] = {kind.name: getattr(self, kind.plural) for kind in KINDS.values()}
        lists |= {"text": self.texts}
        counts = [f"{len(found)} {kind}{'s' * (len(found) > 1)}" for kind, found in lists.items() if found]
        facts = [*([one_line(self.msg, 500)] if self.msg else []), ", ".join(counts) or "no outputs"]
        facts += [cost] if (cost := format_cost(self.cost)) else []
        return f"<ExecuteResult {self.status}{spent}: {'; '.join(facts)}>"

    def _get_result(self) -> ExecuteResult:
        return self

    def __getitem__(self, var: str) -> list[Any]:
        """Return all that the output of this name produced: its media, then its texts.

        Raises:
            KeyError: There is no such output; the message lists those that there are.
        """
        found: list[Any] = [media for media in self.media if media.var == var]
        found += self.texts_by_var.get(var, [])
        if not found:
            raise KeyError(f"no output {var!r}; this run has {list_outputs(self)}")
        return found

    def raise_for_status(self) -> ExecuteResult:
        """Raise an error if the run failed; else return the result itself.

        Raises:
            RunFailed: The run failed; `.result` of the error is this result.
        """
        if self.status != "completed":
            failure = RunFailed(self.msg or "the run failed")
            failure.result = self
            raise failure
        return self

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Save all outputs that the server keeps; its previews only if there is nothing else.

        Where a file of that name exists, the new one gets a number: `cat.png`, `cat-2.png`.

        Args:
            path: A folder (one that exists, or with a `/` at the end), where the files keep their names; or a pattern.
                In a pattern, `{name}` stands for a value of the run, or for `{date}`, `{time}` (when it is saved),
                `{workflow}`, `{seed}`, `{index}` (1, 2, …), `{id}` (the prompt ID), `{var}`, `{kind}` or `{ext}`;
                `{name.stem}` for a file's name without folder and suffix. A missing suffix is the output's own.
            overwrite: Whether older files are replaced. Outputs of the same result never replace each other.

        Returns:
            The paths of the files, in the order of the outputs.

        Raises:
            ComfyKitError: The pattern has an unknown name, its suffix does not fit, or there are no outputs.
            ServerError: The server is unreachable, or no longer has a file.
            OSError: A file can't be written.

        Example:
            >>> result = kit.run("text_to_image.json", width=64, height=64, steps=1)
            >>> result.save("/tmp/runs/{date}/{workflow}-{width}.png")  # doctest: +SKIP
            [PosixPath('/tmp/runs/2026-11-29/text_to_image-64.png')]
        """
        from comfykit_jupyter.client.results.save import save_outputs

        return save_outputs(self, path, overwrite=overwrite)

    def to_html(self, path: str | Path, megabytes: int = 500) -> Path:
        """Write the result as one self-contained HTML file: media in full, texts, values, seeds and the prompt.

        Args:
            path: The file; missing folders are created.
            megabytes: The most media that it may contain. What does not fit is listed by name.

        Returns:
            The path of the file.

        Raises:
            SettingsError: `megabytes` is not a number of megabytes.
            OSError: The file can't be written. An output that the server no longer has is listed, and not an error.

        Example:
            >>> result = kit.run("text.json")
            >>> result.to_html("/tmp/text.html")  # doctest: +SKIP
            PosixPath('/tmp/text.html')
        """
        from comfykit_jupyter.client.results.page import write_page

        return write_page(self, path, megabytes)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002
        from comfykit_jupyter.client.results.render import build_result_bundle

        return build_result_bundle(self)


def collect_outputs(result: ExecuteResult, state: RunState, names: Mapping[str, str], origin: Origin) -> None:
    """Fill a result with the outputs of a run, recognised by their shape and suffix.

    One odd entry never spoils the rest: what can't be understood is kept in `outputs` only.
    """
    result.outputs = {node: dict(output) for node, output in state.outputs.items()}
    for node, output in state.outputs.items():
        shown = state.display.get(node, node)
        var = names.get(node) or names.get(shown) or shown
        flags = output.get("animated")
        animated = isinstance(flags, (list, tuple)) and any(flags)
        for entry in _find_files(output):
            add_media(result, Media(origin, entry, node=shown, var=var, animated=animated))
        for text in _find_texts(output):
            add_text(result, text, var)


def add_media(result: ExecuteResult, media: Media) -> None:
    """Add an output file to a result, to the lists of its kind, too."""
    result.media.append(media)
    plural = KINDS[media.kind].plural
    getattr(result, plural).append(media)
    getattr(result, f"{plural}_by_var").setdefault(media.var, []).append(media)


def add_text(result: ExecuteResult, text: str, var: str) -> None:
    """Add an output text to a result; `var` is its name in the workflow."""
    result.texts.append(text)
    result.texts_by_var.setdefault(var, []).append(text)


def find_changed_values(
    params: Mapping[str, Any], seeds: Mapping[str, int], workflow: Workflow | None
) -> dict[str, Any]:
    """Return the values of a run that differ from the workflow's own, without its seeds."""
    values = {name: value for name, value in params.items() if name not in seeds}
    return {name: value for name, value in values.items() if not _is_same(value, _find_default(name, workflow))}


def _is_same(value: Any, default: Any) -> bool:
    """Whether two values are equal; a file to upload, such as an array, never equals a workflow's value."""
    return isinstance(value, (str, int, float, list, dict, tuple)) and bool(value == default)


def _find_default(name: str, workflow: Workflow | None) -> Any:
    try:
        return workflow.find_parameter(name).targets[0].default if workflow is not None else MISSING
    except ParameterError:
        return MISSING


def _find_files(output: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield everything that names a file, whatever its key."""
    for value in output.values():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, Mapping) and isinstance(item.get("filename"), str) and item["filename"]:
                yield item


def _find_texts(output: Mapping[str, Any]) -> Iterator[str]:
    for key in TEXT_KEYS:
        value = output.get(key)
        for item in value if isinstance(value, (list, tuple)) else [] if value is None else [value]:
            if not isinstance(item, Mapping):
                yield str(item)
