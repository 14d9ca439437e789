"""Reads what a published body says of itself, whatever its format: the facts that candidates are compared by."""

from dataclasses import dataclass
from typing import Final

from selection.cmaf import Init, Track, TrackSegment, parse_init, parse_segment
from selection.model import Event, Facts, Format, Kind, Rendition, TrackFacts
from selection.mpegts import StreamKind, TsStream, parse_ts
from selection.ts_streams import TICKS_PER_SECOND

_HANDLERS: Final = {"vide": Kind.VIDEO, "soun": Kind.AUDIO, "text": Kind.TEXT, "subt": Kind.TEXT, "sbtl": Kind.TEXT}
_STREAMS: Final = {StreamKind.VIDEO: Kind.VIDEO, StreamKind.AUDIO: Kind.AUDIO}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a segment says of itself: the facts that are kept, and what only counts for its defects.

    Args:
        is_filler: The packager made it up because its input was lost (brand `slat`).
        unknown_track_id: A track that its init segment does not have, or None.
        holes_count: Fragments that do not begin where the one before ended; in a transport stream the places
            where packets are missing or marked as damaged.
    """

    facts: Facts
    is_filler: bool = False
    unknown_track_id: int | None = None
    holes_count: int = 0


def read_init(body: bytes) -> tuple[Init, tuple[TrackFacts, ...]]:
    """Return what an init segment says, and the facts that are kept of it.

    Raises:
        MediaError: Damaged, or no init segment.
    """
    init = parse_init(body)
    return init, tuple(_init_facts(track) for track in init.tracks)


def read_segment(event: Event, rendition: Rendition, number: int, body: bytes, init: Init | None) -> Reading:
    """Return what a whole media segment says.

    Args:
        init: The init segment it needs, or None if that is not known, or there is none.
    Raises:
        MediaError: Damaged, or not what the rendition's format is.
    """
    if rendition.format is Format.MPEG_TS:
        return _read_ts(body, event.timeline.time_ticks(number, TICKS_PER_SECOND))
    return _read_cmaf(body, init, rendition.kind)


def _read_cmaf(body: bytes, init: Init | None, kind: Kind) -> Reading:
    segment = parse_segment(body, init)
    unknown = None
    if init is not None:
        unknown = next((track.track_id for track in segment.tracks if track.track is None), None)
    tracks = [_cmaf_facts(track, kind) for track in segment.tracks]
    if init is not None and unknown is None:
        there = {track.track_id for track in segment.tracks}
        # A segment without a fragment of one of its tracks holds nothing of it.
        tracks += [_init_facts(track) for track in init.tracks if track.track_id not in there]
    return Reading(
        facts=Facts(tuple(tracks)),
        is_filler=segment.is_filler,
        unknown_track_id=unknown,
        holes_count=sum(track.gaps_count for track in segment.tracks),
    )


def _cmaf_facts(segment: TrackSegment, kind: Kind) -> TrackFacts:
    track = segment.track
    edit = 0 if track is None else track.edit_media_time or 0
    return TrackFacts(
        track_id=segment.track_id,
        kind=kind if track is None else _kind_of(track),
        codec="" if track is None else track.codec,
        timescale=0 if track is None else track.timescale,
        begin=segment.decode_time,
        presentation=segment.composition_time - edit,
        end=segment.end_time,
        duration=segment.duration,
        samples_count=segment.samples_count,
        starts_with_sync=segment.starts_with_sync,
    )


def _init_facts(track: Track) -> TrackFacts:
    return TrackFacts(track.track_id, _kind_of(track), track.codec, track.timescale)


def _kind_of(track: Track) -> Kind:
    """Return what a track carries; whatever is neither picture nor sound is not timed by frames, as text is not."""
    return _HANDLERS.get(track.handler, Kind.TEXT)


def _read_ts(body: bytes, expected_ticks: int) -> Reading:
    segment = parse_ts(body, expected_ticks)
    streams = [stream for stream in segment.streams if stream.kind in _STREAMS]
    return Reading(
        facts=Facts(tuple(_ts_facts(stream) for stream in streams)),
        holes_count=segment.continuity_errors_count + segment.transport_errors_count,
    )


def _ts_facts(stream: TsStream) -> TrackFacts:
    begin = 0 if stream.times is None else stream.times.earliest_pts
    duration = stream.duration or 0
    return TrackFacts(
        track_id=stream.pid,
        kind=_STREAMS[stream.kind],
        codec=stream.codec,
        timescale=TICKS_PER_SECOND,
        begin=begin,
        presentation=begin,
        end=begin + duration,
        duration=duration,
        samples_count=0 if stream.times is None else stream.frames_count,
        starts_with_sync=stream.starts_with_random_access,
    )
