"""Finds the configuration of a codec in the sample entry of an init segment, and names the codec as manifests do.

A name is a convenience: where the configuration is missing or odd, the bare type of the entry is returned.

Source: RFC 6381; ISO/IEC 14496-15, annex E (AVC, HEVC); ISO/IEC 14496-1, 7.2.6 (descriptors); the AV1, VP9 and
Opus bindings to ISO base media files.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from selection.boxes import Boxes, fourcc
from selection.media import MediaError

# Where the boxes of an entry begin, after its header: ISO/IEC 14496-12, VisualSampleEntry and AudioSampleEntry.
VISUAL_FIELDS_BYTES: Final = 78
AUDIO_FIELDS_BYTES: Final = 28

_ES_DESCRIPTOR: Final = 3
_DECODER_CONFIG: Final = 4
_DECODER_SPECIFIC: Final = 5
# What an elementary stream descriptor calls sound whose details are in an AudioSpecificConfig.
MPEG4_AUDIO: Final = 0x40
# Audio object type 31 says that the type is in the next six bits.
_ESCAPED_AUDIO_TYPE: Final = 31

ENCRYPTED: Final = frozenset([b"encv", b"enca"])


class Configuration(NamedTuple):
    """What a sample entry says of its codec.

    Args:
        kind: Type of the entry; of an encrypted one, what it was before.
        record: Content of the box that configures the decoder; empty if there is none, or none is known.
    """

    kind: bytes
    record: bytes


class Bits:
    """Bytes, to be taken bit by bit; IndexError where they end."""

    __slots__ = ("_left", "_value")

    def __init__(self, content: bytes) -> None:
        self._value = int.from_bytes(content, "big")
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        """Return the number that the next bits are."""
        if count > self._left:
            raise IndexError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)


def find_configuration(boxes: Boxes, kind: bytes, begin: int, end: int) -> Configuration:
    """Return the configuration of one sample entry; damaged boxes count as missing ones.

    Args:
        kind: Type of the entry.
        begin, end: Its child boxes.
    """
    record = b""
    try:
        if kind in ENCRYPTED and (original := boxes.find(begin, end, b"sinf", b"frma")):
            kind = bytes(boxes.body[original[0] : original[0] + 4])
        if kind in _CONFIGURATIONS and (found := boxes.find(begin, end, _CONFIGURATIONS[kind][0])):
            record = bytes(boxes.body[found[0] : found[1]])
    except MediaError:
        pass
    return Configuration(kind, record)


def codec_name(configuration: Configuration) -> str:
    """Return the name of a codec, such as `avc1.64001f`."""
    kind, record = configuration
    try:
        return fourcc(kind) + _CONFIGURATIONS[kind][1](record)
    except (KeyError, IndexError):
        return fourcc(kind)


def _avc(record: bytes) -> str:
    return f".{record[1]:02x}{record[2]:02x}{record[3]:02x}"


def _hevc(record: bytes) -> str:
    space = ("", "A", "B", "C")[record[1] >> 6]
    tier = "H" if record[1] & 0x20 else "L"
    compatibility = int(f"{int.from_bytes(record[2:6], 'big'):032b}"[::-1], 2)
    constraints = "".join(f".{octet:X}" for octet in record[6:12].rstrip(b"\0"))
    return f".{space}{record[1] & 0x1F}.{compatibility:X}.{tier}{record[12]}{constraints}"


def _av1(record: bytes) -> str:
    tier = "H" if record[2] & 0x80 else "M"
    depth = (12 if record[2] & 0x20 else 10) if record[2] & 0x40 else 8
    return f".{record[1] >> 5}.{record[1] & 0x1F:02d}{tier}.{depth:02d}"


def _vp9(record: bytes) -> str:
    return f".{record[4]:02d}.{record[5]:02d}.{record[6] >> 4:02d}"


def _mpeg4(record: bytes) -> str:
    """Name by object type, and for MPEG-4 audio by which kind of it.

    >>> _mpeg4(bytes.fromhex("00000000 0319 000200 0411 40 15 000000 00000000 00000000 0502 1190"))
    '.40.2'
    """
    object_type, specific = read_elementary_stream(record)
    kind = f".{take_audio_object_type(Bits(specific[:2]))}" if object_type == MPEG4_AUDIO else ""
    return f".{object_type:02x}{kind}"


def _no_details(_: bytes) -> str:
    return ""


def read_elementary_stream(record: bytes) -> tuple[int, bytes]:
    """Return object type and, for MPEG-4 audio, the AudioSpecificConfig of an `esds` box; else IndexError."""
    position, _ = _descriptor(record, 4, _ES_DESCRIPTOR)
    flags = record[position + 2]
    position += 3 + (2 if flags & 0x80 else 0)
    if flags & 0x40:
        position += 1 + record[position]
    position, _ = _descriptor(record, position + (2 if flags & 0x20 else 0), _DECODER_CONFIG)
    object_type = record[position]
    if object_type != MPEG4_AUDIO:
        return object_type, b""
    begin, end = _descriptor(record, position + 13, _DECODER_SPECIFIC)
    return object_type, record[begin:end]


def take_audio_object_type(bits: Bits) -> int:
    """Take an audio object type: ISO/IEC 14496-3, GetAudioObjectType."""
    audio_type = bits.take(5)
    return 32 + bits.take(6) if audio_type == _ESCAPED_AUDIO_TYPE else audio_type


def _descriptor(record: bytes, position: int, tag: int) -> tuple[int, int]:
    """Return begin and end of the content of the descriptor at `position`; its length takes one to four bytes."""
    if record[position] != tag:
        raise IndexError
    size = 0
    for begin in range(position + 2, position + 6):
        size = size << 7 | record[begin - 1] & 0x7F
        if not record[begin - 1] & 0x80:
            return begin, begin + size
    raise IndexError


# By type of the entry: the box that holds the configuration, and what to make of its content.
_CONFIGURATIONS: Final[Mapping[bytes, tuple[bytes, Callable[[bytes], str]]]] = {
    b"avc1": (b"avcC", _avc),
    b"avc3": (b"avcC", _avc),
    b"hvc1": (b"hvcC", _hevc),
    b"hev1": (b"hvcC", _hevc),
    b"av01": (b"av1C", _av1),
    b"vp09": (b"vpcC", _vp9),
    b"mp4a": (b"esds", _mpeg4),
    b"Opus": (b"dOps", _no_details),
}
