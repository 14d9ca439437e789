"""Elementary streams: frames, time stamps that begin anew, and how long the last frame lasts."""

import pytest

from selection.mpegts import StreamKind, StreamTimes, TsSegment, parse_ts
from tests.support.ts import AAC, AUDIO_PID, H264, VIDEO_PID, Muxer, adts, pes

FRAME_TICKS = 3_600
WRAP = 1 << 33


def with_video(*times: tuple[int | None, int | None]) -> Muxer:
    """Return tables and video frames of (PTS, DTS)."""
    muxer = Muxer().add_tables([(VIDEO_PID, H264)])
    for pts, dts in times:
        muxer.add_pes(VIDEO_PID, pes(pts, dts))
    return muxer


def at_rate(count: int, begin: int) -> list[tuple[int | None, int | None]]:
    return [(begin + number * FRAME_TICKS, None) for number in range(count)]


def parse(muxer: Muxer, expected_ticks: int | None = None) -> TsSegment:
    return parse_ts(muxer.body, expected_ticks)


def test_frames_out_of_order_have_their_earliest_and_latest_time() -> None:
    times = [(7_200, 0), (18_000, 3_600), (10_800, 7_200), (14_400, 10_800)]
    (video,) = parse(with_video(*times)).streams
    assert video.times == StreamTimes(
        first_pts=7_200, first_dts=0, last_dts=10_800, earliest_pts=7_200, latest_pts=18_000, stamps_count=4
    )
    assert video.duration == 4 * FRAME_TICKS


DURATIONS = [
    ("none", [], None),
    ("one-frame", [0], None),
    ("two-frames", [0, 3_600], 7_200),
    ("uneven-is-rounded-to-the-nearest", [0, 1_501, 3_003], 4_505),
    ("all-at-once", [5, 5], 0),
]


@pytest.mark.parametrize(("stamps", "duration"), [case[1:] for case in DURATIONS], ids=[case[0] for case in DURATIONS])
def test_the_last_frame_lasts_as_long_as_the_others_on_average(stamps: list[int], duration: int | None) -> None:
    (video,) = parse(with_video(*[(pts, None) for pts in stamps])).streams
    assert video.duration == duration


