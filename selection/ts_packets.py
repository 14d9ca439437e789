"""The packets of an MPEG transport stream, looked at all at once.

Almost all that one asks of a packet lies in its first four bytes. So the bytes of all packets at one position are
cut out with a stride and compared in C: a loop in Python over the 22,000 packets of 4 MB takes ten times as long.
Sets of packets are `bytes` with a 1 for every member, in the order of the body.

Source: ISO/IEC 13818-1, 2.4.3.
"""

from collections.abc import Iterator
from itertools import compress
from typing import Final

from selection.media import Body, MediaError, MediaFault

PACKET_BYTES: Final = 188
SYNC_BYTE: Final = b"\x47"
HEADER_BYTES: Final = 4

_HAS_ERROR, _STARTS_UNIT = 0x80, 0x40
_HAS_ADAPTATION, _HAS_PAYLOAD = 0x20, 0x10
_IS_DISCONTINUOUS: Final = 0x80
RANDOM_ACCESS: Final = 0x40


def _members(flag: int) -> bytes:
    return bytes(1 if octet & flag else 0 for octet in range(256))


_ERROR_TABLE: Final = _members(_HAS_ERROR)
_START_TABLE: Final = _members(_STARTS_UNIT)
_PAYLOAD_TABLE: Final = _members(_HAS_PAYLOAD)
_PID_HIGH_TABLE: Final = bytes(octet & 0x1F for octet in range(256))
_COUNTER_TABLE: Final = bytes(octet & 0x0F for octet in range(256))
_WITHOUT_PAYLOAD: Final = bytes(octet for octet in range(256) if not octet & _HAS_PAYLOAD)
_COUNTERS: Final = bytes(range(16))


class Packets:
    """The packets of one whole body.

    Raises:
        MediaError: The body is not a whole number of packets that each begin with the sync byte.
    """

    __slots__ = ("_controls", "_flags", "_high", "_low", "body", "count", "starts")

    def __init__(self, body: Body) -> None:
        if body[:1] != SYNC_BYTE:
            raise MediaError(MediaFault.NOT_MEDIA, 0, f"begins with {body[:1].hex()!r}, not with the sync byte 47")
        syncs = bytes(body[::PACKET_BYTES])
        self.body = body
        self.count = len(syncs)
        in_sync_count = self.count - len(syncs.lstrip(SYNC_BYTE))
        if in_sync_count < self.count:
            offset = in_sync_count * PACKET_BYTES
            raise MediaError(MediaFault.LOST_SYNC, offset, f"a packet begins with {body[offset]:02x} instead of 47")
        if len(body) % PACKET_BYTES:
            offset = len(body) - len(body) % PACKET_BYTES
            raise MediaError(MediaFault.TRUNCATED, offset, f"a packet of {len(body) - offset} bytes instead of 188")
        self._flags = bytes(body[1::PACKET_BYTES])
        self._high = self._flags.translate(_PID_HIGH_TABLE)
        self._low = bytes(body[2::PACKET_BYTES])
        self._controls = bytes(body[3::PACKET_BYTES])
        # The flag means nothing where there is no payload.
        self.starts = both(self._flags.translate(_START_TABLE), self._controls.translate(_PAYLOAD_TABLE))

    def with_pid(self, pid: int) -> bytes:
        """Return the set of packets with one packet id."""
        high, low = bytearray(256), bytearray(256)
        high[pid >> 8] = low[pid & 0xFF] = 1
        return both(self._high.translate(high), self._low.translate(low))

    def errors(self) -> bytes:
        """Return the set of packets that a receiver upstream has marked as damaged."""
        return self._flags.translate(_ERROR_TABLE)

    def payload(self, index: int) -> tuple[int, int]:
        """Return where the payload of a packet begins and ends; empty if it has none.

        Raises:
            MediaError: The adaptation field goes beyond the packet.
        """
        begin = index * PACKET_BYTES
        end = begin + PACKET_BYTES
        control = self.body[begin + 3]
        if not control & _HAS_PAYLOAD:
            return end, end
        content = begin + HEADER_BYTES
        if control & _HAS_ADAPTATION:
            content += 1 + self.body[content]
            if content > end:
                raise MediaError(MediaFault.BAD_SIZE, begin, "the adaptation field goes beyond its packet")
        return content, end

    def has_adaptation_flag(self, index: int, flag: int) -> bool:
        """Tell whether the adaptation field of a packet has a flag."""
        begin = index * PACKET_BYTES
        if not self.body[begin + 3] & _HAS_ADAPTATION or not self.body[begin + HEADER_BYTES]:
            return False
        return bool(self.body[begin + HEADER_BYTES + 1] & flag)

    def continuity_errors(self, members: bytes) -> list[int]:
        """Return the packets before which others of the same id are missing.

        Args:
            members: All packets of that id.
        """
        counters = bytes(compress(self._controls, members)).translate(_COUNTER_TABLE, _WITHOUT_PAYLOAD)
        if not counters:
            return []
        first = counters[0]
        if counters == (_COUNTERS * (len(counters) // 16 + 2))[first : first + len(counters)]:
            return []
        return list(self._jumps(members))

    def _jumps(self, members: bytes) -> Iterator[int]:
        """Yield what `continuity_errors` returns, one packet after the other.

        A packet may come twice in a row, and a discontinuity indicator allows any counter.
        """
        last = None
        was_repeated = False
        for index in indexes(members):
            control = self._controls[index]
            if not control & _HAS_PAYLOAD:
                continue
            counter = control & 0x0F
            is_repeated = counter == last and not was_repeated
            is_next = last is None or counter == (last + 1) & 0x0F
            if not is_next and not is_repeated and not self.has_adaptation_flag(index, _IS_DISCONTINUOUS):
                yield index
            last, was_repeated = counter, is_repeated


def both(one: bytes, other: bytes) -> bytes:
    """Return the packets that are in two sets."""
    joined = int.from_bytes(one, "little") & int.from_bytes(other, "little")
    return joined.to_bytes(len(one), "little")


def indexes(members: bytes) -> Iterator[int]:
    """Yield the position of each member of a set.

    >>> list(indexes(bytes([0, 1, 1, 0])))
    [1, 2]
    """
    index = members.find(1)
    while index >= 0:
        yield index
        index = members.find(1, index + 1)
