"""Read the texts in images: chunks of PNG, Exif in WebP and JPEG, the metadata of SVG."""

from __future__ import annotations

import json
import zlib

from comfykit_jupyter.workflow.embedded.binary import TEXT_LIMIT, Damaged, Reader, Texts, decode

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_ENTRIES = 1000  # tags in one directory of Exif; real ones have dozens


def read_png(reader: Reader, texts: Texts) -> None:
    """Read the text chunks, before or after the pixels; animations use chunks called `comf`."""
    offset = 8
    while offset + 8 <= reader.size and not texts.complete:
        head = reader.read(offset, 8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind in (b"tEXt", b"comf", b"zTXt", b"iTXt"):
            name, _, rest = reader.read(offset + 8, length).partition(b"\0")
            key = name.decode("latin-1")
            if texts.wants(key):  # decompress only then: the text may be a thousand times as large
                texts.add(key, _parse_png_text(kind, rest))
        if kind == b"IEND":
            return
        offset += 12 + length


def _parse_png_text(kind: bytes, rest: bytes) -> str:
    if kind == b"zTXt":
        return decode(_inflate(rest[1:]))
    if kind == b"iTXt":
        compressed = rest[:1] == b"\1"
        *_, text = rest[2:].split(b"\0", 2)  # language, translated key, text
        return decode(_inflate(text) if compressed else text)
    return decode(rest)


def _inflate(data: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, TEXT_LIMIT)
    except zlib.error:
        raise Damaged from None
    if unpacker.unconsumed_tail:
        raise Damaged
    return text


def read_webp(reader: Reader, texts: Texts) -> None:
    """Read the chunk `EXIF` of a RIFF file."""
    offset = 12
    while offset + 8 <= reader.size:
        head = reader.read(offset, 8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"EXIF":
            _read_exif(reader.read(offset + 8, length), texts)
            return
        offset += 8 + length + length % 2


def read_jpeg(reader: Reader, texts: Texts) -> None:
    """Read the Exif segments before the pixels, and comments."""
    offset = 2
    while offset + 4 <= reader.size:
        head = reader.read(offset, 4)
        length = int.from_bytes(head[2:], "big")
        if head[0] != 0xFF or head[1] in (0xDA, 0xD9) or length < 2:  # pixels, the end
            return
        if head[1] == 0xE1 and reader.read(offset + 4, min(6, length - 2)) == b"Exif\0\0":
            _read_exif(reader.read(offset + 4, length - 2), texts)
        elif head[1] == 0xFE:
            _add_tagged(decode(reader.read(offset + 4, length - 2)), texts)
        offset += 2 + length


def _read_exif(data: bytes, texts: Texts) -> None:
    """Read every text of an Exif block that begins with `prompt:` or `workflow:`, whatever its tag."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(data[:4])
    if order is None:
        raise Damaged

    def read_number(at: int, size: int) -> int:
        if at + size > len(data):
            raise Damaged
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    directories, seen, left = [read_number(4, 4)], set[int](), TEXT_LIMIT
    while directories:
        start = directories.pop()
        if start in seen or len(seen) > 4:
            continue
        seen.add(start)
        for index in range(min(read_number(start, 2), _ENTRIES)):
            entry = start + 2 + 12 * index
            tag, kind, count = read_number(entry, 2), read_number(entry + 2, 2), read_number(entry + 4, 4)
            if tag == _EXIF_IFD:
                directories.append(read_number(entry + 8, 4))
            elif kind in (1, 2, 7):  # bytes, text, undefined
                place = entry + 8 if count <= 4 else read_number(entry + 8, 4)
                left -= count
                if left < 0:  # entries may lie on top of each other
                    raise Damaged
                value = data[place : place + count]
                _add_tagged(_parse_user_comment(value) if tag == _USER_COMMENT else decode(value), texts)


def _parse_user_comment(value: bytes) -> str:
    """Decode a comment: its first eight bytes name the encoding; the byte order must be guessed."""
    if value[:8] == b"UNICODE\0":
        return value[8:].decode("utf-16-be" if value[8:9] == b"\0" else "utf-16-le", "replace")
    return decode(value[8:] if value[:8] in (b"ASCII\0\0\0", b"\0" * 8) else value)


def _add_tagged(text: str, texts: Texts) -> None:
    if text.lstrip()[:1] == "{":
        texts.add("comment", text)
        return
    key, colon, rest = text.partition(":")
    if colon and len(key) < 20:
        texts.add(key, rest)


def read_svg(reader: Reader, texts: Texts) -> None:
    """Read the JSON in `<metadata>` as text: an XML parser would expand entities that a stranger wrote."""
    _, found, rest = reader.read(0, min(reader.size, TEXT_LIMIT)).partition(b"<metadata")
    content = rest.partition(b"</metadata>")[0]
    start, end = content.find(b"{"), content.rfind(b"}")
    if found and start >= 0:
        texts.add_values(json.loads(decode(content[start : end + 1])))
