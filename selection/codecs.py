"""Names codecs as manifests do, from the sample entry of an init segment.

A name is a convenience: where the configuration is missing or odd, the bare type of the entry is returned.

Source: RFC 6381; ISO/IEC 14496-15, annex E (AVC, HEVC); the AV1 and VP9 bindings to ISO base media files.
"""

from collections.abc import Callable, Mapping
from typing import Final

from selection.boxes import Boxes, fourcc
from selection.media import MediaError

# Where the boxes of an entry begin, after its header: ISO/IEC 14496-12, VisualSampleEntry and AudioSampleEntry.
VISUAL_FIELDS_BYTES: Final = 78
AUDIO_FIELDS_BYTES: Final = 28

_ES_DESCRIPTOR: Final = 3
_DECODER_CONFIG: Final = 4
_DECODER_SPECIFIC: Final = 5
_MPEG4_AUDIO: Final = 0x40
# Audio object type 31 says that the type is in the next six bits.
_ESCAPED_AUDIO_TYPE: Final = 31


def codec_name(boxes: Boxes, kind: bytes, begin: int, end: int) -> str:
    """Return the name of one sample entry, such as `avc1.64001f`.

    Args:
        kind: Type of the entry.
        begin, end: Its child boxes.
    """
    try:
        if kind in (b"encv", b"enca") and (original := boxes.find(begin, end, b"sinf", b"frma")):
            kind = boxes.body[original[0] : original[0] + 4]
        box, details = _CONFIGURATIONS[kind]
        found = boxes.find(begin, end, box)
        return fourcc(kind) + details(boxes.body[found[0] : found[1]] if found else b"")
    except (KeyError, IndexError, MediaError):
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
    """Read an elementary stream descriptor: object type, and for MPEG-4 audio which kind of it.

    >>> _mpeg4(bytes.fromhex("00000000 0319 000200 0411 40 15 000000 00000000 00000000 0502 1190"))
    '.40.2'
    """
    position = _descriptor(record, 4, _ES_DESCRIPTOR)
    flags = record[position + 2]
    position += 3 + (2 if flags & 0x80 else 0)
    if flags & 0x40:
        position += 1 + record[position]
    position = _descriptor(record, position + (2 if flags & 0x20 else 0), _DECODER_CONFIG)
    object_type = record[position]
    if object_type != _MPEG4_AUDIO:
        return f".{object_type:02x}"
    position = _descriptor(record, position + 13, _DECODER_SPECIFIC)
    audio_type = record[position] >> 3
    if audio_type == _ESCAPED_AUDIO_TYPE:
        audio_type = 32 + ((record[position] & 7) << 3 | record[position + 1] >> 5)
    return f".{object_type:02x}.{audio_type}"


def _descriptor(record: bytes, position: int, tag: int) -> int:
    """Return where the content of the descriptor at `position` begins; its length takes one to four bytes."""
    if record[position] != tag:
        raise IndexError
    for length_bytes in range(1, 5):
        if not record[position + length_bytes] & 0x80:
            return position + 1 + length_bytes
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
}
