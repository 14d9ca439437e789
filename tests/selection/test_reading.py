"""The facts of a copy are the same in kind, whatever format it is written in."""

import tracemalloc
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest

from selection.init_segment import Init
from selection.media import Body, MediaError, MediaFault
from selection.model import Facts, Kind, Rendition, TrackFacts
from selection.reading import Reading, read_init, read_segment
from tests.support.events import make_event, make_rendition
from tests.support.mp4 import (
    NOT_SYNC,
    SYNC,
    Sample,
    audio_entry,
    box,
    elst,
    fragment,
    init_segment,
    styp,
    tfdt,
    tfhd,
    traf,
    trak,
    trex,
)
from tests.support.mp4 import moof as made_moof
from tests.support.ts import AAC, AUDIO_PID, H264, VIDEO_PID, Muxer, adts, pes

VIDEO_TICKS = 512
AAC_SAMPLES = 1_024
FRAME_TICKS = 3_600
BEYOND_FLOATS = (1 << 53) + 1
WRAP = 1 << 33

VIDEO_TRAK = trak(timescale=12_800)
SOUND_TRAK = trak(audio_entry("mp4a"), track_id=2, handler="soun", timescale=48_000)
MUXED_INIT = init_segment(VIDEO_TRAK, SOUND_TRAK, defaults=[trex(1), trex(2)])

CMAF = make_rendition()
MUXED = make_rendition(kind=Kind.MUXED)
TS = make_rendition(kind=Kind.MUXED, media="$Number$.ts", init=None)


def frames(count: int, *, flags: int = SYNC, offset: int | None = None) -> list[Sample]:
    """Return video frames of 25 frames/s, the first of which has `flags`."""
    rest = [Sample(VIDEO_TICKS, 10, NOT_SYNC, offset) for _ in range(count - 1)]
    return [Sample(VIDEO_TICKS, 10, flags, offset), *rest]


def sound(count: int) -> list[Sample]:
    return [Sample(AAC_SAMPLES, 10, SYNC) for _ in range(count)]


def read(body: Body, init: bytes | None, *, rendition: Rendition = CMAF, number: int = 0) -> Reading:
    event = make_event(renditions=[rendition])
    return read_segment(event, rendition, number, body, None if init is None else parsed(init))


def parsed(init: bytes) -> Init:
    return read_init(init)[0]


# -- init segments

INITS: list[tuple[str, bytes, tuple[TrackFacts, ...]]] = [
    ("video", VIDEO_TRAK, (TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800),)),
    ("sound", SOUND_TRAK, (TrackFacts(2, Kind.AUDIO, "mp4a", 48_000),)),
    (
        "both",
        VIDEO_TRAK + SOUND_TRAK,
        (TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800), TrackFacts(2, Kind.AUDIO, "mp4a", 48_000)),
    ),
    *(
        (
            f"text-{handler}",
            trak(box("stpp"), handler=handler, timescale=1_000),
            (TrackFacts(1, Kind.TEXT, "stpp", 1_000),),
        )
        for handler in ("text", "subt", "sbtl")
    ),
    ("neither", trak(box("mett"), handler="meta", timescale=90), (TrackFacts(1, Kind.TEXT, "mett", 90),)),
]


@pytest.mark.parametrize(("traks", "expected"), [case[1:] for case in INITS], ids=[case[0] for case in INITS])
def test_the_facts_of_an_init_segment_are_its_tracks(traks: bytes, expected: tuple[TrackFacts, ...]) -> None:
    init, tracks = read_init(init_segment(traks, defaults=[trex(track.track_id) for track in expected]))
    assert tracks == expected
    assert [track.track_id for track in init.tracks] == [track.track_id for track in expected]


def test_what_is_no_init_segment_is_told() -> None:
    with pytest.raises(MediaError) as caught:
        read_init(fragment(frames(1)))
    assert caught.value.reason is MediaFault.MISSING_PART


# -- CMAF


def video_facts(begin: int, count: int, *, presentation: int | None = None, is_sync: bool = True) -> TrackFacts:
    shown = begin if presentation is None else presentation
    ticks = count * VIDEO_TICKS
    return TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800, begin, shown, begin + ticks, ticks, count, is_sync)


def edited(media_time: int) -> bytes:
    return init_segment(trak(timescale=12_800, edits=elst((0, media_time))))


