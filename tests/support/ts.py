"""Builds MPEG transport streams, packet by packet.

Written for tests and kept apart from the code under test: shared mistakes would not show.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

PACKET_BYTES: Final = 188
ROOM_BYTES: Final = 184
VIDEO_PID: Final = 0x100
AUDIO_PID: Final = 0x101
PMT_PID: Final = 0x1000
H264: Final = 0x1B
AAC: Final = 0x0F


def checksum(section: bytes) -> bytes:
    """Return the CRC of MPEG-2 systems, bit by bit."""
    remainder = 0xFFFFFFFF
    for octet in section:
        for bit in range(8):
            top = remainder >> 31 ^ (octet >> 7 - bit & 1)
            remainder = remainder << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if top else 0)
    return remainder.to_bytes(4, "big")


def section(table: int, content: bytes) -> bytes:
    """Return a section with its checksum; `content` is what follows the length."""
    head = bytes([table]) + (0xB000 | len(content) + 4).to_bytes(2, "big")
    return head + content + checksum(head + content)


def pat(programs: Mapping[int, int]) -> bytes:
    """Return the table of programs, by number."""
    entries = [number.to_bytes(2, "big") + (0xE000 | pid).to_bytes(2, "big") for number, pid in programs.items()]
    return section(0, b"\0\1\xc1\0\0" + b"".join(entries))


def pmt(streams: Sequence[tuple[int, int]], descriptors: bytes = b"", stream_descriptors: bytes = b"") -> bytes:
    """Return the table of streams: pairs of packet id and stream type."""
    entries = [
        bytes([kind])
        + (0xE000 | pid).to_bytes(2, "big")
        + (0xF000 | len(stream_descriptors)).to_bytes(2, "big")
        + stream_descriptors
        for pid, kind in streams
    ]
    head = b"\0\1\xc1\0\0\xe1\0" + (0xF000 | len(descriptors)).to_bytes(2, "big") + descriptors
    return section(2, head + b"".join(entries))


def stamp(prefix: int, ticks: int) -> bytes:
    """Return a time stamp of 33 bits between its marker bits."""
    ticks %= 1 << 33
    return bytes(
        [
            prefix << 4 | ticks >> 30 << 1 | 1,
            ticks >> 22 & 0xFF,
            (ticks >> 15 & 0x7F) << 1 | 1,
            ticks >> 7 & 0xFF,
            (ticks & 0x7F) << 1 | 1,
        ]
    )


def pes(pts: int | None, dts: int | None = None, payload: bytes = b"frame", stream_id: int = 0xE0) -> bytes:
    """Return a PES packet without a length, as video has it."""
    stamps = b"" if pts is None else stamp(2 if dts is None else 3, pts)
    stamps += b"" if dts is None else stamp(1, dts)
    flags = (0 if pts is None else 0x80) | (0 if dts is None else 0x40)
    return b"\0\0\1" + bytes([stream_id, 0, 0, 0x80, flags, len(stamps)]) + stamps + payload


def adts(frames_count: int, *, rate_index: int = 3, length: int = 20, blocks: int = 1) -> bytes:
    """Return AAC frames; rate index 3 is 48 kHz."""
    header = bytes(
        [
            0xFF,
            0xF1,
            0x40 | rate_index << 2,
            0x80 | length >> 11,
            length >> 3 & 0xFF,
            (length & 7) << 5 | 0x1F,
            0xFC | blocks - 1,
        ]
    )
    return (header + bytes(length - len(header))) * frames_count


class Muxer:
    """Makes packets, and counts them for each packet id.

    Args:
        counters: Where the continuity counters begin.
    """

    def __init__(self, counters: Mapping[int, int] | None = None) -> None:
        self._counters = Counter(counters or {})
        self.packets: list[bytes] = []

    @property
    def body(self) -> bytes:
        """All packets so far."""
        return b"".join(self.packets)

    def add(
        self,
        pid: int,
        payload: bytes | None,
        *,
        is_start: bool = False,
        adaptation: int | None = None,
        has_error: bool = False,
    ) -> "Muxer":
        """Add one packet; too little payload is filled up in the adaptation field, None has none at all.

        Args:
            adaptation: Flags of the adaptation field.
        """
        filler = ROOM_BYTES - len(payload or b"")
        field = b""
        if filler or adaptation is not None:
            assert filler >= (1 if adaptation is None else 2), "no room for an adaptation field"
            inside = b"" if filler == 1 else bytes([adaptation or 0]) + b"\xff" * (filler - 2)
            field = bytes([filler - 1]) + inside
        control = (0x20 if field else 0) | (0 if payload is None else 0x10) | self._counters[pid] & 15
        if payload is not None:
            self._counters[pid] += 1
        head = (0x8000 if has_error else 0) | (0x4000 if is_start else 0) | pid
        packet = b"\x47" + head.to_bytes(2, "big") + bytes([control]) + field + (payload or b"")
        assert len(packet) == PACKET_BYTES
        self.packets.append(packet)
        return self

    def add_section(self, pid: int, whole: bytes, pointer: int = 0) -> "Muxer":
        """Add a table in as many packets as it takes."""
        rest = bytes([pointer]) + bytes(pointer) + whole
        is_start = True
        while rest:
            part, rest = rest[:ROOM_BYTES], rest[ROOM_BYTES:]
            self.add(pid, part + b"\xff" * (ROOM_BYTES - len(part)), is_start=is_start)
            is_start = False
        return self

    def add_tables(self, streams: Sequence[tuple[int, int]] = ((VIDEO_PID, H264), (AUDIO_PID, AAC))) -> "Muxer":
        """Add PAT and PMT."""
        return self.add_section(0, pat({1: PMT_PID})).add_section(PMT_PID, pmt(streams))

    def add_pes(self, pid: int, whole: bytes, *, random_access: bool = False) -> "Muxer":
        """Add a PES packet in as many packets as it takes."""
        adaptation = 0x40 if random_access else None
        is_start = True
        while whole or is_start:
            room = ROOM_BYTES - (2 if adaptation is not None else 0)
            part, whole = whole[:room], whole[room:]
            self.add(pid, part, is_start=is_start, adaptation=adaptation)
            is_start, adaptation = False, None
        return self

    def skip(self, pid: int, count: int = 1) -> "Muxer":
        """Leave out packets: the counter goes on without them."""
        self._counters[pid] += count
        return self
