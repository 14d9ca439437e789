"""Finds the defects of a copy from the facts inspection read: no clock, no state beside what is passed in.

Times are compared with the event's grid, in frames of the track itself: a picture at 25 frames/s may begin 40 ms off
before that is called wrong, one at 50 frames/s only 20. Sound is cut between codec frames, so a segment of it begins
and ends up to a frame off the grid (measured: ffmpeg's AAC begins one frame early).
"""

from collections.abc import Iterable, Iterator
from typing import Final

from selection.init_segment import Init
from selection.media import MediaError
from selection.model import Candidate, Checks, Defect, Event, InspectionPolicy, Kind, Rendition, TrackFacts
from selection.rank import CORRUPT, DISCONTINUITY, MISMATCHED_INIT, NO_KEYFRAME, SHORT, SLATE, WRONG_TIME, severity
from selection.reading import Reading
from selection.timeline import MS_PER_SECOND

# What a rendition of each kind must hold.
_NEEDED: Final = {Kind.VIDEO: Kind.VIDEO, Kind.MUXED: Kind.VIDEO, Kind.AUDIO: Kind.AUDIO}
_HANDLER_NEEDED: Final = {Kind.VIDEO: "vide", Kind.MUXED: "vide", Kind.AUDIO: "soun"}
_TIMED: Final = (Kind.VIDEO, Kind.AUDIO)
_CODED: Final = ("vide", "soun")
# A segment lasts a whole number of frames if it does so to one of so many parts of a frame: time stamps are rounded.
_WHOLE_PARTS: Final = 100
_FRAMES_PER_SECOND_MAX: Final = 240


def corrupt(error: MediaError) -> Defect:
    """Return the defect of a body that cannot be read."""
    return Defect(CORRUPT, (("reason", error.reason.value), ("offset", error.offset)))


def merged(found: Iterable[Defect], declared: Iterable[Defect]) -> tuple[Defect, ...]:
    """Return all defects, the worst first. What was measured counts more than what the packager says of the same."""
    defects = {defect.name: defect for defect in (*declared, *found)}
    return tuple(sorted(defects.values(), key=lambda defect: (-severity(defect), defect.name)))


def init_defects(rendition: Rendition, init: Init) -> tuple[Defect, ...]:
    """Return in what an init segment is not what the configuration says of its rendition.

    Only what a packager that mixes up its renditions gets wrong: what the tracks carry, the kind of codec, the
    size of the picture.
    """
    needed = _HANDLER_NEEDED.get(rendition.kind)
    handlers = {track.handler for track in init.tracks}
    if needed is not None and needed not in handlers:
        return (_mismatch("kind"),)
    if rendition.codecs is not None:
        # Of Opus and FLAC, manifests write the names in small letters.
        known = {codec.strip().lower().partition(".")[0] for codec in rendition.codecs.split(",")}
        if not all(track.codec.lower().partition(".")[0] in known for track in init.tracks if track.handler in _CODED):
            return (_mismatch("codec"),)
    sizes = [(track.width, track.height) for track in init.tracks if track.handler == "vide"]
    wanted = (rendition.width, rendition.height)
    if sizes and None not in wanted and wanted not in sizes:
        return (_mismatch("picture-size"),)
    return ()


def segment_defects(
    event: Event,
    rendition: Rendition,
    number: int,
    reading: Reading,
    previous: Candidate | None,
    mismatch: str | None = None,
) -> tuple[Defect, ...]:
    """Return the defects of a media segment that can be parsed.

    Args:
        previous: The copy of the segment before it by the same pipeline, or None.
        mismatch: In what a decoder set up for this rendition cannot play it, or None.
    """
    found = list(_structural(rendition, reading, mismatch))
    if event.inspection.checks is Checks.ALL:
        found += _timing(event, number, reading, previous)
    return tuple(found)


def _mismatch(differs: str) -> Defect:
    return Defect(MISMATCHED_INIT, (("differs", differs),))


def _structural(rendition: Rendition, reading: Reading, mismatch: str | None) -> Iterator[Defect]:
    tracks = reading.facts.tracks
    needed = _NEEDED.get(rendition.kind)
    if mismatch is not None:
        yield _mismatch(mismatch)
    elif reading.unknown_track_id is not None:
        yield _mismatch("track")
    elif needed is not None and tracks and all(track.kind not in (needed, Kind.MUXED) for track in tracks):
        yield _mismatch("kind")
    if reading.is_filler:
        yield Defect(SLATE)
    if any(track.kind is Kind.VIDEO and track.samples_count and not track.starts_with_sync for track in tracks):
        yield Defect(NO_KEYFRAME)


