"""Read the texts in videos: the boxes of MP4, MOV and M4A, the tags of WebM and Matroska."""

from __future__ import annotations

from collections.abc import Iterator

from comfykit_jupyter.workflow.embedded.binary import Damaged, Reader, Texts, decode

_SEGMENT, _CLUSTER, _TAGS, _TAG, _SIMPLE_TAG = 0x18538067, 0x1F43B675, 0x1254C367, 0x7373, 0x67C8
_TAG_NAME, _TAG_STRING = 0x45A3, 0x4487
_OPEN = frozenset({_SEGMENT, _TAGS, _TAG})
"""Elements of Matroska whose children are read."""
_KEYS = 10_000


def read_mp4(reader: Reader, texts: Texts) -> None:
    """Read `moov`, before or after the frames: it has `meta`, or `udta` with `meta` or texts of its own."""
    for kind, start, end in _iter_boxes(reader, 0, reader.size):
        if kind == b"moov":
            for inner, begin, stop in _iter_boxes(reader, start, end):
                if inner == b"meta":
                    _read_meta(reader, begin, stop, texts)
                elif inner == b"udta":
                    _read_user_data(reader, begin, stop, texts)
            return


def _iter_boxes(reader: Reader, offset: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes between two offsets: type, start and end of the content."""
    while offset + 8 <= end:
        head = reader.read(offset, 8)
        size, begin = int.from_bytes(head[:4], "big"), offset + 8
        if size == 1:
            size, begin = reader.read_number(begin, 8), begin + 8
        stop = end if size == 0 else offset + size
        if stop < begin or stop > end:
            raise Damaged
        yield head[4:], begin, stop
        offset = stop


def _read_user_data(reader: Reader, start: int, end: int, texts: Texts) -> None:
    for kind, begin, stop in _iter_boxes(reader, start, end):
        if kind == b"meta":
            _read_meta(reader, begin, stop, texts)
        elif kind == b"\xa9cmt" and stop - begin > 4:
            texts.add("comment", decode(reader.read(begin + 4, stop - begin - 4)))  # after its length and language


def _read_meta(reader: Reader, start: int, end: int, texts: Texts) -> None:
    """Read keys and their values by number, or values named by the type of their box."""
    if end - start >= 8 and reader.read(start + 4, 4) != b"hdlr":
        start += 4  # version and flags, which QuickTime leaves out
    keys: list[str] = []
    for kind, begin, stop in _iter_boxes(reader, start, end):
        if kind == b"keys":
            for _, name, last in _iter_boxes(reader, begin + 8, stop):
                keys.append(decode(reader.read(name, min(last - name, 200))))
                if len(keys) > _KEYS:
                    raise Damaged
        elif kind == b"ilst":
            for item, first, last in _iter_boxes(reader, begin, stop):
                _read_item(reader, item, first, last, keys, texts)


def _read_item(reader: Reader, item: bytes, start: int, end: int, keys: list[str], texts: Texts) -> None:
    number = int.from_bytes(item, "big")
    name = keys[number - 1] if 0 < number <= len(keys) else {b"\xa9cmt": "comment"}.get(item, "")
    for kind, begin, stop in _iter_boxes(reader, start, end):
        if kind == b"name" and item == b"----":
            name = decode(reader.read(begin + 4, min(stop - begin - 4, 200)))
        elif kind == b"data" and name.lower() in ("prompt", "workflow", "comment"):
            texts.add(name, decode(reader.read(begin + 8, stop - begin - 8)))  # after its type and language


def read_matroska(reader: Reader, texts: Texts) -> None:
    """Read the tags, before or after the frames, which are skipped."""
    offset, end = 0, reader.size
    while offset < end and not texts.complete:
        kind, begin, stop = _read_element(reader, offset, end)
        if kind == _SIMPLE_TAG and stop is not None:
            _read_simple_tag(reader, begin, stop, texts)
        # Go into the element, or past it. One without an end (a live stream) ends where the next begins.
        offset = begin if kind in _OPEN or stop is None else stop


def _read_element(reader: Reader, offset: int, end: int) -> tuple[int, int, int | None]:
    """Read an element: type, start of the content, and its end if it is given."""
    head = reader.read(offset, min(12, end - offset))
    kind_length = _find_length(head, 0, 4)
    size_length = _find_length(head, kind_length, 8)
    begin = kind_length + size_length
    if begin > len(head):
        raise Damaged
    kind = int.from_bytes(head[:kind_length], "big")
    bits = 7 * size_length
    size = int.from_bytes(head[kind_length:begin], "big") & ((1 << bits) - 1)
    if size == (1 << bits) - 1:
        return kind, offset + begin, None
    return kind, offset + begin, min(offset + begin + size, end)  # a file that was cut off has what it has


def _find_length(head: bytes, at: int, most: int) -> int:
    """Return how many bytes a number has, from its leading zero bits."""
    if at >= len(head) or head[at] == 0:
        raise Damaged
    length = 9 - head[at].bit_length()
    if length > most:
        raise Damaged
    return length


def _read_simple_tag(reader: Reader, start: int, end: int, texts: Texts) -> None:
    name = ""
    while start < end:
        kind, begin, stop = _read_element(reader, start, end)
        if stop is None:
            raise Damaged
        if kind == _TAG_NAME:
            name = decode(reader.read(begin, min(stop - begin, 200)))
        elif kind == _TAG_STRING and name.lower() in ("prompt", "workflow", "comment"):
            texts.add(name, decode(reader.read(begin, stop - begin)))
        start = stop
