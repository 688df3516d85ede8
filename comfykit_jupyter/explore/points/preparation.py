"""Prepare a sweep: read its workflow, build its points, check all their values, and compute their keys."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, ServerError
from comfykit_jupyter.client.inputs.files import LocalFile
from comfykit_jupyter.client.inputs.media import read_media
from comfykit_jupyter.client.inputs.workflows import convert_workflow, read_workflow
from comfykit_jupyter.client.missing.model_files import ModelPlace, find_model_files, find_model_places
from comfykit_jupyter.explore.ledger.key import KeyMaker, compute_hash, draw_number
from comfykit_jupyter.explore.ledger.recorder import describe_remote_file, to_line
from comfykit_jupyter.explore.points.axes import Axis, Lora, Point, Replace, build_axes, build_points
from comfykit_jupyter.workflow.editor.dynamic_prompt import may_have_choices
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.lora_stack import Stack, set_strength
from comfykit_jupyter.workflow.loras import LOADERS, find_lora, has_loader, set_lora
from comfykit_jupyter.workflow.parameters.inputs import NodeInput, find_seed_bounds

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.backends.model_files import ModelFile
    from comfykit_jupyter.explore.ledger.ledger import Ledger
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Binding, Upload

LARGEST_SEED = 2**64 - 1
_YIELD_EVERY = 50
"""Points after which other work of the background loop gets its turn."""


@dataclass
class Prepared:
    """A sweep whose points are known.

    Attributes:
        workflow: The workflow, converted.
        server: The server.
        definitions: What the server says about its nodes.
        id: The ID of the sweep.
        axes: The axes.
        points: The points.
        values: What all points share, with the seeds and choices that were drawn.
        keys: The key of each point; "" for one whose values are wrong.
        models: The model files of each point.
        files: The size and date of these files now, as far as the server says them.
        problems: What is wrong with points, by index.
        away: Why the server could not be asked; "" if it could.
        salt: What was drawn comes from it.
        base: The values as they were given, as JSON.
        notes: What the plan has to say.
        loras: The server's names of the LoRAs that are varied, by those that the user gave.
        stacked: What the workflow's stack calls its LoRAs, by the server's names.
    """

    workflow: Workflow
    server: Backend
    definitions: Definitions
    id: str
    axes: tuple[Axis, ...]
    points: list[Point]
    salt: str
    base: dict[str, Any]
    notes: Sequence[str] = ()
    loras: dict[str, str] = field(default_factory=dict)
    stacked: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    models: list[tuple[str, ...]] = field(default_factory=list)
    files: dict[str, ModelFile] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    away: str = ""

    def group_points(self, *, by_choice: bool) -> list[tuple[str, ...]]:
        """Return what the points need that a server may lack: model files and, if wanted, choices that are varied."""
        names = {name for axis in self.axes for name in axis.names if by_choice and self._is_choice(name)}
        return [
            (*models, *(f"{name}={point.labels[name]}" for name in sorted(names)))
            for point, models in zip(self.points, self.models, strict=True)
        ]

    def _is_choice(self, name: str) -> bool:
        try:
            targets = self.workflow.find_parameter(name, self.definitions).targets
        except ParameterError:  # a LoRA that is inserted
            return False
        inputs = [NodeInput.find(self.workflow.prompt, each, self.definitions) for each in targets]
        return any(each.spec.choices is not None and each.spec.kind == "choice" for each in inputs)

    def bind(self, point: Point) -> Binding:
        """Put the values of a point into the workflow.

        Raises:
            ParameterError: A value does not fit.
        """
        binding = self.workflow.bind({**self.values, **point.values}, self.definitions)
        for axis, place in zip(self.axes, point.position, strict=True):
            if axis.lora:
                file, strength = self.loras[axis.lora], axis.labels[place][0]
                binding.prompt = set_lora(binding.prompt, file, strength, self.definitions)
                binding.params[axis.names[0]] = strength
        binding.loras = self.find_stack(point)
        return binding

    def find_stack(self, point: Point) -> Stack:
        """Return the stack of LoRAs of a point."""
        stack = self.workflow.stack
        for axis, place in zip(self.axes, point.position, strict=True):
            if axis.lora:
                file = self.loras[axis.lora]
                has_place = has_loader(self.workflow.prompt, file)
                name = self.stacked.get(file, axis.lora)
                stack = set_strength(stack, name, axis.labels[place][0], keep_place=has_place)
        return stack


class Salts:
    """What the drawn seeds of sweeps come from: the same in every kernel once a sweep was started."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._new: dict[str, str] = {}

    def find(self, id: str) -> str:  # noqa: A002 - as in the journal
        """Return the salt of a sweep."""
        entry = self._ledger.read().sweeps.get(id)
        return entry.salt if entry is not None and entry.salt else self._new.setdefault(id, uuid.uuid4().hex)