PLAIN_INIT = init_segment(VIDEO_TRAK)
# (id, body, init segment, facts)
SEGMENTS: list[tuple[str, bytes, bytes | None, TrackFacts]] = [
    ("video", fragment(frames(50), 25_600), PLAIN_INIT, video_facts(25_600, 50)),
    ("one-sample", fragment(frames(1), 25_600), PLAIN_INIT, video_facts(25_600, 1)),
    ("no-sample", fragment([], 25_600), PLAIN_INIT, video_facts(25_600, 0, is_sync=False)),
    ("no-keyframe", fragment(frames(2, flags=NOT_SYNC)), PLAIN_INIT, video_facts(0, 2, is_sync=False)),
    ("beyond-floats", fragment(frames(2), BEYOND_FLOATS), PLAIN_INIT, video_facts(BEYOND_FLOATS, 2)),
    (
        "frames-out-of-order",
        fragment(frames(3, offset=1_024), 25_600),
        PLAIN_INIT,
        video_facts(25_600, 3, presentation=26_624),
    ),
    (
        "and-an-edit-list",
        fragment(frames(3, offset=1_024), 25_600),
        edited(1_024),
        video_facts(25_600, 3, presentation=25_600),
    ),
    ("shown-before-time-begins", fragment(frames(3)), edited(1_024), video_facts(0, 3, presentation=-1_024)),
    (
        "negative-offset",
        fragment(frames(3, offset=-512), 25_600),
        PLAIN_INIT,
        video_facts(25_600, 3, presentation=25_088),
    ),
    (
        "unknown-init",
        fragment(frames(50), 25_600),
        None,
        video_facts(25_600, 50)._replace(codec="", timescale=0),
    ),
]


@pytest.mark.parametrize(
    ("body", "init", "expected"), [case[1:] for case in SEGMENTS], ids=[case[0] for case in SEGMENTS]
)
def test_the_facts_of_a_cmaf_segment(body: bytes, init: bytes | None, expected: TrackFacts) -> None:
    assert read(body, init) == Reading(Facts((expected,)))


def test_every_track_of_a_muxed_segment_has_facts_in_its_own_ticks() -> None:
    body = fragment(frames(2), 25_600) + fragment(sound(3), 96_000 - AAC_SAMPLES, track_id=2, sequence=2)
    ticks = 3 * AAC_SAMPLES
    begin = 96_000 - AAC_SAMPLES
    audio = TrackFacts(2, Kind.AUDIO, "mp4a", 48_000, begin, begin, begin + ticks, ticks, 3, True)
    assert read(body, MUXED_INIT, rendition=MUXED) == Reading(Facts((video_facts(25_600, 2), audio)))


def test_a_track_without_samples_has_none_and_nor_has_one_that_is_not_there() -> None:
    empty = made_moof(traf(tfhd(2, duration=2_048, flags=0x30000), tfdt(96_000)), sequence=2)
    told = read(fragment(frames(2)) + empty, MUXED_INIT, rendition=MUXED).facts.tracks[1]
    assert (told.samples_count, told.duration, told.end) == (0, 2_048, 98_048)
    picture_only = read(fragment(frames(2)), MUXED_INIT, rendition=MUXED).facts.tracks
    assert [(track.kind, track.samples_count, track.duration) for track in picture_only[1:]] == [(Kind.AUDIO, 0, 0)]


def test_a_track_that_the_init_segment_does_not_have_is_told_the_first_one_at_least() -> None:
    body = (
        fragment(frames(1)) + fragment(frames(1), track_id=7, sequence=2) + fragment(frames(1), track_id=9, sequence=3)
    )
    reading = read(body, PLAIN_INIT)
    assert reading.unknown_track_id == 7
    assert reading.facts.tracks[1] == video_facts(0, 1)._replace(track_id=7, codec="", timescale=0)
    assert read(body, None).unknown_track_id is None


# Name, body, holes.
HOLES: list[tuple[str, bytes, int]] = [
    ("none", fragment(frames(2)) + fragment(frames(2), 1_024, sequence=2), 0),
    ("hole", fragment(frames(2)) + fragment(frames(2), 1_025, sequence=2), 1),
    ("overlap", fragment(frames(2)) + fragment(frames(2), 1_023, sequence=2), 1),
    (
        "in-two-tracks",
        fragment(frames(2))
        + fragment(sound(1), track_id=2, sequence=2)
        + fragment(frames(2), 2_048, sequence=3)
        + fragment(sound(1), 2_048, track_id=2, sequence=4),
        2,
    ),
]


@pytest.mark.parametrize(("body", "holes_count"), [case[1:] for case in HOLES], ids=[case[0] for case in HOLES])
def test_holes_between_fragments_are_counted_over_all_tracks(body: bytes, holes_count: int) -> None:
    assert read(body, MUXED_INIT, rendition=MUXED).holes_count == holes_count


