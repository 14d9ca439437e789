"""What must hold of an inspection, whatever the bytes are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from selection.cmaf import Init, Segment, parse_init, parse_segment
from selection.media import BOXES_COUNT_MAX, SAMPLES_COUNT_MAX, STREAMS_COUNT_MAX, TRACKS_COUNT_MAX, Body, MediaError
from selection.mpegts import TsSegment, parse_ts
from tests.support.damage import BOXES, PACKETS, damaged
from tests.support.recordings import init_of, record, segments_of
from tests.support.steps import counted_steps

T = TypeVar("T")

CMAF_NAMES: Final = ("dash-b-frames", "low-latency-b-frames", "hls-fmp4-b-frames", "one-file-b-frames", "shaka")
TS_NAMES: Final = ("hls-ts-b-frames", "segments-ts")

# Lines of code a byte of the body: a box takes 8 bytes and far fewer than 32 lines, a packet 188 and fewer than 100.
STEPS_PER_BYTE: Final = 4
STEPS_ANYHOW: Final = 1_500


@dataclass(frozen=True)
class Whole:
    """Bodies that real packagers made, to be damaged: init segments, segments with theirs, transport streams."""

    inits: list[bytes]
    segments: list[tuple[bytes, Init]]
    streams: list[bytes]


def record_whole(folder: Path) -> Whole:
    """Let the packagers run."""
    cmaf = [path for name in CMAF_NAMES for path in segments_of(record(name, folder / name))]
    inits = {path: (path if path.name == "all.mp4" else init_of(path)).read_bytes() for path in cmaf}
    streams = [path for name in TS_NAMES for path in segments_of(record(name, folder / name))]
    return Whole(
        inits=sorted(set(inits.values())),
        segments=[(path.read_bytes(), parse_init(inits[path])) for path in cmaf],
        streams=[path.read_bytes() for path in streams],
    )


def check_damaged_init(random: Random, whole: Whole) -> MediaError | None:
    """Damage an init segment and inspect it; returns the error, if it was one."""
    return check_init(damaged(random, random.choice(whole.inits), random.choice(whole.inits), BOXES))


def check_damaged_segment(random: Random, whole: Whole) -> MediaError | None:
    """Damage a CMAF segment and inspect it with an init segment, not always the right one."""
    body, init = random.choice(whole.segments)
    other, other_init = random.choice(whole.segments)
    body = damaged(random, body, other, BOXES)
    return check_segment(body, random.choice((init, init, init, other_init, None)))


def check_damaged_ts(random: Random, whole: Whole) -> MediaError | None:
    """Damage a transport stream and inspect it."""
    body = damaged(random, random.choice(whole.streams), random.choice(whole.streams), PACKETS)
    return check_ts(body, random.choice((None, 0, 7_333_503_360, 161_576_003_180_800)))


def check_init(body: bytes) -> MediaError | None:
    """Inspect any bytes as an init segment; returns the error, if it was one."""
    return _check(body, parse_init, _check_init)


def check_segment(body: bytes, init: Init | None) -> MediaError | None:
    """Inspect any bytes as a CMAF segment."""
    return _check(body, lambda form: parse_segment(form, init), lambda segment: _check_segment(segment, body))


def check_ts(body: bytes, expected_ticks: int | None) -> MediaError | None:
    """Inspect any bytes as a transport stream."""
    return _check(body, lambda form: parse_ts(form, expected_ticks), lambda segment: _check_ts(segment, body))


def _check(body: bytes, parse: Callable[[Body], T], check: Callable[[T], None]) -> MediaError | None:
    """Inspect; nothing but a MediaError may be raised, and the work is in proportion to the body.

    A view of memory is told the same of.
    """
    with counted_steps() as steps:
        told = _outcome(body, parse)
        if not isinstance(told, MediaError):
            check(told)
    assert steps.count <= STEPS_ANYHOW + STEPS_PER_BYTE * len(body)
    told_of_view = _outcome(memoryview(bytearray(body)).toreadonly(), parse)
    if not isinstance(told, MediaError):
        assert told_of_view == told
        return None
    assert isinstance(told_of_view, MediaError)
    assert told_of_view.args == told.args
    assert 0 <= told.offset <= len(body)
    assert told.detail.isprintable()
    return told


def _outcome(body: Body, parse: Callable[[Body], T]) -> T | MediaError:
    try:
        return parse(body)
    except MediaError as exc:
        return exc


def _check_init(init: Init) -> None:
    assert 0 < len(init.tracks) <= TRACKS_COUNT_MAX
    assert all(track.timescale > 0 and track.codec.isprintable() for track in init.tracks)
    assert len({track.track_id for track in init.tracks}) == len(init.tracks)


def _check_segment(segment: Segment, body: bytes) -> None:
    assert 0 < segment.moofs_count <= BOXES_COUNT_MAX
    assert 0 <= segment.unreferenced_bytes <= len(body)
    assert len(segment.tracks) <= TRACKS_COUNT_MAX
    assert sum(track.samples_count for track in segment.tracks) <= SAMPLES_COUNT_MAX
    assert sum(track.samples_bytes for track in segment.tracks) + segment.unreferenced_bytes <= len(body)
    for track in segment.tracks:
        assert track.duration >= 0
        assert 0 <= track.gaps_count < track.fragments_count
        assert track.samples_count or not track.starts_with_sync
        assert track.gaps_count or track.end_time == track.decode_time + track.duration


def _check_ts(segment: TsSegment, body: bytes) -> None:
    assert segment.packets_count * 188 == len(body)
    assert 0 < len(segment.streams) <= STREAMS_COUNT_MAX
    assert segment.leader in segment.streams
    errors_count = segment.continuity_errors_count + segment.transport_errors_count
    assert (segment.first_error_offset is None) is (errors_count == 0)
    for stream in segment.streams:
        assert len(stream.continuity_errors) <= segment.continuity_errors_count
        assert stream.frames_count <= segment.packets_count
        if stream.times is not None:
            assert stream.times.earliest_pts <= stream.times.first_pts <= stream.times.latest_pts
            assert stream.duration is None or stream.duration >= 0
