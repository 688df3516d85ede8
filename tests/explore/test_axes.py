"""Test what is an axis, its points, and what is refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter import ComfyKitError, lora, replace, seeds, wildcards
from comfykit_jupyter.explore.points.axes import Axis, build_axes, build_points
from comfykit_jupyter.explore.points.notation import parse_axis
from comfykit_jupyter.explore.sweeps.inputs import find_inputs


def build(over: Any) -> tuple[Axis, ...]:
    def draw(_name: str, count: int) -> Sequence[int]:
        return range(100, 100 + count)

    return build_axes(over, {"prompt": "a fox and a fox"}.get, draw)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.lists(st.integers(), min_size=1, max_size=4, unique=True),
        min_size=1,
        max_size=3,
    )
)
def test_points_are_all_combinations_in_order(over: dict[str, list[int]]) -> None:
    points = build_points(build(over))
    assert [tuple(point.values.values()) for point in points] == list(itertools.product(*over.values()))
    assert [point.index for point in points] == list(range(math.prod(map(len, over.values()))))
    assert all(point.labels == point.values for point in points)


def test_every_kind_of_axis() -> None:
    assert [each["seed"] for each in build({"seed": seeds(2)})[0].values] == [100, 101]
    assert [each["prompt"] for each in build({"prompt": replace("fox", ["fox", "cat"])})[0].values] == [
        "a fox and a fox",
        "a cat and a cat",
    ]
    axis = build({"style": lora("style", [0, 0.5])})[0]
    assert (axis.lora, axis.labels) == ("style", ((0.0,), (0.5,)))
    assert len(build({"cfg": range(3)})[0]) == 3


def test_a_table_has_one_point_for_each_row() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"prompt": ["a", "b"], "steps": [4, None], "seed": [2**63 + 1, 2]})
    points = build_points(build(frame))
    assert [dict(point.values) for point in points] == [
        {"prompt": "a", "steps": 4.0, "seed": 2**63 + 1},
        {"prompt": "b", "seed": 2},  # NA keeps the workflow's own value
    ]
    assert [dict(each.values) for each in build_points(build([{"a": 1}, {"b": 2}]))] == [{"a": 1}, {"b": 2}]


def test_duplicates_count_once_and_are_said() -> None:
    axis = build({"cfg": [3, 3.0, True, 1, 3]})[0]
    assert [each["cfg"] for each in axis.values] == [3, True, 1]
    assert axis.note == "cfg: 2 duplicates left out"


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"sampler": "euler"}, r"sampler: an axis is a list: \['euler'\]"),
        ({"seed": 8}, r"seed: an axis is a list: \[8\], or seeds\(8\)"),
        ({"cfg": []}, "cfg: the axis is empty"),
        ({"cfg": itertools.count()}, "cfg: the axis has more than 100,000 values"),
        ({"cfg": [1, math.nan]}, "cfg: NaN is not a value"),
        ({"a": range(1000), "b": range(1000)}, "1,000,000 points are more than 100,000"),
        ({}, "there is no axis"),
        ([], "the table has no rows"),
        ("cfg", "give a dict of lists"),
        ({3: [1]}, "an axis is named by a parameter"),
        ({"prompt": replace("dog", ["cat"])}, "'dog' is not in its text"),
    ],
)
def test_what_is_no_axis_is_refused(over: Any, message: str) -> None:
    with pytest.raises(ComfyKitError, match=message):
        build(over)


def test_wrong_arguments_are_refused_where_they_stand() -> None:
    for wrong in (
        lambda: seeds(0),
        lambda: seeds(True),
        lambda: replace("", ["x"]),
        lambda: replace("x", "abc"),
        lambda: lora("x", ["much"]),  # type: ignore[list-item]
        lambda: lora("x", [10**400]),
        lambda: lora("", [1]),
        lambda: wildcards(""),
    ):
        with pytest.raises(ComfyKitError):
            wrong()


def test_wildcards_stand_for_all_their_texts(tmp_path: Path) -> None:
    (tmp_path / "animals.txt").write_text("# animals\nfox\n\n{big|small} cat\n")
    texts = [
        each["prompt"] for each in build({"prompt": wildcards("a {red|blue} __animals__ {x}", tmp_path)})[0].values
    ]
    assert texts == [f"a {c} {a} {{x}}" for c in ("red", "blue") for a in ("fox", "big cat", "small cat")]
    (tmp_path / "again.txt").write_text("__again__\n")
    for template, message in (
        ("__again__", "nested more than"),
        ("__nothing__", "there is no file .*there are again, animals"),
        ("{a|b}" * 20, "more than 100,000 texts"),
    ):
        with pytest.raises(ComfyKitError, match=message):
            build({"prompt": wildcards(template, tmp_path)})


def test_ranges_are_exact() -> None:
    assert parse_axis("seed", "12345678901..12345678903", "seed") == ["12345678901", "12345678902", "12345678903"]
    largest = 2**64 - 1
    assert parse_axis("seed", f"{largest - 1}..{largest}", "seed") == [str(largest - 1), str(largest)]
    assert parse_axis("cfg", "0.1..0.4:0.1", "number") == ["0.1", "0.2", "0.3", "0.4"]
    assert parse_axis("cfg", "-1..0:0.5", "number") == ["-1", "-0.5", "0"]
    with pytest.raises(ComfyKitError, match="has more than 100,000 values"):
        parse_axis("cfg", f"1..{'9' * 400}", "number")
    with pytest.raises(ComfyKitError, match="count must be an integer between 1 and 100,000, not 0"):
        parse_axis("seed", "*0", "seed")


def test_wildcards_beside_each_other_are_not_nested(tmp_path: Path) -> None:
    names = "abcdefghijkl"
    for name in names:
        (tmp_path / f"{name}.txt").write_text(f"{name}1\n")
    (tmp_path / "z.txt").write_text("a {big|small} __a__\n")
    given = wildcards(" ".join(f"__{name}__" for name in names), tmp_path)
    assert build({"p": given})[0].labels == ((" ".join(f"{name}1" for name in names),),)
    assert [label for (label,) in build({"p": wildcards("{__z__|__b__}!", tmp_path)})[0].labels] == [
        "a big a1!", "a small a1!", "b1!",
    ]  # fmt: skip
    with pytest.raises(ComfyKitError, match="too many alternatives"):
        build({"p": wildcards("{a|b}" * 1100, tmp_path)})


@pytest.mark.parametrize("text", ["", "~artistic~ look", "x" * 5000, "a\0b"])
def test_a_text_is_not_a_folder(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    inputs, shared = find_inputs({"image": tmp_path, "negative": text})
    assert (inputs.name, shared) == ("image", {"negative": text})
