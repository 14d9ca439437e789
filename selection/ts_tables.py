"""Reads the tables of an MPEG transport stream: which program there is (PAT), and which streams it has (PMT).

Source: ISO/IEC 13818-1, 2.4.4.
"""

from typing import Final, NamedTuple

from selection.media import STREAMS_COUNT_MAX, MediaError, MediaFault
from selection.ts_packets import PACKET_BYTES, Packets, both, indexes

PAT_PID: Final = 0
_PAT_TABLE, _PMT_TABLE = 0, 2
_PID_MASK: Final = 0x1FFF
_LENGTH_MASK: Final = 0x0FFF
# From the table id to the length, and from there to the checksum, both included.
_LENGTH_END: Final = 3
_CHECKSUM_BYTES: Final = 4


def _checksum_step(octet: int) -> int:
    remainder = octet << 24
    for _ in range(8):
        remainder = (remainder << 1 ^ (0x04C11DB7 if remainder >> 31 else 0)) & 0xFFFFFFFF
    return remainder


_CHECKSUM_STEPS: Final = tuple(_checksum_step(octet) for octet in range(256))


class Program(NamedTuple):
    """The first program of a transport stream.

    Args:
        pmt_pid: Packets that say which streams there are.
        stream_types: By packet id, in the order of the table.
        last_index: The packet in which these tables were complete.
    """

    number: int
    pmt_pid: int
    stream_types: dict[int, int]
    last_index: int


class _Section(NamedTuple):
    content: bytes  # behind the length, without the checksum
    first_index: int  # of the packet it begins in
    last_index: int


def read_program(packets: Packets) -> Program:
    """Return the first program.

    Raises:
        MediaError: No such table, or a damaged one.
    """
    pat = _section(packets, PAT_PID, _PAT_TABLE, "PAT")
    for position in range(5, len(pat.content) - 3, 4):
        number = int.from_bytes(pat.content[position : position + 2], "big")
        if number:  # 0 tells where the network information is
            pmt_pid = int.from_bytes(pat.content[position + 2 : position + 4], "big") & _PID_MASK
            break
    else:
        raise MediaError(MediaFault.MISSING_PART, pat.first_index * PACKET_BYTES, "the PAT names no program")
    pmt = _section(packets, pmt_pid, _PMT_TABLE, "PMT")
    return Program(number, pmt_pid, _stream_types(pmt), max(pat.last_index, pmt.last_index))


def _stream_types(pmt: _Section) -> dict[int, int]:
    content, offset = pmt.content, pmt.first_index * PACKET_BYTES
    stream_types: dict[int, int] = {}
    position = 9 + (int.from_bytes(content[7:9], "big") & _LENGTH_MASK)
    while position + 5 <= len(content):
        pid = int.from_bytes(content[position + 1 : position + 3], "big") & _PID_MASK
        stream_types.setdefault(pid, content[position])
        if len(stream_types) > STREAMS_COUNT_MAX:
            raise MediaError(MediaFault.TOO_MANY, offset, f"more than {STREAMS_COUNT_MAX} streams")
        position += 5 + (int.from_bytes(content[position + 3 : position + 5], "big") & _LENGTH_MASK)
    if position != len(content):
        raise MediaError(MediaFault.BAD_SIZE, offset, "the lengths in the PMT do not add up")
    if not stream_types:
        raise MediaError(MediaFault.MISSING_PART, offset, "the PMT names no stream")
    return stream_types


def _section(packets: Packets, pid: int, table: int, name: str) -> _Section:
    """Return the first section of a table, which may take several packets."""
    members = packets.with_pid(pid)
    for index in indexes(both(members, packets.starts)):
        begin, end = packets.payload(index)
        payload = bytes(packets.body[begin:end])
        begin = 1 + payload[0] if payload else 1
        if begin >= len(payload) or payload[begin] != table:
            continue
        section, last_index = _whole(packets, members, index, payload[begin:])
        offset = index * PACKET_BYTES
        if section is None:
            raise MediaError(MediaFault.TRUNCATED, offset, f"the {name} has no end")
        remainder = 0xFFFFFFFF
        for octet in section:
            remainder = (remainder << 8 & 0xFFFFFFFF) ^ _CHECKSUM_STEPS[remainder >> 24 ^ octet]
        if remainder:
            raise MediaError(MediaFault.BAD_FIELD, offset, f"the checksum of the {name} is wrong")
        return _Section(section[_LENGTH_END:-_CHECKSUM_BYTES], index, last_index)
    raise MediaError(MediaFault.MISSING_PART, 0, f"there is no {name}")


def _whole(packets: Packets, members: bytes, index: int, section: bytes) -> tuple[bytes | None, int]:
    """Return a section with all that follows in further packets, None if there is too little, and its last packet."""
    while True:
        if len(section) >= _LENGTH_END:
            length = _LENGTH_END + (int.from_bytes(section[1:3], "big") & _LENGTH_MASK)
            if len(section) >= length:
                return section[:length], index
        index = members.find(1, index + 1)
        if index < 0:
            return None, index
        begin, end = packets.payload(index)
        if packets.starts[index]:
            begin += 1  # tells where the next section begins
        section += bytes(packets.body[begin:end])
