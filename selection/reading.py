"""Reads what a published body says of itself, whatever its format: the facts that candidates are compared by."""

from typing import Final, NamedTuple

from selection.cmaf import Init, Track, TrackSegment, parse_init, parse_segment
from selection.media import Body
from selection.model import Event, Facts, Format, Kind, Rendition, TrackFacts
from selection.mpegts import StreamKind, TsStream, parse_ts
from selection.ts_streams import TICKS_PER_SECOND

_HANDLERS: Final = {"vide": Kind.VIDEO, "soun": Kind.AUDIO, "text": Kind.TEXT, "subt": Kind.TEXT, "sbtl": Kind.TEXT}
_STREAMS: Final = {StreamKind.VIDEO: Kind.VIDEO, StreamKind.AUDIO: Kind.AUDIO}


# An enum's member costs 80 ns to name in Python 3.11.
_TEXT: Final = Kind.TEXT
_MPEG_TS: Final = Format.MPEG_TS


class Reading(NamedTuple):
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


def read_init(body: Body) -> tuple[Init, tuple[TrackFacts, ...]]:
    """Return what an init segment says, and the facts that are kept of it.

    Raises:
        MediaError: Damaged, or no init segment.
    """
    init = parse_init(body)
    return init, tuple(_init_facts(track) for track in init.tracks)


def read_segment(event: Event, rendition: Rendition, number: int, body: Body, init: Init | None) -> Reading:
    """Return what a whole media segment says.

    Args:
        init: The init segment it needs, or None if that is not known, or there is none.
    Raises:
        MediaError: Damaged, or not what the rendition's format is.
    """
    if rendition.format is _MPEG_TS:
        return _read_ts(body, event.timeline.time_ticks(number, TICKS_PER_SECOND))
    return _read_cmaf(body, init, rendition.kind)


def _read_cmaf(body: Body, init: Init | None, kind: Kind) -> Reading:
    segment = parse_segment(body, init)
    tracks: list[TrackFacts] = []
    unknown = None
    holes_count = 0
    for each in segment.tracks:
        tracks.append(_cmaf_facts(each, kind))
        holes_count += each.gaps_count
        if each.track is None and unknown is None:
            unknown = each.track_id
    if init is None:
        unknown = None
    elif unknown is None and len(tracks) < len(init.tracks):
        there = {track.track_id for track in segment.tracks}
        # A segment without a fragment of one of its tracks holds nothing of it.
        tracks += [_init_facts(track) for track in init.tracks if track.track_id not in there]
    return Reading(Facts(tuple(tracks)), segment.is_filler, unknown, holes_count)


def _cmaf_facts(segment: TrackSegment, kind: Kind) -> TrackFacts:
    track_id, track, decode_time, end_time, composition_time, duration, samples_count, _, starts_with_sync, _, _ = (
        segment
    )
    codec, timescale = "", 0
    if track is not None:
        kind, codec, timescale = _kind_of(track), track.codec, track.timescale
        composition_time -= track.edit_media_time or 0
    return TrackFacts(
        track_id,
        kind,
        codec,
        timescale,
        decode_time,
        composition_time,
        end_time,
        duration,
        samples_count,
        starts_with_sync,
    )


def _init_facts(track: Track) -> TrackFacts:
    return TrackFacts(track.track_id, _kind_of(track), track.codec, track.timescale)


def _kind_of(track: Track) -> Kind:
    """Return what a track carries; whatever is neither picture nor sound is not timed by frames, as text is not."""
    return _HANDLERS.get(track.handler, _TEXT)


def _read_ts(body: Body, expected_ticks: int) -> Reading:
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