class Preparation:
    """Prepares a sweep.

    Args:
        source: A snapshot of the workflow.
        server: Where it runs.
        base: The values that all points share.
        over: The axes, as they were given.
        find_salt: Returns the salt of a sweep, by its ID.
        notes: What the plan has to say.
        kind: What it is besides a sweep, such as a search; a sweep with the same values has another ID.
    """

    def __init__(
        self,
        source: Any,
        server: Backend,
        base: Mapping[str, Any],
        over: Any,
        find_salt: Callable[[str], str],
        notes: Sequence[str] = (),
        kind: str = "",
    ) -> None:
        self._notes = notes
        self._kind = kind
        self._source = source
        self.server = server
        self._given = dict(base)
        self._base = self._given
        """The values that all points share, including the workflow's preset."""
        self.over = over
        """The axes, as they were given."""
        self._find_salt = find_salt
        self._digests: dict[Any, tuple[str, object]] = {}
        """What stands for each file, and the size and date that it had then."""

    async def prepare(self) -> Prepared:
        """Read the workflow, and bind all points. Sends nothing.

        Raises:
            ComfyKitError: The workflow can't be read, or an axis is not one.
        """
        self._digests = {mark: each for mark, each in self._digests.items() if each[1] == _read_state(mark)}
        workflow = await read_workflow(self._source, self.server)
        definitions: Definitions = {}
        away = ""
        try:
            workflow = await convert_workflow(workflow, self.server)
            more = LOADERS if self._varies_loras() else ()
            definitions = await self.server.get_definitions([*workflow.classes, *more])
        except ServerError as error:
            if not workflow.resolved:
                raise
            away = str(error)
        names = list(self.over) if isinstance(self.over, Mapping) else []
        varied = [name for name, each in self._list_axes() if not isinstance(each, Replace)]
        fitted = workflow.fit_preset([*self._given, *varied], definitions)
        self._base = {**fitted.values, **self._given}
        self._check_names(workflow, definitions, names)
        base = to_line(self._base)
        parts = [workflow.prompt, base]
        id_ = compute_hash([*parts, self._kind] if self._kind else parts)[:32]
        salt = self._find_salt(id_)
        axes = build_axes(
            self.over,
            lambda name: self._find_text(workflow, definitions, name),
            lambda name, count: _draw_seeds(workflow, definitions, salt, name, count),
        )
        paired = [name for axis in axes if axis.paired for name in axis.names]
        self._base = {n: value for n, value in self._base.items() if n in self._given or n not in paired}
        self._check_names(workflow, definitions, paired)
        notes = [*self._notes, *fitted.warnings, *(axis.note for axis in axes if axis.note)]
        prepared = Prepared(
            workflow, self.server, definitions, id_, axes, build_points(axes), salt, base, notes, away=away
        )
        for axis in axes:
            if axis.lora:
                file = prepared.loras[axis.lora] = find_lora(axis.lora, definitions)
                if not has_loader(workflow.prompt, file):
                    notes.append(f"{one_line(axis.names[0])}: a loader for {one_line(file)} is inserted")
        if prepared.loras:
            prepared.stacked = {find_lora(each.name, definitions): each.name for each in workflow.stack}
        prepared.values = self._draw(prepared)
        await self._bind_all(prepared)
        return prepared

    def _varies_loras(self) -> bool:
        return any(isinstance(each, Lora) for _, each in self._list_axes())

    def _list_axes(self) -> Iterable[tuple[Any, Any]]:
        return self.over.items() if isinstance(self.over, Mapping) else ()

    def _check_names(self, workflow: Workflow, definitions: Definitions, names: Sequence[str]) -> None:
        """Reject names that the workflow lacks, and names that are both an axis and a value."""
        # `replace` changes words of the value that is given.
        texts = {name for name, each in self._list_axes() if isinstance(each, Replace)}
        if both := [name for name in names if name in self._base and name not in texts]:
            raise ComfyKitError(f"{one_line(str(both[0]))} is an axis and a value: leave one of them out")
        loras = {name for name, each in self._list_axes() if isinstance(each, Lora)}
        mine = [name for name in names if name not in loras]
        unknown = workflow.find_unknown([*self._base, *mine], definitions)
        if unknown:
            raise ParameterError(list(unknown.values()))

    def _find_text(self, workflow: Workflow, definitions: Definitions, name: str) -> Any:
        if name in self._base:
            return self._base[name]
        return workflow.find_parameter(name, definitions).targets[0].default

    def _draw(self, prepared: Prepared) -> dict[str, Any]:
        """Return the shared values, with the seeds and choices that a single run would draw."""
        given = {**self._base, **prepared.points[0].values}
        drawn: list[int] = []

        def draw(low: int, high: int) -> int:
            drawn.append(draw_number(prepared.salt, "base", len(drawn), low, high))
            return drawn[-1]

        try:
            binding = prepared.workflow.bind(given, prepared.definitions, draw=draw)
        except ParameterError:
            return dict(self._base)  # each point says it
        varied = {name for axis in prepared.axes for name in axis.names}
        given_texts = [name for name, value in self._base.items() if isinstance(value, str) and may_have_choices(value)]
        texts = {name: binding.params[name] for name in given_texts}
        seeds = {name: seed for name, seed in binding.seeds.items() if name not in varied and seed in drawn}
        return {**self._base, **texts, **seeds}

    async def _bind_all(self, prepared: Prepared) -> None:
        keys = KeyMaker(prepared.workflow.prompt)
        places: set[ModelPlace] = set()
        for point in prepared.points:
            if point.index % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
            key: str = ""
            models: tuple[str, ...] = ()
            try:
                binding = prepared.bind(point)
                files = {(each.node_id, each.field): await self._describe_file(each) for each in binding.uploads}
                named = find_model_places(binding.prompt)
                places.update(named)
                key, models = keys.compute(binding.prompt, files), tuple(sorted({place.name for place in named}))
            except ComfyKitError as error:
                prepared.problems[point.index] = one_line(str(error), 500)
            prepared.keys.append(key)
            prepared.models.append(models)
        if places and not prepared.away:
            prepared.files = await find_model_files(self.server, places, fresh=True)

    async def _describe_file(self, needed: Upload) -> str:
        """Return what stands for a file in a key, and make sure that it can be read.

        Raises:
            ComfyKitError: It can't be read.
        """
        value = needed.value
        mark = (type(value), str(value)) if isinstance(value, (str, os.PathLike)) else id(value)
        if mark not in self._digests:
            state = _read_state(mark)
            source = await read_media(needed, self.server)
            try:
                if isinstance(source, LocalFile):
                    if needed.kind == "image":
                        await asyncio.to_thread(_check_image, source.content, needed)
                    found = f"sha256:{await asyncio.to_thread(source.compute_hash)}"
                else:
                    found = describe_remote_file(value, source)
            finally:
                source.remove()
            self._digests[mark] = found, state
        return self._digests[mark][0]


