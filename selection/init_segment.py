"""Reads CMAF init segments (CMAF headers): which tracks there are, and what their fragments may leave out.

Source: ISO/IEC 14496-12, clause 8; ISO/IEC 23000-19, 7.3.1.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from selection.boxes import Boxes, fourcc, is_long_form, missing, need
from selection.codecs import AUDIO_FIELDS_BYTES, VISUAL_FIELDS_BYTES, codec_name, find_configuration
from selection.media import BRANDS_COUNT_MAX, EDITS_COUNT_MAX, TRACKS_COUNT_MAX, Body, MediaError, MediaFault
from selection.setup import decoder_setup, protection_of

# What a body may begin with. Anything may follow; a web page, a playlist or a transport stream is refused here.
FIRST_BOXES: Final = frozenset(
    [b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"prft", b"emsg", b"free", b"skip", b"uuid"]
)

_U16X2: Final = Struct(">2H")
_U32: Final = Struct(">I")
_U32X5: Final = Struct(">5I")
# By handler: the fields of a sample entry before its child boxes.
_FIELDS_BYTES: Final = {"vide": VISUAL_FIELDS_BYTES, "soun": AUDIO_FIELDS_BYTES}
_EDITS: Final = (Struct(">Iii"), Struct(">Qqi"))  # by version: length, media time, rate


class SampleDefaults(NamedTuple):
    """What holds for the samples of a fragment that says nothing else (`trex`).

    Args:
        duration: In ticks.
        size: In bytes.
        flags: Bit 0x10000: not a sync sample.
    """

    duration: int
    size: int
    flags: int


# A track without `trex` has none of them; ffmpeg, too, takes them as 0.
NO_DEFAULTS: Final = SampleDefaults(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Track:
    """One track of an init segment.

    Args:
        handler: `vide`, `soun`, `text`, `subt` or `meta`.
        timescale: Ticks per second, at least 1.
        codec: Of the first sample entry: `avc1.64001f`, `mp4a.40.2`; the bare type where no more is known.
        width, height: Coded picture in pixels; None unless it is video.
        edit_media_time: The composition time that is shown first, from the edit list; None without one. What
            a player calls the presentation time is composition time minus this.
        setup: What a decoder is set up with, of the first sample entry: `selection.setup.decoder_setup`.
        protection: How samples are encrypted unless they say otherwise: `selection.setup.protection_of`. Empty if
            they are not.
    """

    track_id: int
    handler: str
    timescale: int
    codec: str
    width: int | None = None
    height: int | None = None
    edit_media_time: int | None = None
    defaults: SampleDefaults = NO_DEFAULTS
    setup: bytes = b""
    protection: bytes = b""


class _SampleEntry(NamedTuple):
    codec: str
    setup: bytes = b""
    protection: bytes = b""
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Init:
    """An init segment: what a decoder must know before the first segment.

    Args:
        brands: Of `ftyp`, the major one first.
        tracks: In the order of the file, at least one.
    """

    brands: tuple[str, ...]
    tracks: tuple[Track, ...]

    def track(self, track_id: int) -> Track | None:
        """Return one track, or None for an unknown id."""
        for track in self.tracks:  # a loop: asked for every fragment, and twice as fast as a generator
            if track.track_id == track_id:
                return track
        return None


def parse_init(body: Body) -> Init:
    """Return what a whole init segment says; fragments behind it are passed over.

    `mvex` must be there: without it no fragments may follow, and browsers refuse it (W3C, "ISO BMFF Byte Stream
    Format", initialization segments).

    Raises:
        MediaError: Damaged, or no init segment.
    """
    check_beginning(body)
    boxes = Boxes(body)
    brands: dict[str, None] = {}
    moov = None
    for kind, begin, content, end in boxes.within(0, len(body)):
        if kind == b"ftyp":
            read_brands(brands, body, content, end)
        elif kind == b"moov" and moov is None:
            moov = (begin, content, end)
    if moov is None:
        raise missing("moov", 0)
    return Init(tuple(brands), _tracks(boxes, *moov))


def check_beginning(body: Body) -> None:
    """Refuse a body that does not begin as any file of this kind."""
    if bytes(body[4:8]) not in FIRST_BOXES:
        shown = fourcc(body[:8])
        raise MediaError(MediaFault.NOT_MEDIA, 0, f"begins with {shown!r}; expected ftyp, styp or moof")


def read_brands(brands: dict[str, None], body: Body, content: int, end: int) -> None:
    """Add the brands of `ftyp` or `styp` to an ordered set: the major one, then the compatible ones."""
    need("the list of brands", content, end, 8)
    if len(brands) + (end - content) // 4 - 1 > BRANDS_COUNT_MAX:  # the version of the major one is none
        raise MediaError(MediaFault.TOO_MANY, content, f"more than {BRANDS_COUNT_MAX} brands")
    codes = fourcc(body[content:end])
    brands[codes[:4]] = None
    for position in range(8, len(codes) - 3, 4):
        brands[codes[position : position + 4]] = None


def _tracks(boxes: Boxes, moov: int, content: int, end: int) -> tuple[Track, ...]:
    traks: list[tuple[int, int, int]] = []
    defaults: dict[int, SampleDefaults] | None = None
    for kind, begin, inner, inner_end in boxes.within(content, end):
        if kind == b"trak":
            traks.append((begin, inner, inner_end))
        elif kind == b"mvex":
            defaults = {} if defaults is None else defaults
            for child, _, fields, fields_end in boxes.within(inner, inner_end):
                if child == b"trex":
                    need("trex", fields, fields_end, 24)
                    track_id, _, *values = _U32X5.unpack_from(boxes.body, fields + 4)
                    defaults[track_id] = SampleDefaults(*values)
    if defaults is None:
        raise missing("mvex", moov)
    if not traks:
        raise missing("trak", moov)
    if len(traks) > TRACKS_COUNT_MAX:
        raise MediaError(MediaFault.TOO_MANY, moov, f"more than {TRACKS_COUNT_MAX} tracks")
    tracks: dict[int, Track] = {}
    for begin, inner, inner_end in traks:
        track = _track(boxes, begin, inner, inner_end, defaults)
        if track.track_id == 0 or track.track_id in tracks:
            raise MediaError(MediaFault.BAD_FIELD, begin, f"track id {track.track_id}; ids are unique and not 0")
        tracks[track.track_id] = track
    return tuple(tracks.values())


def _track(boxes: Boxes, trak: int, begin: int, end: int, defaults: dict[int, SampleDefaults]) -> Track:
    body = boxes.body

    def content_of(size: int, *path: bytes) -> tuple[int, int]:
        found = boxes.find(begin, end, *path)
        name = path[-1].decode()
        if found is None:
            raise missing(name, trak)
        need(name, *found, size)
        return found

    # Both boxes hold two times first, of 32 bits each or of 64.
    header, _ = content_of(24, b"tkhd")
    (track_id,) = _U32.unpack_from(body, header + (20 if is_long_form("tkhd", body, header) else 12))
    media, _ = content_of(24, b"mdia", b"mdhd")
    (timescale,) = _U32.unpack_from(body, media + (20 if is_long_form("mdhd", body, media) else 12))
    if timescale == 0:
        raise MediaError(MediaFault.BAD_FIELD, media, "a timescale of 0 ticks per second")
    hdlr, _ = content_of(12, b"mdia", b"hdlr")
    handler = fourcc(body[hdlr + 8 : hdlr + 12])
    entry = _sample_entry(boxes, handler, *content_of(8, b"mdia", b"minf", b"stbl", b"stsd"))
    edits = boxes.find(begin, end, b"edts", b"elst")
    return Track(
        track_id=track_id,
        handler=handler,
        timescale=timescale,
        codec=entry.codec,
        width=entry.width,
        height=entry.height,
        edit_media_time=None if edits is None else _edit_media_time(body, *edits),
        defaults=defaults.get(track_id, NO_DEFAULTS),
        setup=entry.setup,
        protection=entry.protection,
    )


def _sample_entry(boxes: Boxes, handler: str, stsd: int, stsd_end: int) -> _SampleEntry:
    """Read the first sample entry."""
    entry = next(boxes.within(stsd + 8, stsd_end), None)
    if entry is None:
        raise missing("sample entry", stsd)
    kind, _, content, end = entry
    if handler not in _FIELDS_BYTES:
        return _SampleEntry(fourcc(kind))
    need(fourcc(kind), content, end, _FIELDS_BYTES[handler])
    children = content + _FIELDS_BYTES[handler]
    configuration = find_configuration(boxes, kind, children, end)
    return _SampleEntry(
        codec_name(configuration),
        decoder_setup(configuration),
        protection_of(boxes, kind, children, end),
        *(_U16X2.unpack_from(boxes.body, content + 24) if handler == "vide" else ()),
    )


def _edit_media_time(body: Body, content: int, end: int) -> int | None:
    """Return the media time of the first edit that shows media; those before it only delay (media time -1)."""
    need("elst", content, end, 8)
    edit = _EDITS[is_long_form("elst", body, content)]
    (entries_count,) = _U32.unpack_from(body, content + 4)
    need("elst", content, end, 8 + entries_count * edit.size)
    for position in range(content + 8, content + 8 + min(entries_count, EDITS_COUNT_MAX) * edit.size, edit.size):
        media_time: int = edit.unpack_from(body, position)[1]
        if media_time >= 0:
            return media_time
    if entries_count > EDITS_COUNT_MAX:
        raise MediaError(MediaFault.TOO_MANY, content, f"more than {EDITS_COUNT_MAX} edits that show nothing")
    return None
