"""What goes wrong with segments, one thing at a time: real segments in, the same with one fault out.

Where a fault is one of the encoder, everything else stays as a packager would write it: sizes, offsets and the index
fit what is there. Made for segments as ffmpeg writes them: one track, one fragment, frames of equal length.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from tests.support.mp4 import NOT_SYNC, Place, Sample, box, full_box, moof, places, styp, tfdt, traf, trun, words

Fault = Callable[[bytes], bytes]

FRAMES_PER_FRAGMENT: Final = 24
# The run has an offset and flags of its first frame; each frame has a size, all else are defaults of `tfhd`.
_TRUN_FLAGS: Final = 0x205
_TFHD_FLAGS: Final = 0x20038
_STARTS_WITH_SAP: Final = 0x8000_0000


@dataclass(frozen=True)
class Segment:
    """A segment taken apart.

    Args:
        head: Everything before the index.
        timescale: As the index tells it.
        header: `tfhd`, as it stands.
        first_flags: Of the first frame.
        frames: What each frame is coded as.
    """

    head: bytes
    timescale: int
    sequence: int
    header: bytes
    decode_time: int
    frame_ticks: int
    first_flags: int
    frames: tuple[bytes, ...]


def taken_apart(body: bytes) -> Segment:
    """Return the parts of a segment; `put_together` makes the same bytes of them."""
    found = {place.kind: place for place in places(body)}
    header, run, data = found[b"tfhd"], found[b"trun"], found[b"mdat"]
    assert _word(body, header) == _TFHD_FLAGS and _word(body, run) == _TRUN_FLAGS
    count = _word(body, run, 1)
    begin, frames = data.content, []
    for place in range(count):
        size = _word(body, run, 4 + place)
        frames.append(body[begin : begin + size])
        begin += size
    assert begin == data.end == len(body)
    (decode_time,) = struct.unpack_from(">Q", body, found[b"tfdt"].content + 4)
    return Segment(
        head=body[: found[b"sidx"].begin],
        timescale=_word(body, found[b"sidx"], 2),
        sequence=_word(body, found[b"mfhd"], 1),
        header=body[header.begin : header.end],
        decode_time=decode_time,
        frame_ticks=_word(body, header, 2),
        first_flags=_word(body, run, 3),
        frames=tuple(frames),
    )


def put_together(*parts: Segment) -> bytes:
    """Return a segment of these fragments, with the head of the first."""
    first, fragments = parts[0], b"".join(_fragment(part) for part in parts)
    duration = sum(len(part.frames) * part.frame_ticks for part in parts)
    index = full_box(
        "sidx",
        1,
        0,
        words(1, first.timescale),
        struct.pack(">QQHH", first.decode_time, 0, 0, 1),
        words(len(fragments), duration, _STARTS_WITH_SAP),
    )
    return first.head + index + fragments


def _fragment(part: Segment) -> bytes:
    samples = [Sample(size=len(frame)) for frame in part.frames]

    def made(data_offset: int) -> bytes:
        run = trun(samples, data_offset=data_offset, first_flags=part.first_flags, version=0)
        return moof(traf(part.header, tfdt(part.decode_time), run), sequence=part.sequence)

    return made(len(made(0)) + 8) + box("mdat", *part.frames)


def _word(body: bytes, place: Place, index: int = 0) -> int:
    (word,) = struct.unpack_from(">I", body, place.content + 4 * index)
    return int(word)


def _place(body: bytes, kind: bytes) -> Place:
    return next(place for place in places(body) if place.kind == kind)


def _replaced(body: bytes, begin: int, by: bytes) -> bytes:
    return body[:begin] + by + body[begin + len(by) :]


def marked(body: bytes, text: str) -> bytes:
    """Return the same media as another pipeline's bytes: with a box behind the first one that everybody passes over."""
    first = next(places(body))
    return body[: first.end] + box("free", text.encode()) + body[first.end :]


# -- faults of an encoder: the segment can be read


def untouched(body: bytes) -> bytes:
    """Nothing is wrong."""
    return body


def shortened(frames_count: int) -> Fault:
    """Return the fault that the last frames are missing."""

    def fault(body: bytes) -> bytes:
        segment = taken_apart(body)
        return put_together(replace(segment, frames=segment.frames[:-frames_count]))

    return fault


def moved(frames_count: int) -> Fault:
    """Return the fault that everything is told to be later by so many frames."""

    def fault(body: bytes) -> bytes:
        segment = taken_apart(body)
        return put_together(_moved(segment, frames_count))

    return fault


def _moved(segment: Segment, frames_count: int) -> Segment:
    return replace(segment, decode_time=segment.decode_time + frames_count * segment.frame_ticks)


def in_fragments(body: bytes) -> list[Segment]:
    """Return a segment in fragments of 24 frames each, of which only the first begins with a keyframe."""
    whole = taken_apart(body)
    return [
        replace(
            _moved(whole, begin),
            sequence=whole.sequence + begin // FRAMES_PER_FRAGMENT,
            first_flags=NOT_SYNC if begin else whole.first_flags,
            frames=whole.frames[begin : begin + FRAMES_PER_FRAGMENT],
        )
        for begin in range(0, len(whole.frames), FRAMES_PER_FRAGMENT)
    ]


def with_hole(body: bytes) -> bytes:
    """All frames are there, but after half of them is a hole one frame wide."""
    first, second = in_fragments(body)
    return put_together(first, _moved(second, 1))


def without_keyframe(body: bytes) -> bytes:
    """The first frame cannot be decoded by itself."""
    return put_together(replace(taken_apart(body), first_flags=NOT_SYNC))


def filler(body: bytes) -> bytes:
    """The packager says that it made the segment up."""
    first = next(places(body))
    return styp("msdh", "msdh", "msix", "slat") + body[first.end :]


# -- faults of a machine or a network: the bytes are no segment any more


def cut_tail(body: bytes) -> bytes:
    """The last third did not come."""
    return body[: len(body) * 2 // 3]


def flipped_size(body: bytes) -> bytes:
    """One bit of the fragment's size is another."""
    at = _place(body, b"moof").begin + 2
    return _replaced(body, at, bytes([body[at] ^ 0x01]))


def zeroed_moof(body: bytes) -> bytes:
    """Zeros where the fragment's header was, as a hole in a file has."""
    place = _place(body, b"moof")
    return _replaced(body, place.begin, bytes(place.end - place.begin))


def zeroed_in_moof(body: bytes) -> bytes:
    """Zeros within the fragment's header, from the list of frames on."""
    place = _place(body, b"trun")
    return _replaced(body, place.begin, bytes(place.end - place.begin))


def noise(body: bytes) -> bytes:
    """Other bytes, as many; the same ones for the same body."""
    return Random(body).randbytes(len(body))
