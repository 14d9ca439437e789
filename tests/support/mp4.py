"""Builds ISO base media boxes, field by field, and takes bodies apart into them again.

Written for tests and kept apart from the code under test: shared mistakes would not show.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

CONTAINERS: Final = frozenset(
    [b"moof", b"traf", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"dinf", b"mfra", b"udta"]
)
SYNC: Final = 0x0200_0000
NOT_SYNC: Final = 0x0101_0000


def box(kind: str, *content: bytes, large: bool = False) -> bytes:
    """Return a box; `large` writes its size in 64 bits."""
    joined = b"".join(content)
    if large:
        return struct.pack(">I4sQ", 1, kind.encode("latin-1"), 16 + len(joined)) + joined
    return struct.pack(">I4s", 8 + len(joined), kind.encode("latin-1")) + joined


def full_box(kind: str, version: int, flags: int, *content: bytes) -> bytes:
    """Return a box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def words(*values: int) -> bytes:
    """Return 32-bit words, of which negative ones are signed."""
    return b"".join(struct.pack(">i" if value < 0 else ">I", value) for value in values)


def styp(*brands: str, kind: str = "styp") -> bytes:
    """Return `styp`, the major brand first; `kind` makes it `ftyp`."""
    major, *compatible = (brand.encode("latin-1") for brand in brands)
    return box(kind, major, words(0), *compatible)


def prft(ntp: int, media_time: int, *, version: int = 1, track_id: int = 1) -> bytes:
    """Return the producer reference time, whose wall clock is an NTP time stamp of 64 bits."""
    return full_box("prft", version, 24, words(track_id), struct.pack(">QQ" if version else ">QI", ntp, media_time))


def mfhd(sequence: int) -> bytes:
    return full_box("mfhd", 0, 0, words(sequence))


def tfdt(decode_time: int, *, version: int = 1) -> bytes:
    return full_box("tfdt", version, 0, struct.pack(">Q" if version else ">I", decode_time))


def tfhd(
    track_id: int = 1,
    *,
    flags: int = 0x20000,
    base_offset: int | None = None,
    description: int | None = None,
    duration: int | None = None,
    size: int | None = None,
    sample_flags: int | None = None,
) -> bytes:
    """Return `tfhd` with exactly the fields that are given, and flags that say so; `flags` are the others."""
    content = words(track_id)
    if base_offset is not None:
        flags |= 0x1
        content += struct.pack(">Q", base_offset)
    for bit, value in ((0x2, description), (0x8, duration), (0x10, size), (0x20, sample_flags)):
        if value is not None:
            flags |= bit
            content += words(value)
    return full_box("tfhd", 0, flags, content)


@dataclass(frozen=True)
class Sample:
    """One sample; None: left to the defaults. All samples of a run leave out the same."""

    duration: int | None = None
    size: int | None = None
    flags: int | None = None
    composition_offset: int | None = None

    def fields(self) -> tuple[int | None, ...]:
        """Return the fields in the order of the table."""
        return (self.duration, self.size, self.flags, self.composition_offset)


def trun(
    samples: Sequence[Sample], *, data_offset: int | None = None, first_flags: int | None = None, version: int = 1
) -> bytes:
    """Return `trun` with exactly the fields that are given."""
    flags, content = 0, words(len(samples))
    for bit, value in ((0x1, data_offset), (0x4, first_flags)):
        if value is not None:
            flags |= bit
            content += words(value)
    for place, bit in enumerate((0x100, 0x200, 0x400, 0x800)):
        given = [sample.fields()[place] is not None for sample in samples]
        assert all(given) or not any(given), "samples of a run have the same fields"
        flags |= bit if any(given) else 0
    return full_box(
        "trun",
        version,
        flags,
        content,
        *(words(value) for sample in samples for value in sample.fields() if value is not None),
    )


def traf(*children: bytes) -> bytes:
    return box("traf", *children)


