"""What is said between a publish process and its deliver processes, as bytes.

A frame is the length of its payload (4 bytes, big endian), its type (1 byte), how many descriptors come with it
(1 byte), and the payload. Records are the texts of the journal, one a line. Both ends are of one node, and as a
rule of one version; where they are not, they part at the first frame.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar

from selection.model import SegmentKey

VERSION: Final = 1
HEADER: Final = struct.Struct("!IBB")
# A batch of records is cut far below this; one place in shared memory takes a hundred bytes.
FRAME_BYTES_MAX: Final = 16 * 1024**2
# Records of one frame: what is folded in one go, some 250 of them, takes about 2 ms.
BATCH_BYTES: Final = 64 * 1024


class FrameType(IntEnum):
    """What a frame is. Those of the publish process first, from 64 on those of a deliver process."""

    HELLO = 1
    SNAPSHOT = 2  # records that make the catalog
    SNAPSHOT_END = 3
    ENTRIES = 4  # records that happened
    HEARTBEAT = 5
    LOST_DONE = 6
    ARENA = 7  # of shared memory: one more, with its descriptor
    PLACED = 8
    GONE = 9
    JOIN = 64
    STATUS = 65
    LOST = 66
    METRICS = 67


class FeedFault(Exception):
    """The other end said what cannot be true; the connection is of no use any more."""


class Frame(NamedTuple):
    """A frame as it was received, without its descriptors."""

    type: FrameType
    payload: bytes
    descriptors_count: int


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of a publish process.

    Args:
        generation: Random, one for each start of the process.
        sequence: The place in the journal of the last record that the snapshot knows of.
    """

    generation: str
    sequence: int


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """What was sent of the snapshot, by which losses on the way are found: CRC-32 of all payloads in their order."""

    sequence: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How far the journal is, and the time by the machine's clock that nobody sets (`Clock.monotonic_ms`)."""

    sequence: int
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Join:
    """The first frame of a deliver process."""

    version: int
    name: str
    process_id: int


@dataclass(frozen=True, slots=True)
class Status:
    """How far a deliver process is.

    Args:
        sent_ms: When the heartbeat that this answers was sent, by the sender's clock.
    """

    sequence: int
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The body of a copy could not be read.

    Args:
        report_id: What the answer repeats.
    """

    report_id: int
    event_id: str
    rendition_id: str
    number: int | None
    pipeline_id: str
    digest: str

    @property
    def key(self) -> SegmentKey:
        return SegmentKey(self.event_id, self.rendition_id, self.number)


@dataclass(frozen=True, slots=True)
class LostDone:
    """The loss was looked into; what was decided has been told before this."""

    report_id: int


Message = Hello | SnapshotEnd | Heartbeat | Join | Status | Lost | LostDone
AnyMessage = TypeVar("AnyMessage", bound=Message)


def encode_frame(kind: FrameType, payload: bytes, descriptors_count: int = 0) -> bytes:
    """Return the bytes of a frame."""
    assert len(payload) <= FRAME_BYTES_MAX, "a frame is bounded by whoever makes it"
    return HEADER.pack(len(payload), kind, descriptors_count) + payload


def encode_message(message: Message) -> bytes:
    """Return the payload of a message.

    >>> encode_message(Heartbeat(17, 1_000))
    b'{"sequence":17,"sent_ms":1000}'
    """
    return json.dumps(asdict(message), separators=(",", ":")).encode()


def decode_message(of: type[AnyMessage], payload: bytes) -> AnyMessage:
    """Return the message of a payload. Raises FeedFault.

    >>> decode_message(LostDone, b'{"report_id":7}')
    LostDone(report_id=7)
    """
    try:
        values = json.loads(payload)
        if not isinstance(values, dict):
            raise TypeError("not an object")
        message = of(**values)
    except (ValueError, TypeError) as exc:
        raise FeedFault(f"not a {of.__name__}: {exc}") from exc
    for field in fields(message):
        value = getattr(message, field.name)
        if not isinstance(value, str if field.type is str else int) and not (value is None and field.name == "number"):
            raise FeedFault(f"not a {of.__name__}: {field.name} is {value!r}")
    return message


def encode_records(texts: Sequence[str]) -> bytes:
    """Return the payload of records."""
    return "\n".join(texts).encode("ascii")


def decode_records(payload: bytes) -> list[str]:
    """Return the texts of records. Raises FeedFault."""
    try:
        return payload.decode("ascii").split("\n")
    except UnicodeDecodeError as exc:
        raise FeedFault("records are not ASCII") from exc


class FrameReader:
    """Cuts received bytes into frames.

    Args:
        frame_bytes_max: A payload that claims to be longer is a fault, before it is waited for.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._frame_bytes_max = frame_bytes_max

    def feed(self, data: bytes | memoryview) -> Iterator[Frame]:
        """Take in bytes and yield the frames they complete. Raises FeedFault."""
        buffer = self._buffer
        buffer += data
        begin = 0
        try:
            while len(buffer) - begin >= HEADER.size:
                length, kind, descriptors_count = HEADER.unpack_from(buffer, begin)
                if length > self._frame_bytes_max:
                    raise FeedFault(f"a frame of {length} bytes")
                end = begin + HEADER.size + length
                if len(buffer) < end:
                    break
                payload = bytes(memoryview(buffer)[begin + HEADER.size : end])
                begin = end
                yield Frame(_frame_type(kind), payload, descriptors_count)
        finally:
            del buffer[:begin]


def _frame_type(kind: int) -> FrameType:
    try:
        return FrameType(kind)
    except ValueError as exc:
        raise FeedFault(f"a frame of type {kind}") from exc
