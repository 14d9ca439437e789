"""Tells what a decoder is set up with before the first segment, in a form in which two decoders compare.

Two packagers of one encoder's output give the same bytes, whatever else their boxes say. What is missing or damaged
gives none.

Source: ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1 (AVC, HEVC); ISO/IEC 14496-3, 1.6 (AudioSpecificConfig); ISO/IEC
23001-7, 8 (encryption); "Encapsulation of Opus in ISO Base Media File Format", 4.3.2.
"""

from collections.abc import Callable, Mapping
from typing import Final

from selection.boxes import Boxes
from selection.codecs import (
    ENCRYPTED,
    MPEG4_AUDIO,
    Bits,
    Configuration,
    read_elementary_stream,
    take_audio_object_type,
)
from selection.media import MediaError

# What is kept for a track, of many init segments at once. Parameter sets of real encoders take 30 to 300 bytes.
SETUP_BYTES_MAX: Final = 16_384
# Content of `tenc` with all of its fields and a vector of 16 bytes.
_TENC_BYTES_MAX: Final = 41

_HEVC_VPS: Final = 32
_HEVC_SPS: Final = 33
_HEVC_PPS: Final = 34
# One for each parameter set and each kind of SEI make five; HEVC numbers its PPS 0 to 63.
_HEVC_ARRAYS_COUNT_MAX: Final = 8
_HEVC_UNITS_COUNT_MAX: Final = 64

# Audio object types: AAC Main, LC, SSR and LTP, and those that say by themselves that SBR (and PS) come on top.
_AAC_TYPES: Final = frozenset([1, 2, 3, 4])
_SBR_TYPES: Final = frozenset([5, 29])
_FREQUENCIES_HZ: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_EXPLICIT_FREQUENCY: Final = 15
# All fields that are read take 83 bits.
_AUDIO_HEAD_BYTES: Final = 11


def decoder_setup(configuration: Configuration) -> bytes:
    """Return what segments rely on and do not carry themselves.

    - `avc1`, `hvc1`: how long the lengths of NAL units are, and the parameter sets in their order, of HEVC by type.
      Not the profile, which the sets tell better, nor what follows them.
    - `avc3`, `hev1`: how long the lengths are. Parameter sets are in band.
    - `mp4a`: object type; of AAC its kind, frequency, channel configuration and frame length, but not what follows:
      packagers that make it anew from ADTS leave out the extension that tells of SBR, which decoders find by
      themselves. So channels that only a program config element tells are not compared. Of other kinds all.
    - `Opus`: the channels and their mapping.
    - Others: nothing. Frames of AV1, VP9, AC-3 and EC-3 tell what a decoder needs.
    """
    try:
        setup = _SETUPS[configuration.kind](configuration.record)
    except (KeyError, IndexError):
        return b""
    return setup if len(setup) <= SETUP_BYTES_MAX else b""


def protection_of(boxes: Boxes, kind: bytes, begin: int, end: int) -> bytes:
    """Return scheme and defaults (`schm`, `tenc`) of an encrypted sample entry.

    With another key nothing can be read, and neither with another pattern, size of initialization vectors, or
    constant vector. Empty if it isn't encrypted, or damaged.

    Args:
        kind: Type of the entry.
        begin, end: Its child boxes.
    """
    if kind not in ENCRYPTED:
        return b""
    try:
        scheme = boxes.find(begin, end, b"sinf", b"schm") or (0, 0)
        defaults = boxes.find(begin, end, b"sinf", b"schi", b"tenc") or (0, 0)
    except MediaError:
        return b""
    # Both begin with version and flags. Behind the scheme stands its version; it says no more.
    scheme_type = bytes(boxes.body[scheme[0] : scheme[1]][4:8])
    return scheme_type + bytes(boxes.body[defaults[0] : defaults[1]][4:_TENC_BYTES_MAX])


