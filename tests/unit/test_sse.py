"""Server-sent events, however their stream is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.client.backends.comfyapi import sse
from comfykit_jupyter.client.backends.comfyapi.sse import EventParser, ServerSentEvent

TEXTS = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=12)
EVENTS = st.builds(ServerSentEvent, TEXTS.filter(bool), st.lists(TEXTS, min_size=1, max_size=4).map("\n".join))
NOISE = st.lists(st.sampled_from([": keepalive", ":", "id: 7", "retry: 100", "unknown", "unknown: x"]), max_size=2)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
PLACES = st.lists(st.integers(0, 1 << 16), max_size=8)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """A stream in pieces."""
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]


def read(*pieces: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@given(st.lists(EVENTS, max_size=5), ENDS, st.booleans(), PLACES, st.data())
def test_what_was_written_is_read_wherever_it_is_cut(
    events: list[ServerSentEvent], end: str, bom: bool, places: list[int], data: st.DataObject
) -> None:
    lines: list[str] = []
    for event in events:
        told = [f"event: {event.name}", *(f"data: {line}" for line in event.data.split("\n"))]
        lines += [*data.draw(NOISE), *told, *data.draw(NOISE), ""]
    stream = (b"\xef\xbb\xbf" if bom else b"") + "".join(line + end for line in lines).encode()
    assert read(*cut(stream, places)) == events


@given(st.lists(st.sampled_from([b"data", b":", b" ", b"x", b"\r", b"\n", b"event", b"\xff"]), max_size=30), PLACES)
def test_a_cut_changes_nothing(parts: list[bytes], places: list[int]) -> None:
    stream = b"".join(parts)
    assert read(*cut(stream, places)) == read(stream)
    assert read(*(bytes([byte]) for byte in stream)) == read(stream)


def test_a_line_without_a_space_after_the_colon_and_one_without_a_colon_count() -> None:
    assert read(b"event:a\ndata:1\ndata:  2\ndata\n\n") == [ServerSentEvent("a", "1\n 2\n")]


def test_an_event_without_a_name_is_a_message() -> None:
    assert read(b"data: x\n\n") == [ServerSentEvent("message", "x")]


def test_a_name_alone_is_no_event_and_is_forgotten() -> None:
    assert read(b"event: a\n\ndata: x\n\n") == [ServerSentEvent("message", "x")]


def test_what_the_end_of_the_stream_cuts_off_is_no_event() -> None:
    assert read(b"data: x\n\ndata: y\n") == [ServerSentEvent("message", "x")]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert read(b"data: \xff\xfe\x00\n\n") == [ServerSentEvent("message", "��\0")]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 60, b"x" * 60, b"data: x\n" * 10], ids=["line", "junk", "lines"])
def test_an_event_that_does_not_end_is_refused(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LIMIT", 100)
    with pytest.raises(ValueError, match="more than"):
        read(*[piece] * 3)


def test_keepalives_are_no_event_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LIMIT", 100)
    assert read(*[b": keepalive\n\n"] * 100, b"data: x\n\n") == [ServerSentEvent("message", "x")]