UNWRAPPED = [
    ("as-it-stands", 90_000, None, 90_000),
    ("zero", 0, 0, 0),
    ("in-the-first-day", 90_000, 90_100, 90_000),
    ("in-the-hundredth-round", 90_000, 100 * WRAP + 90_000, 100 * WRAP + 90_000),
    ("a-little-early-over-the-wrap", WRAP - 1, 100 * WRAP, 100 * WRAP - 1),
    ("a-little-late-over-the-wrap", 1, 100 * WRAP - 1, 100 * WRAP + 1),
    ("half-a-round-early", WRAP // 2, 100 * WRAP, 100 * WRAP - WRAP // 2),
    ("just-under-half-a-round-late", WRAP // 2 - 1, 100 * WRAP, 100 * WRAP + WRAP // 2 - 1),
    ("before-the-epoch", WRAP - 1_920, 0, -1_920),
]


@pytest.mark.parametrize(
    ("stamp", "expected", "unwrapped"), [case[1:] for case in UNWRAPPED], ids=[case[0] for case in UNWRAPPED]
)
def test_time_stamps_are_taken_as_near_the_grid(stamp: int, expected: int | None, unwrapped: int) -> None:
    (video,) = parse(with_video((stamp, None)), expected).streams
    assert video.times is not None
    assert video.times.first_pts == unwrapped


def test_a_wrap_within_a_segment_does_not_show() -> None:
    for expected, begin in ((None, WRAP - FRAME_TICKS), (7 * WRAP, 7 * WRAP - FRAME_TICKS)):
        (video,) = parse(with_video(*at_rate(3, begin=WRAP - FRAME_TICKS)), expected).streams
        assert video.times is not None
        assert (video.times.first_pts, video.times.latest_pts) == (begin, begin + 2 * FRAME_TICKS)
        assert video.duration == 3 * FRAME_TICKS


def test_sound_before_the_first_picture_is_not_a_round_later() -> None:
    muxer = Muxer().add_tables().add_pes(VIDEO_PID, pes(0)).add_pes(AUDIO_PID, pes(WRAP - 1_920))
    video, audio = parse(muxer).streams
    assert video.times is not None
    assert audio.times is not None
    assert (video.times.first_pts, audio.times.first_pts) == (0, -1_920)


def test_frames_without_time_stamps_are_counted() -> None:
    (video,) = parse(with_video((None, None), (3_600, None), (None, None))).streams
    assert video.frames_count == 3
    assert video.times is not None
    assert (video.times.stamps_count, video.duration) == (1, None)


# -- sound

SOUND = [
    ("one-frame", adts(1), 1_920),
    ("sixteen-frames", adts(16), 30_720),
    ("frames-of-more-than-two-kilobytes", adts(2, length=8_000), 3_840),
    ("frames-of-nothing-but-a-header", adts(3, length=7), 5_760),
    ("44100-rounds-to-the-nearest", adts(3, rate_index=4), 6_269),
    ("several-blocks-in-a-frame", adts(2, blocks=4), 15_360),
    ("cut-frame-still-counts", adts(2)[:-5], 3_840),
    ("cut-header-does-not", adts(2)[:-14], 1_920),
    ("not-at-the-beginning", b"\0" + adts(3), None),
    ("unknown-rate", adts(2, rate_index=13), None),
    ("length-0", adts(1, length=20)[:3] + bytes(20), None),
    ("nothing", b"", None),
]


@pytest.mark.parametrize(("payload", "last"), [case[1:] for case in SOUND], ids=[case[0] for case in SOUND])
def test_the_last_frames_of_aac_tell_how_long_they_last(payload: bytes, last: int | None) -> None:
    muxer = Muxer().add_tables([(AUDIO_PID, AAC)])
    muxer.add_pes(AUDIO_PID, pes(0, payload=adts(16))).add_pes(AUDIO_PID, pes(30_720, payload=payload))
    (audio,) = parse(muxer).streams
    assert (audio.frames_count, audio.kind, audio.codec) == (2, StreamKind.AUDIO, "aac")
    # Else it is taken to last as long as the one before.
    assert audio.duration == 30_720 + (30_720 if last is None else last)


def test_frames_of_other_packets_do_not_count_as_the_last_one_s() -> None:
    muxer = Muxer().add_tables()
    muxer.add_pes(AUDIO_PID, pes(0, payload=adts(20, length=100)))
    muxer.add_pes(VIDEO_PID, pes(0, payload=bytes(400)))
    muxer.add(AUDIO_PID, adts(1, length=184))
    muxer.add_pes(VIDEO_PID, pes(3_600))
    _, audio = parse(muxer).streams
    assert audio.duration == 21 * 1_920


def test_time_stamps_that_do_not_fit_their_packet_are_none() -> None:
    muxer = Muxer().add_tables([(VIDEO_PID, H264)])
    muxer.add(VIDEO_PID, pes(5)[:13], is_start=True).add(VIDEO_PID, pes(5)[13:])
    muxer.add(VIDEO_PID, pes(9, 7)[:18], is_start=True).add(VIDEO_PID, pes(9, 7)[18:])
    (video,) = parse(muxer).streams
    assert video.frames_count == 2
    assert video.times is not None
    assert (video.times.stamps_count, video.times.first_pts, video.times.first_dts) == (1, 9, 9)


def test_time_stamps_that_just_fit_their_packet_are_read() -> None:
    muxer = Muxer().add_tables([(VIDEO_PID, H264)])
    muxer.add(VIDEO_PID, pes(5, payload=b""), is_start=True).add(VIDEO_PID, pes(9, 7, payload=b""), is_start=True)
    (video,) = parse(muxer).streams
    assert video.times is not None
    assert (video.times.first_pts, video.times.latest_pts, video.times.last_dts) == (5, 9, 7)
