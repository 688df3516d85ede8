"""Test the parser of server-sent events."""

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


def split_stream(stream: bytes, places: list[int]) -> list[bytes]:
    """Split a stream into pieces at these places."""
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]


def parse_events(*pieces: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@given(st.lists(EVENTS, max_size=5), ENDS, st.booleans(), PLACES, st.data())
def test_events_are_parsed_from_any_pieces(
    events: list[ServerSentEvent], end: str, bom: bool, places: list[int], data: st.DataObject
) -> None:
    lines: list[str] = []
    for event in events:
        fields = [f"event: {event.name}", *(f"data: {line}" for line in event.data.split("\n"))]
        lines += [*data.draw(NOISE), *fields, *data.draw(NOISE), ""]
    stream = (b"\xef\xbb\xbf" if bom else b"") + "".join(line + end for line in lines).encode()
    assert parse_events(*split_stream(stream, places)) == events


@given(st.lists(st.sampled_from([b"data", b":", b" ", b"x", b"\r", b"\n", b"event", b"\xff"]), max_size=30), PLACES)
def test_pieces_do_not_change_the_events(parts: list[bytes], places: list[int]) -> None:
    stream = b"".join(parts)
    assert parse_events(*split_stream(stream, places)) == parse_events(stream)
    assert parse_events(*(bytes([byte]) for byte in stream)) == parse_events(stream)


def test_space_and_colon_are_optional() -> None:
    assert parse_events(b"event:a\ndata:1\ndata:  2\ndata\n\n") == [ServerSentEvent("a", "1\n 2\n")]


def test_event_without_a_name_is_a_message() -> None:
    assert parse_events(b"data: x\n\n") == [ServerSentEvent("message", "x")]


def test_name_without_data_is_not_an_event() -> None:
    assert parse_events(b"event: a\n\ndata: x\n\n") == [ServerSentEvent("message", "x")]


def test_incomplete_event_at_the_end_is_dropped() -> None:
    assert parse_events(b"data: x\n\ndata: y\n") == [ServerSentEvent("message", "x")]


def test_invalid_utf8_is_replaced() -> None:
    assert parse_events(b"data: \xff\xfe\x00\n\n") == [ServerSentEvent("message", "��\0")]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 60, b"x" * 60, b"data: x\n" * 10], ids=["line", "junk", "lines"])
def test_endless_event_is_rejected(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LIMIT", 100)
    with pytest.raises(ValueError, match="larger than"):
        parse_events(*[piece] * 3)


def test_keepalives_do_not_count_as_an_endless_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LIMIT", 100)
    assert parse_events(*[b": keepalive\n\n"] * 100, b"data: x\n\n") == [ServerSentEvent("message", "x")]
