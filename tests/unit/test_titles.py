"""Test the parser of node titles, which declare parameters and name outputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.parameters.titles import Marker, Title, explain_unread, parse_title


@pytest.mark.parametrize(
    ("title", "marker"),
    [
        ("$prompt", Marker("prompt", "prompt", upload=False, required=False)),
        ("$prompt.text", Marker("prompt", "text", upload=False, required=False)),
        ("$prompt!", Marker("prompt", "prompt", upload=False, required=True)),
        ("$~image", Marker("image", "image", upload=True, required=False)),
        ("$img.~image!", Marker("img", "image", upload=True, required=True)),
        ("$~img.image", Marker("img", "image", upload=True, required=False)),
        ("$prompt.text!:what to paint", Marker("prompt", "text", upload=False, required=True)),
        ("$prompt:what to paint", Marker("prompt", "prompt", upload=False, required=False)),
        ("$提示.text", Marker("提示", "text", upload=False, required=False)),
        ("$width.resize_type.width", Marker("width", "resize_type.width", upload=False, required=False)),
        ("$path.Image Path", Marker("path", "Image Path", upload=False, required=False)),
    ],
)
def test_marker_declares_a_parameter(title: str, marker: Marker) -> None:
    assert parse_title(title) == Title("", (marker,), None)


def test_text_and_markers_keep_their_order() -> None:
    title = parse_title(" Size , $width!, $height! , in pixels")
    assert title.text == "Size, in pixels"
    assert [(marker.name, marker.required) for marker in title.markers] == [("width", True), ("height", True)]


@pytest.mark.parametrize("title", ["", "KSampler", "$", "$ name", "$!", "$a b", "$name!.field", "$.text", "costs 5$"])
def test_text_without_a_marker_is_kept(title: str) -> None:
    assert parse_title(title) == Title(title, (), None)


@pytest.mark.parametrize(
    ("title", "unread", "reason"),
    [
        ("$my prompt.text", "$my prompt.text", "can't have a ' ': write $my_prompt.text"),
        ("Positive, $my prompt.text!, $width", "$my prompt.text!", "can't have a ' ': write $my_prompt.text!"),
        ("$~face/left.image", "$~face/left.image", "can't have a '/': write $~face_left.image"),
        ("$name!.field", "$name!.field", "write $NAME, $NAME.INPUT or"),
        ("$a b:c d!", "$a b:c d!", "can't have a ' ': write $a_b_c_d!"),
    ],
)
def test_title_that_was_meant_as_a_parameter_is_explained(title: str, unread: str, reason: str) -> None:
    assert parse_title(title).unread == (unread,)
    assert reason in explain_unread(unread)


@pytest.mark.parametrize("title", ["$5 off", "$", "$ name", "$.text", "$$", "costs 5$", "$output.my cover", "$width"])
def test_other_titles_need_no_explanation(title: str) -> None:
    assert parse_title(title).unread == ()


@given(st.text() | st.text(alphabet="$~.!:/ ao"))
def test_every_unread_part_is_explained_and_the_advice_works(title: str) -> None:
    for text in parse_title(title).unread:
        advice = explain_unread(text).partition(": write ")[2]
        assert not advice or parse_title(advice.replace(",", "")).markers


@pytest.mark.parametrize(
    ("title", "output", "text", "names"),
    [
        ("$output.cover", "cover", "", []),
        ("$output.my cover, large", "my cover, large", "", []),
        ("Save, $output.cover", "cover", "Save", []),
        ("$output.cover, $filename_prefix", "cover", "", ["filename_prefix"]),
        ("Save, $prefix.filename_prefix, $output.cover", "cover", "Save", ["prefix"]),
        ("$output", None, "", ["output"]),
        ("$output.", None, "", []),
    ],
)
def test_title_names_the_output(title: str, output: str | None, text: str, names: list[str]) -> None:
    parsed = parse_title(title)
    assert parsed.output == output
    assert parsed.text == text
    assert [marker.name for marker in parsed.markers] == names


_names = st.from_regex(r"\w[\w-]{0,8}", fullmatch=True)
_fields = st.from_regex(r"\w(?:[\w .]{0,8}\w)?", fullmatch=True)


@given(_names.filter(lambda name: name != "output"), st.none() | _fields, st.booleans(), st.booleans())
def test_marker_round_trips(name: str, field: str | None, upload: bool, required: bool) -> None:
    for tilde in ("${}{}".format("~" if upload else "", name), f"${name}"):
        late = "~" if upload and not tilde.startswith("$~") else ""
        if late and field is None:
            continue
        text = tilde + ("" if field is None else f".{late}{field}") + ("!" if required else "")
        marker = Marker(name, name if field is None else field.strip(), upload, required)
        assert parse_title(f"Some text, {text}") == Title("Some text", (marker,), None)


@given(st.text() | st.text(alphabet="$~.!:, aoutput"))
def test_any_title_is_parsed(title: str) -> None:
    parsed = parse_title(title)
    assert all(marker.name and marker.field for marker in parsed.markers)
    assert len(parsed.text) <= 2 * len(title)
