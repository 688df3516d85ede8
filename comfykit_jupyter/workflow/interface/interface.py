"""Build the interface of a workflow without parameters in titles: its inputs in order, with labels and headings.

It is what the author shows: the workflow's app, or else the widgets on subgraphs. Among them are the inputs of the
other outermost nodes that most people want to change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.interface.app_mode import AppWidget, Place, find_app_inputs, find_instances
from comfykit_jupyter.workflow.interface.links import Consumers
from comfykit_jupyter.workflow.interface.suggestions import rank_input, suggest_inputs
from comfykit_jupyter.workflow.interface.words import split_class, to_label, to_name, to_words, unwrap_type
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.nodes import Definitions
from comfykit_jupyter.workflow.parameters.inputs import NodeInput
from comfykit_jupyter.workflow.parameters.parameter import build_target

_MAX_INPUTS = 100
"""Maximum number of inputs that are offered: a longer form would not help."""
_MAX_TITLE = 120
_DEPTH = 4
"""How many links away nodes may be that distinguish two nodes of the same title."""
_UNRANKED = 4
_PROMPT = "Prompt"
_NEGATIVE = "Negative prompt"
_TEXTS = frozenset({"text", "prompt", "string", "value", "positive", "negative"})
_VAGUE = frozenset(
    {
        "Value", "Any", "Source", "Switch", "On true", "On false", "Input", "A", "B", "C", "Values", "Positive",
        "Negative", "Conditioning", "Latent image", "Latent", "Samples", "Pixels", "Model", "CLIP", "Guider", "Noise",
        "Sigmas",
    }
)  # fmt: skip
"""Labels that say nothing of what a value is for."""
_CLEAR = frozenset({"Seed", "Steps", "CFG", "FPS", "Megapixels", "Aspect ratio", "Text encoder", "Diffusion model"})
"""Labels that need no heading."""


@dataclass
class Row:
    """One input of the interface, under construction.

    Attributes:
        places: The inputs of the prompt that it sets, as (node ID, name).
        block: The node that it belongs to in the form: the node itself, or the outermost subgraph around it.
        title: The title of that node.
        label: What a form calls it.
        name: What Python calls it.
        heading: What stands over it and the other rows of its node; "" if its label says enough.
        alias: The name that it had in an app in earlier versions.
        alone: Whether it stands for its whole node, as the value of a primitive node does.
    """

    places: tuple[Place, ...]
    block: str
    title: str
    label: str
    name: str = ""
    heading: str = ""
    alias: str = ""
    alone: bool = False
    order: tuple[int, int] = field(default=(0, 0))


def build_interface(
    prompt: Mapping[str, Any],
    editor: Mapping[str, Any] | None,
    titles: Mapping[str, str],
    definitions: Definitions | None,
) -> list[Row]:
    """Return the rows of a workflow's interface, in order. Never raises for what an author did.

    Args:
        prompt: The nodes in API format.
        editor: The graph in editor format, if there is one.
        titles: The titles of the nodes of the prompt, without markers.
        definitions: The server's node definitions, if they are known.
    """
    return _Builder(prompt, editor, titles, definitions or {}).build()


class _Builder:
    def __init__(
        self,
        prompt: Mapping[str, Any],
        editor: Mapping[str, Any] | None,
        titles: Mapping[str, str],
        definitions: Definitions,
    ) -> None:
        self.prompt = prompt
        self.editor = editor
        self.titles = titles
        self.definitions = definitions
        self.consumers = Consumers(prompt)

    def build(self) -> list[Row]:
        instances = find_instances(self.editor, self.prompt) if self.editor is not None else {}
        rows = list(self._iter_app_rows(instances))
        if not rows:
            rows = self._sort(self._iter_rows(instances)) or self._sort(self._iter_rows({}))
        rows = rows[:_MAX_INPUTS]
        self._name_headings(rows)
        self._distinguish_labels(rows)
        _set_names(rows)
        return rows

    # -- which, and in which order -------------------------------------------------------------------------------------

    def _iter_app_rows(self, instances: Mapping[str, list[AppWidget]]) -> Iterator[Row]:
        shown = find_app_inputs(self.editor, self.prompt) if self.editor is not None else []
        counts = Counter(each.widget for each in shown)
        labelled = {each.places: each for many in instances.values() for each in many}
        for each in shown:
            yield self._build_widget_row(
                labelled.get(each.places, each), alias=each.widget if counts[each.widget] == 1 else ""
            )

    def _iter_rows(self, instances: Mapping[str, list[AppWidget]]) -> Iterator[Row]:
        for shown in instances.values():
            rows = [self._build_widget_row(each) for each in shown]
            rank = min((self._rank(row.places[0]) for row in rows), default=(0, 0))
            for row in rows:
                row.order = rank
                yield row
        set_elsewhere = {place for many in instances.values() for each in many for place in each.places}
        suggested = [
            each
            for each in suggest_inputs(self.prompt, self.definitions)
            if each[1].partition(":")[0] not in instances and each[1:] not in set_elsewhere
        ]
        best: dict[str, tuple[int, int]] = {}
        for _, id_, name in suggested:
            best[id_] = min(best.get(id_, (9, 9)), self._rank((id_, name)))
        for _, id_, name in sorted(suggested, key=lambda each: self._find_position(each[1], each[2])):
            row = self._build_row(((id_, name),), id_, self._get_title(id_))
            row.order = best[id_]
            yield row

    def _sort(self, rows: Iterable[Row]) -> list[Row]:
        """Return rows grouped by node, in order of the first row of each."""
        blocks: dict[str, list[Row]] = {}
        for row in rows:
            blocks.setdefault(row.block, []).append(row)
        return [row for block in sorted(blocks.values(), key=lambda block: block[0].order) for row in block]

    def _rank(self, place: Place) -> tuple[int, int]:
        """Return how early an input comes, by its purpose; a negative prompt comes after the others."""
        found = self._find_input(place)
        rank = rank_input(found, self.prompt[place[0]]["class_type"])
        side = 1 if rank == 1 and self.consumers.find_polarity(place[0])[0] == "negative" else 0
        return (_UNRANKED if rank is None else rank, side)

    def _find_position(self, id_: str, name: str) -> int:
        """Return the place of an input among the inputs of its node."""
        names = list(self.prompt[id_]["inputs"])
        return names.index(name) if name in names else len(names)

    def _find_input(self, place: Place) -> NodeInput:
        return NodeInput.find(self.prompt, build_target(self.prompt, *place), self.definitions or None)

    # -- what they are called ------------------------------------------------------------------------------------------

    def _build_widget_row(self, shown: AppWidget, alias: str = "") -> Row:
        block = shown.node_id if shown.instance or shown.primitive else shown.places[0][0]
        title = shown.title if shown.instance else self._get_title(shown.places[0][0])
        row = self._build_row(shown.places, block, title)
        row.alias = alias
        row.alone = shown.primitive or (row.alone and not shown.instance)
        if shown.label:
            dotted = "." in shown.label and " " not in shown.label  # the name of a nested input
            row.label = one_line(to_label(shown.label) if dotted else to_words(shown.label), _MAX_TITLE)
        return row

    def _build_row(self, places: tuple[Place, ...], block: str, title: str) -> Row:
        id_, name = places[0]
        class_type: str = self.prompt[id_]["class_type"]
        label, alone = self._find_label(id_, name, class_type)
        return Row(places, block, one_line(title, _MAX_TITLE), one_line(label, _MAX_TITLE), alone=alone)

    def _find_label(self, id_: str, name: str, class_type: str) -> tuple[str, bool]:
        """Return the label of an input, and whether it stands for its node."""
        lone = name == "value" and class_type.startswith("Primitive")
        if lone and self._has_own_title(id_):
            return to_words(unwrap_type(self.titles[id_])), True
        media = self._find_input((id_, name)).media
        if media in MEDIA_KINDS and media != "file":
            title = self.titles[id_].removeprefix("Load ") if self._has_own_title(id_) else ""
            return (to_words(title), True) if title else (str(media).capitalize(), True)
        if name.rpartition(".")[2] in _TEXTS and self._find_input((id_, name)).spec.kind == "text":
            side, conditions = self.consumers.find_polarity(id_)
            if side == "negative" and not name.startswith("positive"):
                return _NEGATIVE, lone
            if (side or conditions) and not lone:
                return _PROMPT, False
        if lone:
            return self._find_purpose(id_) or to_words(unwrap_type(self._get_title(id_))), True
        return to_label(name, class_type), False

    def _find_purpose(self, id_: str) -> str:
        """Return the label of what a value is for: of the first input that it feeds and that says something."""
        for level in self.consumers.iter_levels(id_, _DEPTH):
            for consumer, name in level:
                label = to_label(name, self.prompt[consumer]["class_type"])
                if label.rstrip(" 0123456789") not in _VAGUE:
                    return label
        return ""

    def _has_own_title(self, id_: str) -> bool:
        """Return whether the author gave a node a title: the editor writes the name of its class otherwise."""
        class_type = self.prompt[id_]["class_type"]
        definition = self.definitions.get(class_type)
        usual = {class_type, definition.display_name if definition is not None else class_type, ""}
        return self.titles.get(id_, "") not in usual

    def _get_title(self, id_: str) -> str:
        class_type: str = self.prompt[id_]["class_type"]
        definition = self.definitions.get(class_type)
        title = self.titles.get(id_) or (definition.display_name if definition is not None else class_type)
        return split_class(title) if title == class_type else title

    # -- headings ------------------------------------------------------------------------------------------------------

    def _name_headings(self, rows: list[Row]) -> None:
        """Give each node its own heading; none where a single row says it all and no other row says the same."""
        sizes = Counter(row.block for row in rows)
        plain = [row for row in rows if row.alone or (sizes[row.block] == 1 and _says_enough(row))]
        labels = Counter(row.label.casefold() for row in rows)
        bare = {id(row) for row in plain if labels[row.label.casefold()] == 1 or row.alone}
        headed = [row for row in rows if id(row) not in bare]
        titles = self._distinguish({row.block: row.title for row in headed})
        for row in headed:
            row.heading = titles[row.block]
        twins = [row for row in rows if id(row) in bare and labels[row.label.casefold()] > 1]
        names = self._distinguish({row.block: row.label for row in twins})
        for row in twins:
            row.label = names[row.block]
        _sort_numbered(twins, rows)

    def _distinguish(self, titles: dict[str, str]) -> dict[str, str]:
        """Return titles by node, none twice: equal ones with what their nodes feed, or with a number."""
        groups: dict[str, list[str]] = {}
        for block, title in titles.items():
            groups.setdefault(title.casefold(), []).append(block)
        named = dict(titles)
        for blocks in groups.values():
            if len(blocks) > 1:
                fed = self._find_feeds(blocks)
                for number, block in enumerate(blocks, 1):
                    named[block] = _join(titles[block], fed[block]) if fed else f"{titles[block]} {number}"
        return named

    def _find_feeds(self, blocks: list[str]) -> dict[str, str]:
        """Return what distinguishes nodes: titles of the nodes that they feed, or the inputs there; else nothing."""
        if not all(block in self.prompt for block in blocks):
            return {}
        levels = {block: list(self.consumers.iter_levels(block, _DEPTH)) for block in blocks}
        for depth in range(_DEPTH):
            if not all(len(each) > depth for each in levels.values()):
                return {}
            for describe in (self._describe_input, self._describe_node) if depth == 0 else (self._describe_input,):
                found = _choose_distinct({block: map(describe, each[depth]) for block, each in levels.items()})
                if found:
                    return found
        return {}

    def _describe_node(self, end: Place) -> str:
        return self._get_title(end[0])

    def _describe_input(self, end: Place) -> str:
        label = to_label(end[1], self.prompt[end[0]]["class_type"])
        return "" if label.rstrip(" 0123456789") in _VAGUE else label

    def _distinguish_labels(self, rows: list[Row]) -> None:
        """Distinguish equal labels under one heading by the title of the node, the input's name, or a number."""
        ways: tuple[Callable[[Row], str], ...] = (
            lambda row: self._get_title(row.places[0][0]),
            lambda row: to_label(row.places[0][1], self.prompt[row.places[0][0]]["class_type"]),
            lambda row: to_words(row.places[0][1].replace(".", "_")),
        )
        for group in _find_equal(rows):
            for describe in ways:
                more = [describe(row) for row in group]
                if len({each.casefold() for each in more}) == len(group):
                    for row, each in zip(group, more, strict=True):
                        row.label = row.label if each.casefold() == row.label.casefold() else f"{row.label} ({each})"
                    break
            else:
                for number, row in enumerate(group, 1):
                    row.label = f"{row.label} {number}"


