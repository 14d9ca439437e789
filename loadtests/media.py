"""CMAF media that an origin has to look into: structure of a real packager, noise instead of a picture.

Every segment is one `moof` and one `mdat` on the grid of the epoch, as ffmpeg makes them: 25 frames/s, the first one
a key frame. Nothing decodes it to a picture, and nobody here tries.

Source: ISO/IEC 14496-12, clause 8 (boxes); ISO/IEC 14496-15, 5.3.3 (`avcC`); ISO/IEC 23000-19 (CMAF).
"""

import os
import struct
from typing import Final

# 512 ticks a frame, as ffmpeg counts 25 frames/s.
FRAMES_PER_SECOND: Final = 25
TIMESCALE: Final = 12_800
FRAME_TICKS: Final = TIMESCALE // FRAMES_PER_SECOND
WIDTH: Final = 1_280
HEIGHT: Final = 720

_TRACK_ID: Final = 1
_KEY_FRAME: Final = 0x0200_0000
_OTHER_FRAME: Final = 0x0101_0000
# A key frame weighs as much as this many others.
_KEY_WEIGHT: Final = 12
# The length of a NAL unit, its type, one byte of noise.
_FRAME_BYTES_MIN: Final = 6
_UNITY: Final = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
# x264's parameter sets for 1280x720, High profile, level 3.1.
_SEQUENCE_SET: Final = bytes.fromhex("6764001facd9405005bb0110000003001000000303 20f1831960")
_PICTURE_SET: Final = bytes.fromhex("68ebe3cb22c0")


def init_segment() -> bytes:
    """Return the init segment of every segment made here: one track of 1280x720, `avc1.64001f`."""
    table = _box(
        b"stbl",
        _full(b"stsd", 0, 0, _words(1), _sample_entry()),
        *(_full(kind, 0, 0, _words(0)) for kind in (b"stts", b"stsc", b"stco")),
        _full(b"stsz", 0, 0, _words(0, 0)),
    )
    information = _box(
        b"minf",
        _full(b"vmhd", 0, 1, bytes(8)),
        _box(b"dinf", _full(b"dref", 0, 0, _words(1), _full(b"url ", 0, 1))),
        table,
    )
    media = _box(
        b"mdia",
        _full(b"mdhd", 0, 0, _words(0, 0, TIMESCALE, 0), struct.pack(">2H", 0x55C4, 0)),  # language `und`
        _full(b"hdlr", 0, 0, _words(0), b"vide", bytes(12), b"load\0"),
        information,
    )
    size = _words(WIDTH << 16, HEIGHT << 16)
    track = _box(b"trak", _full(b"tkhd", 0, 3, _words(0, 0, _TRACK_ID, 0, 0), bytes(16), _UNITY, size), media)
    movie = _full(
        b"mvhd", 0, 0, _words(0, 0, 1_000, 0, 1 << 16), b"\1\0", bytes(10), _UNITY, bytes(24), _words(_TRACK_ID + 1)
    )
    defaults = _box(b"mvex", _full(b"trex", 0, 0, _words(_TRACK_ID, 1, FRAME_TICKS, 0, _OTHER_FRAME)))
    return _brands(b"ftyp", b"iso6", b"cmfc") + _box(b"moov", movie, track, defaults)


def media_segment(number: int, segment_ms: int, size_bytes: int) -> bytes:
    """Return segment `number`, which begins `number * segment_ms` after the epoch and has `size_bytes` in all.

    Args:
        segment_ms: A multiple of 40, so that it is a whole number of frames.
        size_bytes: Less than the boxes and the shortest frames take makes it as small as those.
    """
    frames, rest = divmod(segment_ms * FRAMES_PER_SECOND, 1_000)
    if rest or not frames:
        raise ValueError(f"{segment_ms} ms are no whole number of frames at {FRAMES_PER_SECOND}/s")
    brands = _brands(b"styp", b"msdh", b"msdh", b"msix")
    boxes_bytes = len(brands) + len(_moof(number, 0, [0] * frames)) + 8
    sizes = _frame_sizes(frames, size_bytes - boxes_bytes)
    moof = _moof(number, number * segment_ms * TIMESCALE // 1_000, sizes)
    units = (_unit(0x65 if place == 0 else 0x41, size) for place, size in enumerate(sizes))
    return brands + moof + _box(b"mdat", *units)


def _frame_sizes(frames: int, media_bytes: int) -> list[int]:
    """Share bytes out among frames; the key frame gets what is left."""
    each = max(media_bytes // (frames - 1 + _KEY_WEIGHT), _FRAME_BYTES_MIN)
    return [max(media_bytes - each * (frames - 1), _FRAME_BYTES_MIN), *[each] * (frames - 1)]


def _unit(kind: int, size: int) -> bytes:
    """Return a frame of one NAL unit."""
    return struct.pack(">IB", size - 4, kind) + os.urandom(size - 5)


def _moof(number: int, decode_time: int, sizes: list[int]) -> bytes:
    header = _full(b"tfhd", 0, 0x02_0028, _words(_TRACK_ID, FRAME_TICKS, _OTHER_FRAME))
    begin = _full(b"tfdt", 1, 0, struct.pack(">Q", decode_time))

    def made(data_offset: int) -> bytes:
        run = _full(b"trun", 0, 0x205, _words(len(sizes), data_offset, _KEY_FRAME, *sizes))
        return _box(b"moof", _full(b"mfhd", 0, 0, _words(number % (1 << 32))), _box(b"traf", header, begin, run))

    return made(len(made(0)) + 8)


def _sample_entry() -> bytes:
    sets = b"".join(
        struct.pack(">BH", count, len(data)) + data for count, data in ((0xE1, _SEQUENCE_SET), (1, _PICTURE_SET))
    )
    avcc = _box(b"avcC", bytes([1, *_SEQUENCE_SET[1:4], 0xFF]), sets, b"\xfd\xf8\xf8\0")  # 4:2:0, 8 bits
    picture = struct.pack(">2H", WIDTH, HEIGHT) + _words(72 << 16, 72 << 16, 0) + b"\0\1"
    return _box(b"avc1", bytes(6), b"\0\1", bytes(16), picture, bytes(32), b"\0\x18\xff\xff", avcc)


def _brands(kind: bytes, major: bytes, *compatible: bytes) -> bytes:
    return _box(kind, major, _words(0), *compatible)


def _words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _full(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    """Return a box with version and flags."""
    return _box(kind, _words(version << 24 | flags), *content)


def _box(kind: bytes, *content: bytes) -> bytes:
    size = 8 + sum(map(len, content))
    return b"".join((struct.pack(">I4s", size, kind), *content))