def _read_state(mark: Any) -> object:
    """Return the size and date of a file that is named; None for anything else."""
    try:
        state = Path(mark[1]).expanduser().stat() if isinstance(mark, tuple) else None
    except (OSError, ValueError, RuntimeError):  # a file of the server's, for example
        return None
    return None if state is None else (state.st_size, state.st_mtime_ns)


def _check_image(content: Path | bytes, needed: Upload) -> None:
    """Reject a file that is not an image, by its first bytes and checksums; the pixels are not decoded."""
    import io

    from comfykit_jupyter.client.results.images import describe_failure, open_image

    name = one_line(content.name) if isinstance(content, Path) else "it"
    try:
        with open_image(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            image.verify()
    except (ValueError, OSError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        raise ComfyKitError(
            f"{one_line(needed.parameter)}: {name} can't be read as an image: {describe_failure(error)}"
        ) from None


def _draw_seeds(workflow: Workflow, definitions: Definitions, salt: str, name: str, count: int) -> Sequence[int]:
    """Return the first seeds drawn for a parameter, within the bounds of its inputs."""
    targets = workflow.find_parameter(name, definitions).targets
    inputs = [NodeInput.find(workflow.prompt, each, definitions) for each in targets]
    if not any(each.is_seed(name) for each in inputs):
        raise ComfyKitError(f"{one_line(name)}: seeds({count}) is only for seeds, and this parameter is not a seed")
    low, high = find_seed_bounds([each.spec for each in inputs]) if definitions else (0, LARGEST_SEED)
    if high - low + 1 < count:
        raise ComfyKitError(f"{one_line(name)}: there are only {high - low + 1} seeds from {low} to {high}")
    found: dict[int, None] = {}
    index = 0
    while len(found) < count:
        found[draw_number(salt, f"seeds:{name}", index, low, high)] = None
        index += 1
    return list(found)


def describe_axis(axis: Axis) -> dict[str, Any]:
    """Return an axis as a line of the journal has it: names and labels."""
    labels = [list(to_line({str(index): each for index, each in enumerate(found)}).values()) for found in axis.labels]
    return {"names": list(axis.names), "labels": labels}


def describe_label(label: Any) -> str:
    """Return what a grid says of a value: short, in one line."""
    return one_line(label, 80) if isinstance(label, str) else short_repr(label, 40)
