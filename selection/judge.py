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
# An enum's member costs 80 ns to name in Python 3.11.
_VIDEO: Final = Kind.VIDEO
_AUDIO: Final = Kind.AUDIO
_MUXED: Final = Kind.MUXED
_ALL: Final = Checks.ALL
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
    found = _structural(rendition, reading, mismatch)
    if event.inspection.checks is _ALL:
        found += _timing(event, number, reading, previous)
    return tuple(found)


def _mismatch(differs: str) -> Defect:
    return Defect(MISMATCHED_INIT, (("differs", differs),))


def _structural(rendition: Rendition, reading: Reading, mismatch: str | None) -> list[Defect]:
    found: list[Defect] = []
    needed = _NEEDED.get(rendition.kind)
    holds_needed = needed is None or not reading.facts.tracks
    has_keyframes = True
    for track in reading.facts.tracks:
        if track.kind == needed or track.kind is _MUXED:
            holds_needed = True
        if track.kind is _VIDEO and track.samples_count and not track.starts_with_sync:
            has_keyframes = False
    if mismatch is not None:
        found.append(_mismatch(mismatch))
    elif reading.unknown_track_id is not None:
        found.append(_mismatch("track"))
    elif not holds_needed:
        found.append(_mismatch("kind"))
    if reading.is_filler:
        found.append(Defect(SLATE))
    if not has_keyframes:
        found.append(Defect(NO_KEYFRAME))
    return found


def _timing(event: Event, number: int, reading: Reading, previous: Candidate | None) -> Iterable[Defect]:
    tracks = reading.facts.tracks
    judged = [_Judged(event, number, track) for track in tracks if track.timescale and track.kind in _TIMED]
    jump = _jump(event.inspection, judged, previous)
    wrong = [each for each in judged if each.is_off_grid or each.is_short or each.is_long]
    if jump is None and not wrong and not reading.holes_count:
        return ()  # nearly always
    return _untimely(judged, jump, reading.holes_count)


def _untimely(judged: list["_Judged"], jump: tuple[TrackFacts, int] | None, holes_count: int) -> Iterator[Defect]:
    """Yield what is wrong with the times of a segment, each defect for the track that has most of it."""
    timed = [each.track for each in judged]
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
    if holes_count:
        yield Defect(DISCONTINUITY, (("holes", holes_count),))
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
        "_missing",
        "_offset",
        "_scale",
        "frame_count",
        "frame_ticks",
        "is_long",
        "is_off_grid",
        "is_short",
        "missing_frames",
        "track",
    )

    def __init__(self, event: Event, number: int, track: TrackFacts) -> None:
        self.track = track
        policy, timeline = event.inspection, event.timeline
        _, kind, _, timescale, begin, presentation, _, shown, samples_count, _ = track
        if kind is _AUDIO:
            time_frames_max, allowed_frames = policy.audio_time_frames_max, policy.audio_missing_frames_max
        else:
            time_frames_max, allowed_frames = policy.time_frames_max, policy.missing_frames_max
        # Of the grid: in ticks of the track, times the timescale of the event.
        self._scale = scale = timeline.timescale
        duration = timeline.duration_ticks * timescale
        if not samples_count:
            shown = 0
        frame_ticks, frame_count = shown, samples_count or 1
        # What counts every sample of sound as a frame (PCM) is judged no finer than this.
        if shown * _FRAMES_PER_SECOND_MAX < timescale * frame_count:
            frame_ticks, frame_count = timescale, _FRAMES_PER_SECOND_MAX
        self.frame_ticks, self.frame_count = frame_ticks, frame_count
        self._missing = missing = duration - shown * scale
        frame = scale * frame_ticks
        self.missing_frames = missing_frames = _rounded(missing * frame_count, frame) if missing else 0
        if missing_frames:
            # Where a segment is no whole number of frames, it is cut at the nearest one: some have one more than
            # others.
            frames = duration * frame_count
            is_whole = abs(frames - _rounded(frames, frame) * frame) * _WHOLE_PARTS < frame
            allowed_frames += not is_whole
        # A transport stream does not tell how long a single frame lasts.
        is_timed = bool(shown) or not samples_count
        self.is_short = is_timed and missing_frames > allowed_frames
        self.is_long = -missing_frames > allowed_frames
        # Where frames are shown in another order, either decoding or showing begins on the grid.
        grid = timeline.time_ticks(number, timescale)
        decoded, presented = begin - grid, presentation - grid
        self._offset = offset = decoded if abs(decoded) <= abs(presented) else presented
        tolerance_parts = time_frames_max * _WHOLE_PARTS + 1
        self.is_off_grid = (
            samples_count > 0 and abs(offset) * frame_count * _WHOLE_PARTS > tolerance_parts * frame_ticks
        )

    @property
    def offset_ms(self) -> int:
        """How much after the grid it begins."""
        return _rounded(self._offset * MS_PER_SECOND, self.track.timescale)

    @property
    def missing_ms(self) -> int:
        """How much shorter than the grid it is."""
        return _rounded(self._missing * MS_PER_SECOND, self._scale * self.track.timescale)

    def frames(self, ticks: int) -> int:
        """Return how many frames last so long, rounded to the nearest."""
        return _rounded(ticks * self.frame_count, self.frame_ticks)


def _jump(
    policy: InspectionPolicy, judged: Iterable[_Judged], previous: Candidate | None
) -> tuple[TrackFacts, int] | None:
    """Return the track that does not begin where the segment before it ended, and by how many ms.

    A copy with defects is no measure: a hole that it left is its own fault, and this segment is where it should be.
    """
    if previous is None or previous.facts is None or previous.defects:
        return None
    ends = {(track.track_id, track.timescale): track.end for track in previous.facts.tracks}
    for each in judged:
        track = each.track
        if not track.samples_count:
            continue  # it does not begin anywhere
        end = ends.get((track.track_id, track.timescale))
        if end is None or end == track.begin:
            continue
        if abs(each.frames(track.begin - end)) > policy.gap_frames_max:
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