def _timing(event: Event, number: int, reading: Reading, previous: Candidate | None) -> Iterator[Defect]:
    timed = [track for track in reading.facts.tracks if track.kind in _TIMED and track.timescale]
    judged = [_Judged(event, number, track) for track in timed]
    worst_offset = max(
        (each for each in judged if each.is_off_grid), key=lambda each: abs(each.offset_ms), default=None
    )
    if worst_offset is not None:
        yield Defect(WRONG_TIME, (("offset_ms", worst_offset.offset_ms), *_which(worst_offset.track, timed)))
    shortest = max((each for each in judged if each.is_short), key=lambda each: each.missing_ms, default=None)
    if shortest is not None:
        # How many frames an empty track should have is not known.
        frames = (("missing_frames", shortest.missing_frames),) if shortest.track.samples_count else ()
        yield Defect(SHORT, (("missing_ms", shortest.missing_ms), *frames, *_which(shortest.track, timed)))
    jump = _jump(event.inspection, judged, previous)
    if reading.holes_count:
        yield Defect(DISCONTINUITY, (("holes", reading.holes_count),))
    elif (longest := max(judged, key=lambda each: -each.missing_frames, default=None)) and longest.is_long:
        yield Defect(DISCONTINUITY, (("excess_ms", -longest.missing_ms), *_which(longest.track, timed)))
    elif jump is not None:
        jumped, gap_ms = jump
        yield Defect(DISCONTINUITY, (("gap_ms", gap_ms), *_which(jumped, timed)))


class _Judged:
    """One track of a segment beside the grid.

    A frame lasts `frame_ticks / frame_count` ticks. All of it is exact, in whole numbers: with `Fraction` it takes
    four times as long, 4 % of what a small upload costs.
    """

    __slots__ = (
        "frame_count",
        "frame_ticks",
        "is_long",
        "is_off_grid",
        "is_short",
        "missing_frames",
        "missing_ms",
        "offset_ms",
        "track",
    )

    def __init__(self, event: Event, number: int, track: TrackFacts) -> None:
        policy, is_audio = event.inspection, track.kind is Kind.AUDIO
        self.track = track
        # Of the grid: in ticks of the track, times the timescale of the event.
        scale, timescale = event.timeline.timescale, track.timescale
        duration = event.timeline.duration_ticks * timescale
        shown = track.duration if track.samples_count else 0
        self.frame_ticks, self.frame_count = shown, max(track.samples_count, 1)
        # What counts every sample of sound as a frame (PCM) is judged no finer than this.
        if shown * _FRAMES_PER_SECOND_MAX < timescale * self.frame_count:
            self.frame_ticks, self.frame_count = timescale, _FRAMES_PER_SECOND_MAX
        # Where a segment is no whole number of frames, it is cut at the nearest one: some have one more than others.
        frames, frame = duration * self.frame_count, scale * self.frame_ticks
        is_whole = abs(frames - _rounded(frames, frame) * frame) * _WHOLE_PARTS < frame
        missing = duration - shown * scale
        self.missing_frames = _rounded(missing * self.frame_count, frame)
        self.missing_ms = _rounded(missing * MS_PER_SECOND, scale * timescale)
        allowed_frames = (policy.audio_missing_frames_max if is_audio else policy.missing_frames_max) + (not is_whole)
        # A transport stream does not tell how long a single frame lasts.
        is_timed = bool(shown) or not track.samples_count
        self.is_short = is_timed and self.missing_frames > allowed_frames
        self.is_long = -self.missing_frames > allowed_frames
        # Where frames are shown in another order, either decoding or showing begins on the grid.
        grid = event.timeline.time_ticks(number, timescale)
        offset = min(track.begin - grid, track.presentation - grid, key=abs)
        self.offset_ms = _rounded(offset * MS_PER_SECOND, timescale)
        tolerance_parts = (policy.audio_time_frames_max if is_audio else policy.time_frames_max) * _WHOLE_PARTS + 1
        is_off = abs(offset) * self.frame_count * _WHOLE_PARTS > tolerance_parts * self.frame_ticks
        self.is_off_grid = track.samples_count > 0 and is_off

    def frames(self, ticks: int) -> int:
        """Return how many frames last so long, rounded to the nearest."""
        return _rounded(ticks * self.frame_count, self.frame_ticks)


def _jump(
    policy: InspectionPolicy, judged: Iterable[_Judged], previous: Candidate | None
) -> tuple[TrackFacts, int] | None:
    """Return the track that does not begin where the segment before it ended, and by how many ms.

    A copy with defects is no measure: a hole that it left is its own fault, and this segment is where it should be.
    """
    if previous is None or previous.facts is None or not previous.is_good:
        return None
    ends = {(track.track_id, track.timescale): track.end for track in previous.facts.tracks}
    for each in judged:
        track = each.track
        if not track.samples_count:
            continue  # it does not begin anywhere
        end = ends.get((track.track_id, track.timescale))
        if end is not None and abs(each.frames(track.begin - end)) > policy.gap_frames_max:
            return track, _rounded((track.begin - end) * MS_PER_SECOND, track.timescale)
    return None


def _which(track: TrackFacts, timed: list[TrackFacts]) -> tuple[tuple[str, int], ...]:
    """Name the track where there are several."""
    return (("track", track.track_id),) if len(timed) > 1 else ()


def _rounded(part: int, whole: int) -> int:
    """Return `part / whole` to the nearest whole number, halves to the even one, as `round` does.

    >>> [_rounded(part, 2) for part in (-3, -1, 1, 3, 5)]
    [-2, 0, 0, 2, 2]
    """
    quotient, left = divmod(part, whole)
    return quotient + (2 * left > whole or (2 * left == whole and quotient % 2 == 1))
