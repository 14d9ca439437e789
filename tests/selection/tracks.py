"""Builders of what a segment says of its tracks, and what is found wrong with it.

The facts are those of segment 1000, which begins where the grid says plus what the case says.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from selection.judge import segment_defects
from selection.model import Candidate, Defect, Event, Facts, InspectionPolicy, Kind, Rendition, TrackFacts
from selection.reading import Reading
from tests.support.events import candidate, make_event, make_rendition

NUMBER = 1_000

VIDEO, AUDIO = make_rendition("v"), make_rendition("a", kind=Kind.AUDIO, timescale=48_000)
MUXED, TEXT = make_rendition("m", kind=Kind.MUXED), make_rendition("t", kind=Kind.TEXT)


def an_event(duration: Fraction | int = 2, policy: InspectionPolicy | None = None, *, epoch_ms: int = 0) -> Event:
    """Return an event that looks into everything, by default with the default thresholds."""
    event = make_event(renditions=[VIDEO, AUDIO, MUXED, TEXT], duration=duration, epoch_ms=epoch_ms)
    return replace(event, inspection=InspectionPolicy() if policy is None else policy)


def frames(
    kind: Kind, timescale: int, begin: int, frame: int, count: int, *, longer: int = 0, shown: int = 0
) -> TrackFacts:
    """Return a track of frames that last `frame` ticks each.

    Args:
        longer: What they last more, all together.
        shown: How much later than it is decoded the first is shown.
    """
    ticks = frame * count + longer
    return TrackFacts(1, kind, "", timescale, begin, begin + shown, begin + ticks, ticks, count, count > 0)


def pal(offset: int = 0, count: int = 50, *, longer: int = 0, shown: int = 0) -> TrackFacts:
    """Return video of 25 frames/s, `offset` ticks of 512 a frame off the grid of 2 s."""
    return frames(Kind.VIDEO, 12_800, NUMBER * 25_600 + offset, 512, count, longer=longer, shown=shown)


def aac(offset: int = 0, count: int = 94, *, shown: int = 0) -> TrackFacts:
    """Return AAC of 48 kHz, `offset` samples off the grid of 2 s, which are 93.75 frames."""
    return frames(Kind.AUDIO, 48_000, NUMBER * 96_000 + offset, 1_024, count, shown=shown)


def ts_sound(offset: int, packets_count: int, frames_count: int) -> TrackFacts:
    """Return AAC in a transport stream, with several codec frames in each of its packets."""
    begin = NUMBER * 180_000 + offset
    ticks = frames_count * 1_920
    return TrackFacts(2, Kind.AUDIO, "aac", 90_000, begin, begin, begin + ticks, ticks, packets_count, True)


def cue(track_id: int = 1, count: int = 1) -> TrackFacts:
    """Return text, which lies on no grid."""
    return frames(Kind.TEXT, 1_000, 7, 100, count)._replace(track_id=track_id)


def second(track: TrackFacts) -> TrackFacts:
    """Return the same as the second track of a segment."""
    return track._replace(track_id=2)


def without_keyframe(track: TrackFacts) -> TrackFacts:
    """Return the same with a first sample that cannot be decoded by itself."""
    return track._replace(starts_with_sync=False)


def before(track: TrackFacts, hole: int = 0) -> TrackFacts:
    """Return the same track of the segment before, which ends `hole` ticks before this one begins."""
    return track._replace(end=track.begin - hole)


def copy_of(*tracks: TrackFacts, defects: Sequence[str] = ()) -> Candidate:
    """Return a recorded copy with these tracks."""
    return replace(candidate("a", 0, *defects), facts=Facts(tracks))


def judged(
    *tracks: TrackFacts,
    rendition: Rendition = VIDEO,
    event: Event | None = None,
    previous: Sequence[TrackFacts] | None = None,
    holes_count: int = 0,
) -> tuple[Defect, ...]:
    """Return the defects of a segment; `previous` are the tracks of the copy before it."""
    reading = Reading(Facts(tracks), holes_count=holes_count)
    before_it = None if previous is None else copy_of(*previous)
    return segment_defects(an_event() if event is None else event, rendition, NUMBER, reading, before_it)
