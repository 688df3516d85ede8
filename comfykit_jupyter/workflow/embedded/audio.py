"""Read the texts in audio files: Vorbis comments in FLAC and Ogg (Opus, Vorbis), ID3 in MP3."""

from __future__ import annotations

from comfykit_jupyter.workflow.embedded.binary import TEXT_LIMIT, Damaged, Reader, Texts, decode

_COMMENTS = 10_000  # in one block; real ones have dozens
_STREAMS = 16  # whose packets are put together in one Ogg file
_PACKETS = (b"OpusTags", b"\x03vorbis", b"\x81theora")  # what a packet of comments begins with


def read_flac(reader: Reader, texts: Texts) -> None:
    """Read the blocks before the audio."""
    _read_flac_blocks(reader, 4, texts)


def _read_flac_blocks(reader: Reader, offset: int, texts: Texts) -> None:
    last = False
    while not last:
        head = reader.read(offset, 4)
        last, kind = head[0] & 0x80 != 0, head[0] & 0x7F
        length = int.from_bytes(head[1:], "big")
        if kind == 4:
            _read_vorbis_comments(reader.read(offset + 4, length), texts)
        offset += 4 + length


def _read_vorbis_comments(data: bytes, texts: Texts) -> None:
    """Read a list of `KEY=value`, each with its length in front."""

    def read_length(at: int) -> int:
        if at + 4 > len(data):
            raise Damaged
        return int.from_bytes(data[at : at + 4], "little")

    offset = 4 + read_length(0)  # who wrote it
    count = read_length(offset)
    offset += 4
    for _ in range(min(count, _COMMENTS)):
        end = offset + 4 + read_length(offset)
        if end > len(data):
            raise Damaged
        key, _, value = data[offset + 4 : end].partition(b"=")
        texts.add(decode(key[:50]), decode(value))
        offset = end


def read_ogg(reader: Reader, texts: Texts) -> None:
    """Read the second packet of each stream, which may span many pages."""
    packets: dict[bytes, bytearray] = {}
    finished: dict[bytes, int] = {}
    offset = 0
    while offset + 27 <= reader.size:
        head = reader.read(offset, 27)
        if head[:4] != b"OggS":
            raise Damaged
        serial, sizes = head[14:18], reader.read(offset + 27, head[26])
        body = offset + 27 + head[26]
        offset = body + sum(sizes)
        if finished.setdefault(serial, 0) > 1:
            if all(count > 1 for count in finished.values()):
                return
            continue
        if len(finished) > _STREAMS:
            raise Damaged
        data = reader.read(body, sum(sizes))
        place = 0
        packet = packets.setdefault(serial, bytearray())
        for size in sizes:
            packet += data[place : place + size]
            place += size
            if len(packet) > TEXT_LIMIT:
                raise Damaged
            if size < 255:  # the packet ends here
                _read_ogg_packet(bytes(packet), texts)
                packet.clear()
                finished[serial] += 1


def _read_ogg_packet(packet: bytes, texts: Texts) -> None:
    if packet[:1] == b"\x84":  # a block of comments of a FLAC stream
        _read_vorbis_comments(packet[4:], texts)
        return
    for begin in _PACKETS:
        if packet.startswith(begin):
            _read_vorbis_comments(packet[len(begin) :], texts)


def read_mp3(reader: Reader, texts: Texts) -> None:
    """Read the frames TXXX and COMM of an ID3 tag of version 3 or 4 at the start."""
    head = reader.read(0, 10)
    if head[:3] != b"ID3" or head[3] not in (3, 4):
        return
    version, flags = head[3], head[5]
    end = 10 + _parse_syncsafe(head[6:])
    data = reader.read(10, min(end, reader.size) - 10)
    if flags & 0x80 and version == 3:
        data = data.replace(b"\xff\0", b"\xff")
    offset = 0
    if flags & 0x40:
        offset = _parse_syncsafe(data[:4]) if version == 4 else 4 + int.from_bytes(data[:4], "big")
    while offset + 10 <= len(data) and data[offset] != 0:
        name, raw = data[offset : offset + 4], data[offset + 4 : offset + 8]
        size = _parse_syncsafe(raw) if version == 4 else int.from_bytes(raw, "big")
        frame = data[offset + 10 : offset + 10 + size]
        if version == 4:
            frame = _unpack(frame, data[offset + 9])
        if name in (b"TXXX", b"COMM") and len(frame) > 1:
            _parse_id3_text(frame, texts, comment=name == b"COMM")
        offset += 10 + size
    if end + 4 <= reader.size and reader.read(end, 4) == b"fLaC":
        _read_flac_blocks(reader, end + 4, texts)


def _parse_syncsafe(data: bytes) -> int:
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
    return number


def _unpack(frame: bytes, flags: int) -> bytes:
    if flags & 0x01:  # its length once unpacked
        frame = frame[4:]
    return frame.replace(b"\xff\0", b"\xff") if flags & 0x02 else frame


def _parse_id3_text(frame: bytes, texts: Texts, *, comment: bool) -> None:
    """Parse a description, a zero and a text in one of four encodings; comments have a language in front."""
    kind, rest = frame[0], frame[4 if comment else 1 :]
    if kind in (1, 2):
        text = rest.decode("utf-16" if kind == 1 else "utf-16-be", "replace")
        key, _, value = text.partition("\0")
        value = value.removeprefix("\ufeff").rstrip("\0")
    else:
        first, _, second = rest.partition(b"\0")
        key, value = (each.rstrip(b"\0").decode("latin-1") if kind == 0 else decode(each) for each in (first, second))
    texts.add("comment" if comment else key, value)
