"""Reads what CMAF media segments say of themselves, without decoding; `parse_init` of their init segments too.

One pass over the structure, none over the media data: 14 us for 48 frames in one fragment, 6 us for each further
fragment (2026-11-23, `python -m tests.benchmarks.inspection`). Unknown boxes are passed over, as ISO/IEC 14496-12,
4.2 asks. Times are in ticks of the track's timescale.

Source: ISO/IEC 14496-12 (boxes), ISO/IEC 23000-19 (chunks: a `moof`, then its `mdat`), ISO/IEC 23009-1 (brands
`slat` and `lmsg`). Checked against ffprobe on segments of ffmpeg 5.1 and shaka-packager 3.8.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from selection.boxes import Boxes, is_long_form, missing, need, too_short
from selection.fragments import MediaData, TrackFragment, read_traf
from selection.init_segment import Init, Track, check_beginning, parse_init, read_brands
from selection.media import SAMPLES_COUNT_MAX, TRACKS_COUNT_MAX, Body, MediaError, MediaFault

__all__ = ["Init", "ProducerTime", "Segment", "Track", "TrackSegment", "parse_init", "parse_segment"]

FILLER_BRAND: Final = "slat"
LAST_BRAND: Final = "lmsg"

# From NTP's epoch, 1900, to 1970; and when its 32 bits of seconds begin anew, in 2036.
_NTP_OFFSET_S: Final = 2_208_988_800
_NTP_ERA_S: Final = 1 << 32

_U32: Final = Struct(">I")
_U32X3: Final = Struct(">3I")
_U64: Final = Struct(">Q")


@dataclass(frozen=True, slots=True)
class ProducerTime:
    """When media was made (`prft`).

    Args:
        wall_ms: Wall clock, ms since 1970, rounded down.
        media_time: The decode time that belongs to it.
    """

    track_id: int
    wall_ms: int
    media_time: int


class TrackSegment(NamedTuple):
    """What a segment holds of one track.

    Args:
        track: From the init segment; None if that doesn't know the track, or there is none. What only it could
            tell (a duration, sizes) is then counted as 0.
        decode_time: Of the first fragment (`tfdt`).
        end_time: Where the last fragment ends: `decode_time + duration`, unless there are gaps.
        composition_time: When the first sample is shown, before the edit list.
        duration: Sum over all samples.
        samples_bytes: Sum of the sizes of all samples.
        starts_with_sync: The first sample can be decoded by itself. False without samples.
        gaps_count: Fragments that do not begin where the one before ended, be it a hole or an overlap.
    """

    track_id: int
    track: Track | None
    decode_time: int
    end_time: int
    composition_time: int
    duration: int
    samples_count: int
    samples_bytes: int
    starts_with_sync: bool
    fragments_count: int
    gaps_count: int


class Segment(NamedTuple):
    """What a media segment says of itself.

    Args:
        brands: Of every `styp`, the first major one first.
        producer_time: The first `prft`, or None.
        sequence_first, sequence_last: Of the first and last fragment (`mfhd`).
        tracks: In the order they appear.
        unreferenced_bytes: Media data that no sample refers to.
    """

    brands: tuple[str, ...]
    producer_time: ProducerTime | None
    emsg_count: int
    sidx_count: int
    moofs_count: int
    sequence_first: int
    sequence_last: int
    tracks: tuple[TrackSegment, ...]
    unreferenced_bytes: int

    @property
    def is_filler(self) -> bool:
        """Whether the packager made it up because its input was lost."""
        return FILLER_BRAND in self.brands

    @property
    def is_last(self) -> bool:
        """Whether the packager says that none will follow."""
        return LAST_BRAND in self.brands


def parse_segment(body: Body, init: Init | None) -> Segment:
    """Return what a whole media segment says; `init` is that of its rendition, if there is one.

    A `moov` or `mfra` within the body is passed over. Missing chunks at the end cannot be told from the bytes:
    compare the duration.

    Raises:
        MediaError: Damaged, or no media segment.
    """
    check_beginning(body)
    return _Reader(body, init).read()


class _TrackSum:
    """One track while fragments are joined: what a `TrackSegment` says, and of the first sample of all."""

    __slots__ = (
        "composition_time",
        "decode_time",
        "duration",
        "end_time",
        "fragments_count",
        "gaps_count",
        "samples_bytes",
        "samples_count",
        "starts_with_sync",
    )

    def __init__(self, decode_time: int) -> None:
        self.decode_time = self.end_time = self.composition_time = decode_time
        self.duration = self.samples_count = self.samples_bytes = self.fragments_count = self.gaps_count = 0
        self.starts_with_sync = False

    def total(self, track_id: int, track: Track | None) -> TrackSegment:
        """Return the sum of all fragments."""
        return TrackSegment(
            track_id,
            track,
            self.decode_time,
            self.end_time,
            self.composition_time,
            self.duration,
            self.samples_count,
            self.samples_bytes,
            self.starts_with_sync,
            self.fragments_count,
            self.gaps_count,
        )


class _Reader:
    __slots__ = (
        "_body",
        "_boxes",
        "_data",
        "_init",
        "_moofs_count",
        "_samples_count",
        "_sequence_first",
        "_sequence_last",
        "_sums",
        "_unreferenced_bytes",
    )

    def __init__(self, body: Body, init: Init | None) -> None:
        self._body = body
        self._boxes = Boxes(body)
        self._init = init
        self._data = MediaData(0)
        self._unreferenced_bytes = 0
        self._moofs_count = self._samples_count = 0
        self._sequence_first = self._sequence_last = 0
        self._sums: dict[int, _TrackSum] = {}

    def read(self) -> Segment:
        brands: dict[str, None] = {}
        emsg_count = sidx_count = 0
        producer_time = None
        for kind, begin, content, end in self._boxes.within(0, len(self._body)):
            if kind == b"mdat":
                self._data.add_mdat(content, end)
            elif kind == b"moof":
                self._unreferenced_bytes += self._data.unreferenced_bytes()
                self._data = MediaData(begin)
                self._moof(begin, content, end)
            elif kind == b"styp":
                read_brands(brands, self._body, content, end)
            elif kind == b"prft":
                producer_time = producer_time or _read_prft(self._body, content, end)
            elif kind == b"emsg":
                emsg_count += 1
            elif kind == b"sidx":
                sidx_count += 1
        if self._moofs_count == 0:
            raise missing("moof", 0)
        init = self._init
        tracks = [
            each.total(track_id, None if init is None else init.track(track_id))
            for track_id, each in self._sums.items()
        ]
        return Segment(
            tuple(brands),
            producer_time,
            emsg_count,
            sidx_count,
            self._moofs_count,
            self._sequence_first,
            self._sequence_last,
            tuple(tracks),
            self._unreferenced_bytes + self._data.unreferenced_bytes(),
        )

    def _moof(self, moof: int, content: int, end: int) -> None:
        sequence = None
        for kind, begin, inner, inner_end in self._boxes.within(content, end):
            if kind == b"traf":
                self._add(read_traf(self._boxes, (begin, inner, inner_end), self._init, self._data))
                if self._samples_count > SAMPLES_COUNT_MAX or len(self._sums) > TRACKS_COUNT_MAX:
                    limits = f"more than {TRACKS_COUNT_MAX} tracks or {SAMPLES_COUNT_MAX} samples"
                    raise MediaError(MediaFault.TOO_MANY, begin, limits)
            elif kind == b"mfhd":
                if inner_end - inner < 8:
                    raise too_short("mfhd", inner, inner_end, 8)
                (sequence,) = _U32.unpack_from(self._body, inner + 4)
        if sequence is None:
            raise missing("mfhd", moof)
        if self._moofs_count == 0:
            self._sequence_first = sequence
        self._sequence_last = sequence
        self._moofs_count += 1

    def _add(self, fragment: TrackFragment) -> None:
        """Join a fragment to those of the same track before it."""
        track_id, decode_time, duration, samples_count, samples_bytes, composition_offset, starts_with_sync = fragment
        so_far = self._sums.get(track_id)
        if so_far is None:
            so_far = self._sums[track_id] = _TrackSum(decode_time)
        elif decode_time != so_far.end_time:
            so_far.gaps_count += 1
        if so_far.samples_count == 0:
            so_far.composition_time = decode_time + composition_offset
            so_far.starts_with_sync = starts_with_sync
        so_far.end_time = decode_time + duration
        so_far.duration += duration
        so_far.samples_count += samples_count
        so_far.samples_bytes += samples_bytes
        so_far.fragments_count += 1
        self._samples_count += samples_count


def _read_prft(body: Body, content: int, end: int) -> ProducerTime:
    need("prft", content, end, 20)
    is_long = is_long_form("prft", body, content)
    need("prft", content, end, 24 if is_long else 20)
    track_id, seconds, fraction = _U32X3.unpack_from(body, content + 4)
    (media_time,) = (_U64 if is_long else _U32).unpack_from(body, content + 16)
    if seconds < _NTP_OFFSET_S:
        seconds += _NTP_ERA_S  # 2036 or later; no live stream is from before 1970
    return ProducerTime(track_id, (seconds - _NTP_OFFSET_S) * 1000 + (fraction * 1000 >> 32), media_time)