def test_a_hole_lies_between_the_end_and_what_begin_and_duration_make() -> None:
    (track,) = read(fragment(frames(2)) + fragment(frames(2), 2_048, sequence=2), PLAIN_INIT).facts.tracks
    assert (track.begin, track.duration, track.end) == (0, 4 * VIDEO_TICKS, 6 * VIDEO_TICKS)


def test_filler_is_told_by_its_brand() -> None:
    assert read(styp("msdh", "slat") + fragment(frames(1)), PLAIN_INIT).is_filler
    assert not read(styp("msdh", "msix") + fragment(frames(1)), PLAIN_INIT).is_filler


def test_a_text_track_is_text_in_whatever_rendition() -> None:
    init = init_segment(trak(box("wvtt"), handler="text", timescale=1_000))
    (track,) = read(fragment([Sample(2_000, 9, SYNC)]), init).facts.tracks
    assert (track.kind, track.codec, track.duration) == (Kind.TEXT, "wvtt", 2_000)


@pytest.mark.parametrize("kind", [Kind.VIDEO, Kind.AUDIO, Kind.TEXT])
def test_without_an_init_segment_a_track_is_what_its_rendition_is(kind: Kind) -> None:
    (track,) = read(fragment(frames(1)), None, rendition=make_rendition(kind=kind)).facts.tracks
    assert (track.kind, track.timescale) == (kind, 0)


# -- transport streams


def ts_read(muxer: Muxer, number: int = 0, *, duration: Fraction | int = 2) -> Reading:
    return read_segment(make_event(renditions=[TS], duration=duration), TS, number, muxer.body, None)


def ts_segment(pts: Sequence[int], sound_pts: Sequence[int] = (), *, frames_a_packet: int = 8) -> Muxer:
    """Return video frames of these PTS, the first with random access, and PES packets of sound at 48 kHz."""
    muxer = Muxer().add_tables()
    for place, ticks in enumerate(pts):
        muxer.add_pes(VIDEO_PID, pes(ticks), random_access=place == 0)
    for ticks in sound_pts:
        muxer.add_pes(AUDIO_PID, pes(ticks, payload=adts(frames_a_packet), stream_id=0xC0))
    return muxer


def test_the_facts_of_a_transport_stream_are_in_ticks_of_90_khz() -> None:
    begin = 7 * 180_000
    video = [begin + place * FRAME_TICKS for place in range(50)]
    video[1], video[2] = video[2], video[1]
    audio = [begin - 1_920 + place * 8 * 1_920 for place in range(12)]
    reading = ts_read(ts_segment(video, audio), 7)
    assert reading == Reading(
        Facts(
            (
                TrackFacts(VIDEO_PID, Kind.VIDEO, "h264", 90_000, begin, begin, begin + 180_000, 180_000, 50, True),
                TrackFacts(
                    AUDIO_PID, Kind.AUDIO, "aac", 90_000, audio[0], audio[0], audio[0] + 184_320, 184_320, 12, False
                ),
            )
        )
    )


# (id, number of the segment, time stamp as it is written, begin)
WRAPS = [
    ("first", 0, 0, 0),
    ("before-the-epoch", 0, WRAP - 1_920, -1_920),
    ("begun-anew-once", 47_722, 47_722 * 180_000 - WRAP, 47_722 * 180_000),
    ("a-number-of-2026", 898_000_000, 898_000_000 * 180_000 % WRAP, 898_000_000 * 180_000),
    ("beyond-floats", 1 << 40, (180_000 << 40) % WRAP, 180_000 << 40),
]


@pytest.mark.parametrize(("number", "stamp", "begin"), [case[1:] for case in WRAPS], ids=[case[0] for case in WRAPS])
def test_time_stamps_are_taken_as_near_the_grid(number: int, stamp: int, begin: int) -> None:
    (video, _) = ts_read(ts_segment([stamp, stamp + FRAME_TICKS]), number).facts.tracks
    assert (video.begin, video.presentation, video.end) == (begin, begin, begin + 2 * FRAME_TICKS)


def test_a_stream_without_a_frame_or_a_time_has_no_samples() -> None:
    (video, audio) = ts_read(ts_segment([0, FRAME_TICKS])).facts.tracks
    assert audio == TrackFacts(AUDIO_PID, Kind.AUDIO, "aac", 90_000)
    assert (video.samples_count, video.duration) == (2, 2 * FRAME_TICKS)
    unstamped = Muxer().add_tables([(VIDEO_PID, H264)]).add_pes(VIDEO_PID, pes(None), random_access=True)
    assert ts_read(unstamped).facts.tracks == (
        TrackFacts(VIDEO_PID, Kind.VIDEO, "h264", 90_000, starts_with_sync=True),
    )