def moof(*trafs: bytes, sequence: int = 1) -> bytes:
    return box("moof", mfhd(sequence), *trafs)


def fragment(
    samples: Sequence[Sample],
    decode_time: int = 0,
    *,
    track_id: int = 1,
    sequence: int = 1,
    header: bytes | None = None,
) -> bytes:
    """Return `moof` and `mdat` of one track as ffmpeg makes them: offsets from the moof, the data right behind it.

    Args:
        header: The `tfhd`, if it has defaults; a sample without a size takes none.
    """
    header = tfhd(track_id) if header is None else header

    def made(data_offset: int) -> bytes:
        return moof(traf(header, tfdt(decode_time), trun(samples, data_offset=data_offset)), sequence=sequence)

    return made(len(made(0)) + 8) + box("mdat", bytes(sum(sample.size or 0 for sample in samples)))


def trex(track_id: int = 1, *, duration: int = 0, size: int = 0, flags: int = 0) -> bytes:
    return full_box("trex", 0, 0, words(track_id, 1, duration, size, flags))


def visual_entry(kind: str, *children: bytes, width: int = 1280, height: int = 720) -> bytes:
    """Return the sample entry of a video codec."""
    return box(kind, bytes(24), struct.pack(">HH", width, height), bytes(50), *children)


def audio_entry(kind: str, *children: bytes) -> bytes:
    """Return the sample entry of a sound codec."""
    return box(kind, bytes(28), *children)


def avcc(profile: int = 0x64, compatibility: int = 0, level: int = 0x1F) -> bytes:
    return box("avcC", bytes([1, profile, compatibility, level, 0xFF, 0xE0, 0]))


def elst(*edits: tuple[int, int], version: int = 0) -> bytes:
    """Return an edit list of (length, media time)."""
    entries = [struct.pack(">Qqi" if version else ">Iii", length, time, 1 << 16) for length, time in edits]
    return full_box("elst", version, 0, words(len(edits)), *entries)


def trak(
    entry: bytes | None = None,
    *,
    track_id: int = 1,
    handler: str = "vide",
    timescale: int = 90_000,
    version: int = 0,
    edits: bytes = b"",
) -> bytes:
    """Return a track; without an entry, of AVC video."""
    times = bytes(16 if version else 8)
    entry = visual_entry("avc1", avcc()) if entry is None else entry
    return box(
        "trak",
        full_box("tkhd", version, 7, times, words(track_id), bytes(60)),
        box("edts", edits) if edits else b"",
        box(
            "mdia",
            full_box("mdhd", version, 0, times, words(timescale), bytes(12 if version else 8)),
            full_box("hdlr", 0, 0, words(0), handler.encode(), bytes(13)),
            box("minf", box("stbl", full_box("stsd", 0, 0, words(1), entry))),
        ),
    )


def init_segment(*traks: bytes, defaults: Sequence[bytes] = (), brands: Sequence[str] = ("cmfc", "iso6")) -> bytes:
    """Return an init segment; without traks, of one AVC track."""
    return styp(*brands, kind="ftyp") + box("moov", *(traks or (trak(),)), box("mvex", *(defaults or (trex(),))))


@dataclass(frozen=True)
class Place:
    """Where a box lies in a body, and the containers around it, outermost first."""

    kind: bytes
    begin: int
    content: int
    end: int
    parents: tuple["Place", ...] = ()


def places(body: bytes, begin: int = 0, end: int | None = None, parents: tuple[Place, ...] = ()) -> Iterator[Place]:
    """Yield every box of a body, each container before what is in it; ends where sizes stop making sense."""
    end = len(body) if end is None else end
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", body, begin)
        content = begin + 8
        if size == 1 and content + 8 <= end:
            (size,) = struct.unpack_from(">Q", body, content)
            content += 8
        if size < content - begin or begin + size > end:
            return
        place = Place(kind, begin, content, begin + size, parents)
        yield place
        if kind in CONTAINERS:
            yield from places(body, content, place.end, (*parents, place))
        begin += size