def _avc(record: bytes) -> bytes:
    """Read AVCDecoderConfigurationRecord.

    >>> _avc(bytes.fromhex("01 64001f ff  e1 0002 67aa  01 0001 68  fdf8f800")).hex(" ")
    '03 00 02 67 aa 00 01 68'
    """
    sequence_sets, position = _nal_units(record, 6, record[5] & 0x1F)
    picture_sets, _ = _nal_units(record, position + 1, record[position])
    return _length_size(record[4]) + sequence_sets + picture_sets


def _avc_in_band(record: bytes) -> bytes:
    return _length_size(record[4])


def _hevc(record: bytes) -> bytes:
    """Read HEVCDecoderConfigurationRecord."""
    arrays_count = record[22]
    if arrays_count > _HEVC_ARRAYS_COUNT_MAX:
        raise IndexError
    sets = {_HEVC_VPS: b"", _HEVC_SPS: b"", _HEVC_PPS: b""}
    position = 23
    for _ in range(arrays_count):
        unit_type, units_count = record[position] & 0x3F, _u16(record, position + 1)
        if units_count > _HEVC_UNITS_COUNT_MAX:
            raise IndexError
        units, position = _nal_units(record, position + 3, units_count)
        if unit_type in sets:
            sets[unit_type] += units
    return _length_size(record[21]) + b"".join(sets.values())


def _hevc_in_band(record: bytes) -> bytes:
    return _length_size(record[21])


def _length_size(field: int) -> bytes:
    return bytes([field & 3])


def _nal_units(record: bytes, position: int, count: int) -> tuple[bytes, int]:
    """Return so many NAL units, each behind its length in 16 bits, and where they end.

    A NAL unit does not end in zeros (ISO/IEC 14496-10, 7.4.1). ffmpeg takes such over from a transport stream, where
    they belong to the next start code.
    """
    units = []
    for _ in range(count):
        begin, position = position + 2, position + 2 + _u16(record, position)
        unit = record[begin:position].rstrip(b"\0")
        units.append(len(unit).to_bytes(2, "big") + unit)
    if position > len(record):
        raise IndexError
    return b"".join(units), position


def _u16(record: bytes, position: int) -> int:
    return record[position] << 8 | record[position + 1]


def _mpeg4(record: bytes) -> bytes:
    object_type, specific = read_elementary_stream(record)
    details = _audio_essence(specific) if object_type == MPEG4_AUDIO else b""
    return bytes([object_type]) + details


def _audio_essence(specific: bytes) -> bytes:
    """Return the fields of an AudioSpecificConfig that all packagers write, in 24 bits each.

    >>> _audio_essence(bytes.fromhex("1188 56e500")) == _audio_essence(bytes.fromhex("1188"))
    True
    """
    bits = Bits(specific[:_AUDIO_HEAD_BYTES])
    audio_type = take_audio_object_type(bits)
    fields = [audio_type, _take_frequency_hz(bits), bits.take(4)]
    if audio_type in _SBR_TYPES:
        fields.append(_take_frequency_hz(bits))
        audio_type = take_audio_object_type(bits)
        fields.append(audio_type)
    if audio_type not in _AAC_TYPES:
        return specific
    fields.append(bits.take(1))  # frames of 960 samples, not of 1024
    return b"".join(field.to_bytes(3, "big") for field in fields)


def _take_frequency_hz(bits: Bits) -> int:
    index = bits.take(4)
    return bits.take(24) if index == _EXPLICIT_FREQUENCY else _FREQUENCIES_HZ[index]


def _opus(record: bytes) -> bytes:
    """Leave out what was cut off or changed before: pre-skip, rate of the input and gain."""
    return bytes([record[1], record[10]]) + record[11:]


# By type of the entry, as it was before encryption.
_SETUPS: Final[Mapping[bytes, Callable[[bytes], bytes]]] = {
    b"avc1": _avc,
    b"avc3": _avc_in_band,
    b"hvc1": _hevc,
    b"hev1": _hevc_in_band,
    b"mp4a": _mpeg4,
    b"Opus": _opus,
}
