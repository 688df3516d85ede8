"""`Row`: one run that was kept."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.model_files import ModelFile
from comfykit_jupyter.client.errors import ComfyKitError, WorkflowError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.results.result import ExecuteResult, add_media, add_text
from comfykit_jupyter.client.results.single import SingleOutputs
from comfykit_jupyter.explore.ledger.entries import RunEntry
from comfykit_jupyter.explore.rows.origin import build_media, is_found_file_there
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.lora_stack import Stack, read_rows, to_plain
from comfykit_jupyter.workflow.media_kinds import KINDS, find_format
from comfykit_jupyter.workflow.progress.state import RunError
from comfykit_jupyter.workflow.tables import align_left

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.ledger import Ledger


class Row(SingleOutputs):
    """One run that was kept: what it was given, what came out, and your marks. It is always up to date.

    Attributes:
        id: The run's own ID.

    Example:
        row = kit.runs[0]
        row.params["cfg"], row.image
        row.star = True
        row.rating = 4
        row.tags |= {"cover"}
        row.note = "hands"
    """

    __slots__ = ("_ledger", "id")

    def __init__(self, ledger: Ledger, id: str) -> None:  # noqa: A002 - as in Run
        self._ledger = ledger
        self.id = id

    def __repr__(self) -> str:
        entry = self._entry
        took = "" if entry.seconds is None else f" in {entry.seconds:.1f} s"
        why = f": {one_line(entry.error, 200)}" if entry.error else ""
        return f"<Row {self.id[:8]} {one_line(entry.name) or 'workflow'} {self.status}{took}{why}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def _entry(self) -> RunEntry:
        entry = self._ledger.read().runs.get(self.id)
        if entry is None:
            raise ComfyKitError(f"the run {self.id[:8]} was forgotten")
        return entry

    # -- what it was given ---------------------------------------------------------------------------------------------

    @property
    def at(self) -> datetime | None:
        """When it was sent, in UTC."""
        return parse_time(self._entry.at)

    @property
    def workflow_name(self) -> str:
        """Name of the workflow."""
        return self._entry.name

    @property
    def params(self) -> dict[str, Any]:
        """The values, by parameter name; a file is its name."""
        return dict(self._entry.params)

    @property
    def seeds(self) -> dict[str, int]:
        """The values that are seeds, by name."""
        return dict(self._entry.seeds)

    @property
    def loras(self) -> dict[str, Any]:
        """The stack of LoRAs, as `with_loras` accepts it."""
        return to_plain(self._stack)

    @property
    def _stack(self) -> Stack:
        try:
            return read_rows(self._entry.loras)
        except WorkflowError:  # edited by hand
            return ()

    @property
    def prompt(self) -> dict[str, Any]:
        """The API-format graph that was sent.

        Raises:
            ComfyKitError: Its template is no longer in the folder.
        """
        prompt = self._ledger.build_prompt(self._entry)
        if prompt is None:
            raise ComfyKitError(
                f"the workflow of the run {self.id[:8]} is no longer in {one_line(str(self._ledger.folder))}"
            )
        return prompt

    @property
    def workflow(self) -> Workflow:
        """The workflow with the values and the stack of LoRAs that were sent, as for `kit.form(row.workflow)`.

        Raises:
            ComfyKitError: Its template is no longer in the folder.
        """
        entry = self._entry
        workflow = Workflow.parse(self.prompt, name=entry.name or "workflow")
        return workflow.restore_stack(self._stack, entry.inserted) if entry.loras else workflow

    @property
    def server(self) -> str:
        """Address of the server or cloud."""
        return self._entry.server

    @property
    def prompt_id(self) -> str:
        """The server's ID of the job."""
        return self._entry.prompt_id or self.id

    @property
    def sweep(self) -> str:
        """The ID of the sweep that it belongs to; "" if it is a single run."""
        return self._entry.sweep

    @property
    def key(self) -> str:
        """Equal for two runs that a server would compute alike."""
        return self._entry.key

    @property
    def models(self) -> dict[str, ModelFile]:
        """The model files that it used, with their `size` and `modified`, as far as the server says them."""
        pairs = ((name, ModelFile.parse(value)) for name, value in self._entry.models.items())
        return {name: file for name, file in pairs if file is not None}

    # -- what came out -------------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """The status: `sent` (its end is not known), `completed`, `failed`, `cancelled`, or `lost`: no file is left."""
        entry = self._entry
        if entry.found and entry.status == "completed":
            return "completed" if is_found_file_there(entry) else "lost"
        if entry.status != "completed" or not any(output.name for output in entry.outputs):
            return entry.status
        is_lost = entry.kept and not any(self._ledger.is_kept(each.hash) for each in entry.outputs if each.name)
        return "lost" if is_lost else "completed"

    @property
    def error(self) -> str:
        """Why it failed, in one line."""
        return self._entry.error

    @property
    def seconds(self) -> float | None:
        """Seconds that the server executed it."""
        return self._entry.seconds

    @property
    def waited(self) -> float | None:
        """Seconds that it waited in the queue."""
        return self._entry.waited

    @property
    def media(self) -> list[Media]:
        """All files that it produced."""
        entry = self._entry
        return [build_media(self._ledger.store, each, entry.found) for each in entry.outputs if each.name]

    @property
    def images(self) -> list[Media]:
        """The images."""
        return [media for media in self.media if media.kind == "image"]

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [output.text for output in self._entry.outputs if output.text is not None]

    @property
    def result(self) -> ExecuteResult:
        """The result, as the run returned it; its files come from the folder of the runs."""
        entry = self._entry
        result = ExecuteResult(
            status="completed" if entry.status == "completed" else "failed",
            prompt_id=self.prompt_id,
            msg=entry.error or None,
            error=RunError(entry.kind, entry.error) if entry.error else None,
            params=self.params,
            seeds=self.seeds,
            loras=self.loras,
            prompt=self._ledger.build_prompt(entry) or {},
            seconds=entry.seconds,
            waited=entry.waited,
            workflow_name=entry.name,
            server=entry.server,
            server_version=entry.version or None,
        )
        for media in self.media:
            add_media(result, media)
        for output in entry.outputs:
            if output.text is not None:
                add_text(result, output.text, output.var)
        return result

    def _get_result(self) -> ExecuteResult:
        return self.result

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Save all outputs, as `ExecuteResult.save` does.

        Args:
            path: A folder, or a pattern such as `best/{cfg}-{seed}.png`.
            overwrite: Whether older files are replaced.
        """
        return self.result.save(path, overwrite=overwrite)

    # -- marks ---------------------------------------------------------------------------------------------------------

    @property
    def star(self) -> bool:
        """Whether it has a star."""
        return bool(self._get_mark("star"))

    @star.setter
    def star(self, value: bool) -> None:
        self._ledger.mark(self.id, {"star": value})

    @property
    def rejected(self) -> bool:
        """Whether it was rejected."""
        return bool(self._get_mark("rejected"))

    @rejected.setter
    def rejected(self, value: bool) -> None:
        self._ledger.mark(self.id, {"rejected": value})

    @property
    def rating(self) -> int:
        """The rating, 1 to 5; 0 for none."""
        value = self._get_mark("rating")
        return value if isinstance(value, int) else 0

    @rating.setter
    def rating(self, value: int) -> None:
        self._ledger.mark(self.id, {"rating": value})

    @property
    def note(self) -> str:
        """Your note."""
        return str(self._get_mark("note") or "")

    @note.setter
    def note(self, value: str) -> None:
        self._ledger.mark(self.id, {"note": value})

    @property
    def score(self) -> float | None:
        """Your score, a number; `Sweep.score` sets it for all points. None if there is none."""
        value = self._get_mark("score")
        return None if value is None else float(value)

    @score.setter
    def score(self, value: float) -> None:
        self._ledger.mark(self.id, {"score": value})

    @property
    def tags(self) -> frozenset[str]:
        """Tags: `row.tags |= {"cover"}` adds one, `row.tags -= {"cover"}` removes it."""
        return frozenset(self._ledger.get_marks(self.id).tags)

    @tags.setter
    def tags(self, value: Iterable[str]) -> None:
        if isinstance(value, str):
            raise ComfyKitError(f"tags are a set: {{{short_repr(value)}}}")
        wanted, now = frozenset(value), self.tags
        self._ledger.mark(self.id, add_tags=sorted(wanted - now), remove_tags=sorted(now - wanted))

    @property
    def picked(self) -> bool:
        """Whether it is starred and not rejected."""
        return self._ledger.get_marks(self.id).picked

    def _get_mark(self, name: str) -> Any:
        return self._ledger.get_marks(self.id).values.get(name)

    # -- in a cell -----------------------------------------------------------------------------------------------------

    def find_image(self) -> Path | bytes | None:
        """Return the file of the first image or video, else its thumbnail; None if there is neither."""
        entry = self._entry
        if entry.found:
            return Path(entry.found)
        for output in entry.outputs:
            if output.hash and KINDS[find_format(output.name)[0]].has_thumbnail:
                found = self._ledger.store.find(output.hash) or self._ledger.store.get_thumbnail(output.hash)
                if found is not None:
                    return found
        return None

    def build_thumbnail(self) -> bytes | None:
        """Return a WebP image of the first output that has one."""
        entry = self._entry
        for output in entry.outputs:
            if output.hash and (small := self._ledger.store.get_thumbnail(output.hash)) is not None:
                return small
        return self._ledger.store.get_thumbnail_of(Path(entry.found), self.id) if entry.found else None

    def _repr_html_(self) -> str:
        import base64

        small = self.build_thumbnail()
        image = ""
        if small is not None:
            data = base64.b64encode(small).decode()
            image = f'<img src="data:image/webp;base64,{data}" alt="">'
        values = "".join(
            f"<tr><th>{align_left(html.escape(one_line(name)))}</th>"
            f"<td>{align_left(html.escape(one_line(str(value), 200)))}</td></tr>"
            for name, value in self.params.items()
        )
        return f"<div>{html.escape(repr(self))}</div>{image}<table>{values}</table>"


def parse_time(text: str) -> datetime | None:
    """Return a time of the journal; None if it is not one."""
    try:
        found = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
        found = found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
        return found if 1 < found.year < 9999 else None  # it may be converted into any time zone
    except ValueError:
        return None


def find_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the inputs in which two prompts differ, by `node.input`, with both values; None where one has none."""
    found: dict[str, tuple[Any, Any]] = {}
    for node_id in dict.fromkeys([*one, *other]):
        mine, theirs = one.get(node_id, {}), other.get(node_id, {})
        if mine.get("class_type") != theirs.get("class_type"):
            found[node_id] = (mine.get("class_type"), theirs.get("class_type"))
            continue
        left, right = mine.get("inputs", {}), theirs.get("inputs", {})
        for name in dict.fromkeys([*left, *right]):
            if left.get(name) != right.get(name):
                found[f"{node_id}.{name}"] = (left.get(name), right.get(name))
    return found