def test_streams_that_are_neither_picture_nor_sound_have_no_facts() -> None:
    muxer = Muxer().add_tables([(0x102, 0x15), (VIDEO_PID, H264), (0x103, 0x86)])
    muxer.add_pes(0x102, pes(0, stream_id=0xBD)).add_pes(VIDEO_PID, pes(0))
    assert [track.track_id for track in ts_read(muxer).facts.tracks] == [VIDEO_PID]


def test_packets_that_are_missing_or_damaged_are_holes() -> None:
    muxer = ts_segment([0, FRAME_TICKS]).skip(VIDEO_PID).add_pes(VIDEO_PID, pes(2 * FRAME_TICKS))
    assert ts_read(muxer).holes_count == 1
    muxer.add(AUDIO_PID, pes(0, stream_id=0xC0), is_start=True, has_error=True)
    assert ts_read(muxer).holes_count == 2
    assert ts_read(ts_segment([0, FRAME_TICKS])).holes_count == 0


def test_packets_without_a_payload_are_neither_frames_nor_holes() -> None:
    """They carry the clock, and do not count."""
    muxer = ts_segment([0, FRAME_TICKS], [0])
    plain = ts_read(muxer)
    for pid in (VIDEO_PID, AUDIO_PID):
        muxer.add(pid, None, adaptation=0x10)
    assert ts_read(muxer) == plain
    muxer.skip(VIDEO_PID).add(VIDEO_PID, None, adaptation=0x10).add_pes(VIDEO_PID, pes(2 * FRAME_TICKS))
    assert ts_read(muxer).holes_count == 1


# Each with the rendition that it is published for.
OTHERS: list[tuple[str, Rendition, bytes]] = [
    ("transport-stream-in-cmaf", CMAF, ts_segment([0]).body),
    ("cmaf-in-transport-stream", TS, fragment(frames(1))),
    ("init-segment-in-cmaf", CMAF, PLAIN_INIT),
    ("text", CMAF, b"WEBVTT\n"),
    ("nothing", TS, b""),
    ("sound-of-hls-as-it-is", TS, adts(3)),
]


@pytest.mark.parametrize(("rendition", "body"), [case[1:] for case in OTHERS], ids=[case[0] for case in OTHERS])
def test_what_is_not_in_the_format_of_the_rendition_cannot_be_read(rendition: Rendition, body: bytes) -> None:
    with pytest.raises(MediaError):
        read(body, None, rendition=rendition)


def test_sound_alone_in_a_transport_stream_is_timed_too() -> None:
    muxer = Muxer().add_tables([(AUDIO_PID, AAC)])
    muxer.add_pes(AUDIO_PID, pes(0, payload=adts(94), stream_id=0xC0))
    (audio,) = ts_read(muxer).facts.tracks
    assert (audio.kind, audio.duration, audio.end) == (Kind.AUDIO, 94 * 1_920, 94 * 1_920)


# -- What a body may be


def as_view(body: bytes) -> memoryview:
    """Return a view as uploads come in: nothing in it can be changed through it, and it has no hash."""
    return memoryview(bytearray(body)).toreadonly()


FORMS = [bytearray, memoryview, as_view]


@pytest.mark.parametrize("form", FORMS)
def test_a_body_says_the_same_whatever_holds_its_bytes(form: Callable[[bytes], Body]) -> None:
    segment = styp("msdh", "slat") + fragment(frames(50)) + fragment(sound(94), track_id=2)
    assert read_init(form(MUXED_INIT)) == read_init(MUXED_INIT)
    assert read(form(segment), MUXED_INIT, rendition=MUXED) == read(segment, MUXED_INIT, rendition=MUXED)
    stream = ts_segment([0, FRAME_TICKS], [0, 1_920]).body
    assert read(form(stream), None, rendition=TS) == read(stream, None, rendition=TS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("body", [b"", b"<html>404</html>", styp("msdh")[:-1], styp("msdh"), b"\x47", b"\x47" * 188])
def test_a_body_is_refused_alike_whatever_holds_its_bytes(form: Callable[[bytes], Body], body: bytes) -> None:
    for rendition in (CMAF, TS):
        with pytest.raises(MediaError) as plain:
            read(body, None, rendition=rendition)
        with pytest.raises(MediaError) as other:
            read(form(body), None, rendition=rendition)
        assert other.value.args == plain.value.args


def test_reading_a_view_copies_no_media_data() -> None:
    data_bytes = 1 << 22
    body = as_view(styp("msdh") + fragment([Sample(VIDEO_TICKS, data_bytes, SYNC)]))
    tracemalloc.start()
    try:
        read(body, MUXED_INIT)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < data_bytes // 8