def _join(title: str, fed: str) -> str:
    """Return a title with what its node feeds: "Load Image → Sampler", or "Image 1" for an image that feeds that."""
    return fed if title.casefold() in fed.casefold().split() else f"{title} → {fed}"


def _sort_numbered(twins: list[Row], rows: list[Row]) -> None:
    """Sort rows that differ only in a number, such as "Image 1", by the numbers."""
    groups: dict[str, list[Row]] = {}
    for row in twins:
        stem, _, number = row.label.rpartition(" ")
        if number.isdecimal():
            groups.setdefault(stem, []).append(row)
    for group in groups.values():
        places = [index for index, row in enumerate(rows) if any(row is each for each in group)]
        for index, row in zip(places, sorted(group, key=lambda row: int(row.label.rpartition(" ")[2])), strict=True):
            rows[index] = row


def _says_enough(row: Row) -> bool:
    """Return whether a label says all that the title of its node does, or more."""
    if row.label in (_PROMPT, _NEGATIVE) or row.label in _CLEAR:
        return True
    words = row.title.casefold().replace("(", " ").replace(")", " ").split()
    return all(word in words for word in row.label.casefold().split())


def _choose_distinct(found: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return the first unique text of each key; nothing if a key has none."""
    texts = {key: list(dict.fromkeys(each for each in many if each)) for key, many in found.items()}
    counts = Counter(text for many in texts.values() for text in many)
    chosen = {key: next((text for text in many if counts[text] == 1), "") for key, many in texts.items()}
    return chosen if all(chosen.values()) else {}


def _find_equal(rows: list[Row]) -> list[list[Row]]:
    """Return the groups of rows with the same heading and label."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.heading.casefold(), row.label.casefold()), []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def _set_names(rows: list[Row]) -> None:
    """Name each row after its label, with its heading in front where two have the same."""
    labels = [to_name(row.label) or to_name(row.places[0][1]) or "input" for row in rows]
    counts = Counter(labels)
    taken: set[str] = set()
    for row, label in zip(rows, labels, strict=True):
        heading = to_name(row.heading or row.title)
        name = label if counts[label] == 1 or not heading else f"{heading}.{label}"
        number = 2
        row.name = name
        while row.name in taken:
            row.name = f"{name}_{number}"
            number += 1
        taken.add(row.name)
