"""Reads the elementary streams of an MPEG transport stream: how many frames, and when.

Source: ISO/IEC 13818-1, 2.4.3.7 (PES packets); ISO/IEC 14496-3, 1.A.3 (ADTS).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from selection.media import SAMPLES_COUNT_MAX, MediaError, MediaFault
from selection.ts_packets import PACKET_BYTES, RANDOM_ACCESS, Packets, both, indexes

TICKS_PER_SECOND: Final = 90_000
# Time stamps have 33 bits: they begin anew every 26.5 hours.
TIMESTAMP_WRAP: Final = 1 << 33

_PES_PREFIX: Final = b"\x00\x00\x01"
# Up to the length of the further fields; then PTS and DTS, if they are there, each of five bytes.
_PES_FIELDS_BYTES: Final = 9
_PTS_END, _DTS_END = 14, 19
_HAS_PTS, _HAS_DTS = 0x80, 0x40

_ADTS: Final = 0x0F
_ADTS_HEADER_BYTES: Final = 7
_ADTS_FRAME_SAMPLES: Final = 1024
_ADTS_RATES: Final = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)


class StreamKind(StrEnum):
    """What an elementary stream carries."""

    VIDEO = "video"
    AUDIO = "audio"
    DATA = "data"


# Kind and codec by stream type: ISO/IEC 13818-1, table 2-34; 0x81 to 0x87 as ATSC and SCTE have them.
_STREAM_TYPES: Final[Mapping[int, tuple[StreamKind, str]]] = {
    0x01: (StreamKind.VIDEO, "mpeg1"),
    0x02: (StreamKind.VIDEO, "mpeg2"),
    0x03: (StreamKind.AUDIO, "mpeg1-audio"),
    0x04: (StreamKind.AUDIO, "mpeg2-audio"),
    0x06: (StreamKind.DATA, "private"),
    _ADTS: (StreamKind.AUDIO, "aac"),
    0x10: (StreamKind.VIDEO, "mpeg4"),
    0x11: (StreamKind.AUDIO, "aac-latm"),
    0x15: (StreamKind.DATA, "metadata"),
    0x1B: (StreamKind.VIDEO, "h264"),
    0x24: (StreamKind.VIDEO, "h265"),
    0x33: (StreamKind.VIDEO, "h266"),
    0x81: (StreamKind.AUDIO, "ac-3"),
    0x86: (StreamKind.DATA, "scte35"),
    0x87: (StreamKind.AUDIO, "ec-3"),
    # With sample encryption, which leaves all headers clear: Apple, MPEG-2 Stream Encryption Format.
    0xC1: (StreamKind.AUDIO, "ac-3"),
    0xC2: (StreamKind.AUDIO, "ec-3"),
    0xCF: (StreamKind.AUDIO, "aac"),
    0xDB: (StreamKind.VIDEO, "h264"),
}
# What a frame begins with that can be decoded by itself: parameter sets, or a picture of that kind. Not every muxer
# sets the random access indicator: shaka-packager 3.8 never does.
_H264_SYNC: Final = re.compile(rb"\x00\x00\x01[\x05\x07\x25\x27\x45\x47\x65\x67]")
_SYNC_STARTS: Final[Mapping[int, re.Pattern[bytes]]] = {
    0x02: re.compile(rb"\x00\x00\x01\xb3"),
    0x1B: _H264_SYNC,
    0xDB: _H264_SYNC,
    0x24: re.compile(rb"\x00\x00\x01[\x20-\x2f\x40-\x43]"),
}


class StreamTimes(NamedTuple):
    """The time stamps of one stream, unwrapped.

    Args:
        first_pts, first_dts: Of the first PES packet; without a DTS of its own, it is its PTS.
        last_dts: Of the last one.
        earliest_pts, latest_pts: With frames out of order neither is the first or the last.
        stamps_count: PES packets that have time stamps.
    """

    first_pts: int
    first_dts: int
    last_dts: int
    earliest_pts: int
    latest_pts: int
    stamps_count: int


@dataclass(frozen=True, slots=True)
class TsStream:
    """One elementary stream of a segment.

    Args:
        frames_count: PES packets: frames of a picture; of sound, each usually holds several codec frames.
        times: None without time stamps.
        duration: From the earliest PTS to the end of the frame with the latest; None if that cannot be told.
        starts_with_random_access: It begins with a whole PES packet that has the random access indicator.
        continuity_errors: The packets before which others are missing, counted from 0.
    """

    pid: int
    stream_type: int
    kind: StreamKind
    codec: str
    frames_count: int
    times: StreamTimes | None
    duration: int | None
    starts_with_random_access: bool
    continuity_errors: tuple[int, ...]


class Clock:
    """Gives time stamps of 33 bits the bits that are missing.

    Args:
        near: A time they are all near to; None: the first of them.
    """

    def __init__(self, near: int | None) -> None:
        self._near = near

    def unwrap(self, stamp: int) -> int:
        """Return the time nearest to `near` that ends in these bits.

        >>> clock = Clock(near=TIMESTAMP_WRAP + 5)
        >>> clock.unwrap(3) - TIMESTAMP_WRAP, clock.unwrap(TIMESTAMP_WRAP - 1) - TIMESTAMP_WRAP
        (3, -1)
        """
        if self._near is None:
            self._near = stamp
        half = TIMESTAMP_WRAP // 2
        return (stamp - self._near + half) % TIMESTAMP_WRAP - half + self._near


def read_stream(packets: Packets, members: bytes, pid: int, stream_type: int, clock: Clock) -> TsStream:
    """Return what one stream says.

    Args:
        members: All of its packets.
    """
    kind, codec = _STREAM_TYPES.get(stream_type, (StreamKind.DATA, f"type-{stream_type:02x}"))
    starts = both(members, packets.starts)
    frames_count, times = _read_times(packets, starts, kind, clock)
    first = members.find(1)
    starts_whole = first >= 0 and bool(starts[first])
    last_duration = None
    if stream_type == _ADTS and times is not None:
        last_duration = _adts_duration(_last_payload(packets, members, starts.rfind(1)))
    return TsStream(
        pid=pid,
        stream_type=stream_type,
        kind=kind,
        codec=codec,
        frames_count=frames_count,
        times=times,
        duration=None if times is None else _duration(times, last_duration),
        starts_with_random_access=starts_whole and _is_sync(packets, first, stream_type),
        continuity_errors=tuple(packets.continuity_errors(members)),
    )


def _read_times(packets: Packets, starts: bytes, kind: StreamKind, clock: Clock) -> tuple[int, StreamTimes | None]:
    """Return how many PES packets there are, and their times."""
    frames_count = 0
    presented: list[int] = []
    decoded: list[int] = []
    for index in indexes(starts):
        begin, end = packets.payload(index)
        header = bytes(packets.body[begin : min(begin + _DTS_END, end)])
        if not header.startswith(_PES_PREFIX):
            if kind is StreamKind.DATA:
                continue  # a section, such as SCTE-35 has
            raise MediaError(MediaFault.BAD_FIELD, index * PACKET_BYTES, "a PES packet without its start code")
        frames_count += 1
        if frames_count > SAMPLES_COUNT_MAX:
            raise MediaError(MediaFault.TOO_MANY, index * PACKET_BYTES, f"more than {SAMPLES_COUNT_MAX} frames")
        # Encoders put the time stamps into the packet that the header begins in. Where one does not, there are none.
        flags = header[7] if len(header) >= _PTS_END else 0
        if flags & _HAS_PTS:
            pts = clock.unwrap(_timestamp(header, _PES_FIELDS_BYTES, index))
            has_dts = flags & _HAS_DTS and len(header) >= _DTS_END
            presented.append(pts)
            decoded.append(clock.unwrap(_timestamp(header, _PTS_END, index)) if has_dts else pts)
    if not presented:
        return frames_count, None
    return frames_count, StreamTimes(
        presented[0], decoded[0], decoded[-1], min(presented), max(presented), len(presented)
    )


def _is_sync(packets: Packets, index: int, stream_type: int) -> bool:
    """Tell whether a frame that begins in packet `index` can be decoded by itself, as its first packet shows."""
    if packets.has_adaptation_flag(index, RANDOM_ACCESS):
        return True
    start, (begin, end) = _SYNC_STARTS.get(stream_type), packets.payload(index)
    return start is not None and start.search(packets.body, begin, end) is not None


def _timestamp(header: bytes, position: int, index: int) -> int:
    """Return the 33 bits of a time stamp, which lie between marker bits."""
    octets = header[position : position + 5]
    if not octets[0] & octets[2] & octets[4] & 1:
        raise MediaError(MediaFault.BAD_FIELD, index * PACKET_BYTES, "a time stamp without its marker bits")
    return (octets[0] >> 1 & 7) << 30 | octets[1] << 22 | octets[2] >> 1 << 15 | octets[3] << 7 | octets[4] >> 1


def _duration(times: StreamTimes, last_duration: int | None) -> int | None:
    """Return the time from the earliest frame to the end of the latest.

    How long the latest lasts is written nowhere. Where its content does not tell, it is taken to last as long as the
    mean distance between frames: exact where the rate is constant.
    """
    span = times.latest_pts - times.earliest_pts
    if last_duration is not None:
        return span + last_duration
    gaps_count = times.stamps_count - 1
    return span + (2 * span + gaps_count) // (2 * gaps_count) if gaps_count else None


def _last_payload(packets: Packets, members: bytes, start: int) -> bytes:
    """Return what the last PES packet carries, which begins in packet `start`."""
    parts = []
    index = start
    while index >= 0:
        begin, end = packets.payload(index)
        parts.append(packets.body[begin:end])
        index = members.find(1, index + 1)
    payload = b"".join(parts)
    return payload[_PES_FIELDS_BYTES + payload[_PES_FIELDS_BYTES - 1] :] if len(payload) > _PES_FIELDS_BYTES else b""


def _adts_duration(payload: bytes) -> int | None:
    """Return how long the AAC frames last that begin in `payload`, in ticks; None unless it begins with one."""
    samples_count = 0
    rate_index = 0
    position = 0
    while position + _ADTS_HEADER_BYTES <= len(payload):
        if payload[position] != 0xFF or payload[position + 1] & 0xF6 != 0xF0:
            return None
        rate_index = payload[position + 2] >> 2 & 0x0F
        length = (payload[position + 3] & 3) << 11 | payload[position + 4] << 3 | payload[position + 5] >> 5
        if length < _ADTS_HEADER_BYTES or rate_index >= len(_ADTS_RATES):
            return None
        samples_count += _ADTS_FRAME_SAMPLES * (1 + (payload[position + 6] & 3))
        position += length
    if not samples_count:
        return None
    rate = _ADTS_RATES[rate_index]
    return (2 * samples_count * TICKS_PER_SECOND + rate) // (2 * rate)
