"""Garbage as broken machines send it: silent, with the right name and length, and nothing that says so. Pure.

Only kinds that can be told without decoding: what is put into the media data itself, such as zeros, cannot.
"""

import hashlib
import struct
from enum import StrEnum
from typing import Final

_HEADER: Final = struct.Struct(">I4s")


class Garbage(StrEnum):
    """What becomes of a segment."""

    NOISE = "noise"  # random bytes
    ZEROS = "zeros"  # nothing but zeros from the middle of its `moof` on
    SIZE = "size"  # one bit of the size of its `moof` is flipped
    MOOF = "moof"  # its `moof` is empty: zeros
    CUT = "cut"  # only its first half, sent as if that were all
    OTHER = "other"  # sound where the picture should be, or the other way round


KINDS: Final = tuple(Garbage)


def kind_of(number: int, track_index: int) -> Garbage:
    """Return what is sent instead of a segment: another kind for each, so that a short run sees all of them.

    >>> [kind_of(number, 0).value for number in range(6)]
    ['noise', 'zeros', 'size', 'moof', 'cut', 'other']
    """
    return KINDS[(number + 2 * track_index) % len(KINDS)]


def garble(kind: Garbage, body: bytes, number: int, other: bytes | None) -> tuple[Garbage, bytes]:
    """Return what is sent instead of a segment, and of which kind it is.

    Args:
        number: Decides which bits are hit.
        other: A segment of another kind of track, or None if there is none yet.
    Returns:
        The kind asked for, or noise if that needs something that is not there.
    """
    moof = _find_moof(body)
    match kind:
        case Garbage.OTHER if other is not None:
            return kind, other
        case Garbage.CUT if len(body) > 1:
            return kind, body[: len(body) // 2]
        case Garbage.ZEROS if moof is not None:
            kept = sum(moof) // 2
            return kind, body[:kept] + bytes(len(body) - kept)
        case Garbage.SIZE if moof is not None:
            begin, end = moof
            flipped = struct.pack(">I", end - begin ^ 1 << number % 32)
            return kind, body[:begin] + flipped + body[begin + len(flipped) :]
        case Garbage.MOOF if moof is not None:
            begin, end = moof
            content = begin + _HEADER.size
            return kind, body[:content] + bytes(end - content) + body[end:]
    return Garbage.NOISE, hashlib.shake_256(b"%d" % number).digest(len(body))


def _find_moof(body: bytes) -> tuple[int, int] | None:
    """Return begin and end of the first `moof`, or None."""
    begin = 0
    while begin + _HEADER.size <= len(body):
        size, kind = _HEADER.unpack_from(body, begin)
        if size < _HEADER.size or begin + size > len(body):
            return None
        if kind == b"moof":
            return begin, begin + size
        begin += size
    return None
