"""Save outputs as files of the user's: none replaces another, unless asked to."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import copy_file
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.file_names import fill_pattern, find_pattern_suffix, to_safe_name
from comfykit_jupyter.workflow.media_kinds import find_format

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult


def save_outputs(result: ExecuteResult, path: str | Path, *, overwrite: bool, folder: Path | None = None) -> list[Path]:
    """Save the outputs of a result and return their paths; see `ExecuteResult.save`.

    Args:
        result: The result.
        path: A folder or a pattern.
        overwrite: Whether older files are replaced.
        folder: The folder that `path` is in. Braces in its name are not part of the pattern.
    """
    outputs = [media for media in result.media if not media.temp] or result.media
    if not outputs:
        raise ComfyKitError(f"there is nothing to save: this run has {'no outputs' if not result.msg else result.msg}")
    targets = _name_outputs(result, outputs, path, folder)  # all of them first: a wrong name leaves no file
    saved: list[Path] = []
    for media, target in zip(outputs, targets, strict=True):
        saved.append(copy_file(media.path, target, overwrite=overwrite, taken=saved))
    return saved


def _name_outputs(result: ExecuteResult, outputs: list[Media], path: str | Path, folder: Path | None) -> list[Path]:
    """Return where each output goes, from a folder or a pattern."""
    root = Path() if folder is None else folder
    pattern = Path(path).expanduser().as_posix() if folder is None else Path(path).as_posix().lstrip("/")
    if (root / pattern).is_dir():  # braces in the name of an existing folder are not a pattern
        return [root / pattern / to_safe_name(media.name) for media in outputs]
    in_folder = str(path).endswith(("/", "\\"))
    wanted = None if in_folder else find_pattern_suffix(pattern)
    values = collect_pattern_values(result, result.prompt_id or "", datetime.now().astimezone())
    targets = []
    for index, media in enumerate(outputs, 1):
        name = to_safe_name(media.name)
        suffix = Path(name).suffix
        if wanted not in (None, ".{ext}") and find_format(f"x{wanted}")[1].mime != media.mime:
            advice = "leave the suffix out, or write .{ext}"
            raise ComfyKitError(f"{short_repr(pattern, 200)}: {one_line(name)} is not a {wanted} file: {advice}")
        own = {"index": index, "var": media.var, "kind": media.kind, **values, "ext": suffix.removeprefix(".")}
        target = root / fill_pattern(pattern, own, "" if in_folder else suffix)
        targets.append(target / name if in_folder else target)
    return targets


def collect_pattern_values(result: ExecuteResult, id: str, at: datetime) -> dict[str, Any]:  # noqa: A002 - as in patterns
    """Return what a pattern can name: the values of the run win over the words that every run has.

    Args:
        result: The result of the run.
        id: What `{id}` stands for.
        at: The time that `{date}` and `{time}` are of, in the zone of this machine.
    """
    words: dict[str, Any] = {
        "date": f"{at:%Y-%m-%d}",
        "time": f"{at:%H-%M-%S}",
        "workflow": result.workflow_name or "workflow",
        "id": id,
    }
    seeds = [*result.seeds.values()] or [*_find_fixed_seeds(result.prompt)]
    if len(set(seeds)) == 1:
        words["seed"] = seeds[0]
    params = {name: value.name if isinstance(value, (Media, Path)) else value for name, value in result.params.items()}
    return {**words, **params}


def _find_fixed_seeds(prompt: dict[str, Any]) -> list[int]:
    """Return the seeds of a prompt that are not parameters."""
    inputs = [node["inputs"] for node in prompt.values()]
    found = [each.get(name) for each in inputs for name in ("seed", "noise_seed")]
    return [seed for seed in found if isinstance(seed, int)]
