"""Segment numbers, media time and wall clock: exact, whatever the duration of a segment is."""

import pytest

from selection.timeline import Timeline

TWO_SECONDS = Timeline(epoch_ms=0, duration_ticks=2, timescale=1)
NTSC = Timeline(epoch_ms=0, duration_ticks=60_060, timescale=30_000)  # 60 frames of 1001/30000 s: 2.002 s
NTSC_50 = Timeline(epoch_ms=0, duration_ticks=50 * 1001, timescale=30_000)  # 50 such frames: 1668 1/3 ms
MS_2002 = Timeline(epoch_ms=0, duration_ticks=2002, timescale=1000)
THIRD = Timeline(epoch_ms=0, duration_ticks=1, timescale=3)
AAC = Timeline(epoch_ms=0, duration_ticks=192, timescale=100)
LATER = Timeline(epoch_ms=1_700_000_000_123, duration_ticks=2, timescale=1, start_number=7)
THIRD_FROM_1 = Timeline(epoch_ms=-1, duration_ticks=1, timescale=3, start_number=1)

STARTS = [
    ("epoch", TWO_SECONDS, 0, 0),
    ("second", TWO_SECONDS, 1, 2_000),
    ("before-epoch", TWO_SECONDS, -1, -2_000),
    ("today", TWO_SECONDS, 850_000_000, 1_700_000_000_000),
    ("ntsc-is-whole-ms", NTSC, 1, 2_002),
    ("ntsc-does-not-drift", NTSC, 500_000_000, 1_001_000_000_000),
    ("ntsc-frames-round-up", NTSC_50, 1, 1_669),
    ("ntsc-frames-round-up-again", NTSC_50, 2, 3_337),
    ("ntsc-frames-meet-after-three", NTSC_50, 3, 5_005),
    ("ntsc-frames-do-not-drift", NTSC_50, 3_000_000_000, 5_005_000_000_000),
    ("ms", MS_2002, 1, 2_002),
    ("third-rounds-up", THIRD, 1, 334),
    ("two-thirds-round-up", THIRD, 2, 667),
    ("three-thirds-are-exact", THIRD, 3, 1_000),
    ("third-before-epoch-rounds-up", THIRD, -1, -333),
    ("two-thirds-before-epoch-round-up", THIRD, -2, -666),
    ("three-thirds-before-epoch", THIRD, -3, -1_000),
    ("start-number-at-later-epoch", LATER, 7, 1_700_000_000_123),
    ("one-after-start-number", LATER, 8, 1_700_000_002_123),
    ("one-before-start-number", LATER, 6, 1_699_999_998_123),
    ("number-zero-below-start-number", LATER, 0, 1_699_999_986_123),
    ("third-from-another-epoch", THIRD_FROM_1, 2, 333),
]
START_IDS = [case[0] for case in STARTS]


@pytest.mark.parametrize(("timeline", "number", "start_ms"), [case[1:] for case in STARTS], ids=START_IDS)
def test_a_segment_starts_at_the_first_whole_ms_of_its_media(timeline: Timeline, number: int, start_ms: int) -> None:
    assert timeline.start_ms(number) == start_ms


@pytest.mark.parametrize(("timeline", "number", "start_ms"), [case[1:] for case in STARTS], ids=START_IDS)
def test_the_number_changes_in_the_ms_in_which_the_segment_starts(
    timeline: Timeline, number: int, start_ms: int
) -> None:
    assert timeline.number_at_ms(start_ms - 1) == number - 1
    assert timeline.number_at_ms(start_ms) == number


@pytest.mark.parametrize(("timeline", "number", "start_ms"), [case[1:] for case in STARTS], ids=START_IDS)
def test_a_segment_ends_where_the_next_one_starts(timeline: Timeline, number: int, start_ms: int) -> None:
    assert timeline.end_ms(number - 1) == start_ms


def test_60060_over_30000_is_2002_ms_exactly() -> None:
    for number in (-1_000_003, -1, 0, 1, 849_150_849_150):
        assert NTSC.start_ms(number) == MS_2002.start_ms(number)
    assert NTSC.number_at_ms(1_700_000_000_000) == MS_2002.number_at_ms(1_700_000_000_000)


TICKS = [
    ("epoch", TWO_SECONDS, 48_000, 0, 0),
    ("video", TWO_SECONDS, 90_000, 3, 540_000),
    ("aac", AAC, 48_000, 2, 184_320),
    ("start-number-starts-at-zero", LATER, 90_000, 7, 0),
    ("after-start-number", LATER, 90_000, 9, 360_000),
    ("ntsc-in-its-own-timescale", NTSC, 30_000, 5, 300_300),
    ("rounds-down-below-half", NTSC, 44_100, 1, 88_288),  # 88288.2
    ("rounds-up-above-half", NTSC, 44_100, 3, 264_865),  # 264864.6
    ("rounds-half-up", Timeline(0, 1, 2), 1, 1, 1),
    ("rounds-half-up-again", Timeline(0, 1, 2), 1, 3, 2),
    ("rounds-half-up-before-the-epoch", Timeline(0, 1, 2), 1, -1, 0),
    ("third-is-whole-at-44100", THIRD, 44_100, 2, 29_400),
    ("one-tick-a-second", THIRD, 1, 3, 1),
    ("ten-million-ticks-today", AAC, 10_000_000, 885_416_666, 16_999_999_987_200_000),
]


@pytest.mark.parametrize(
    ("timeline", "timescale", "number", "ticks"), [case[1:] for case in TICKS], ids=[case[0] for case in TICKS]
)
def test_the_nominal_decode_time_is_the_nearest_tick(
    timeline: Timeline, timescale: int, number: int, ticks: int
) -> None:
    assert timeline.time_ticks(number, timescale) == ticks


NUMBERS_AT_TICKS = [
    ("epoch", TWO_SECONDS, 48_000, 0, 0),
    ("last-tick-that-is-nearer-to-0", TWO_SECONDS, 48_000, 47_999, 0),
    ("half-way-belongs-to-1", TWO_SECONDS, 48_000, 48_000, 1),
    ("one-aac-frame-early", AAC, 48_000, 92_160 - 1_024, 1),
    ("one-aac-frame-late", AAC, 48_000, 92_160 + 1_024, 1),
    ("many-segments-and-one-frame-early", AAC, 48_000, 885_416_666 * 92_160 - 1_024, 885_416_666),
    ("odd-duration-below-half", Timeline(0, 3, 1), 1, 1, 0),
    ("odd-duration-above-half", Timeline(0, 3, 1), 1, 2, 1),
    ("third-below-half", THIRD, 90_000, 14_999, 0),
    ("third-half-up", THIRD, 90_000, 15_000, 1),
    ("half-before-the-epoch", TWO_SECONDS, 48_000, -48_000, 0),
    ("more-than-half-before-the-epoch", TWO_SECONDS, 48_000, -48_001, -1),
    ("from-start-number", LATER, 90_000, 0, 7),
    ("from-start-number-on", LATER, 90_000, 180_000, 8),
    ("ntsc-at-another-timescale", NTSC, 44_100, 264_865, 3),
]


@pytest.mark.parametrize(
    ("timeline", "timescale", "ticks", "number"),
    [case[1:] for case in NUMBERS_AT_TICKS],
    ids=[case[0] for case in NUMBERS_AT_TICKS],
)
def test_a_decode_time_belongs_to_the_segment_that_starts_nearest(
    timeline: Timeline, timescale: int, ticks: int, number: int
) -> None:
    assert timeline.number_at_ticks(ticks, timescale) == number


DURATIONS = [
    ("whole", TWO_SECONDS, 2_000),
    ("ntsc", NTSC, 2_002),
    ("rounds-down", NTSC_50, 1_668),
    ("rounds-up", Timeline(0, 2, 3), 667),
    ("half-up", Timeline(0, 2_001, 2_000), 1_001),
]


@pytest.mark.parametrize(
    ("timeline", "duration_ms"), [case[1:] for case in DURATIONS], ids=[case[0] for case in DURATIONS]
)
def test_the_duration_for_display_is_the_nearest_ms(timeline: Timeline, duration_ms: int) -> None:
    assert timeline.duration_ms == duration_ms


@pytest.mark.parametrize(
    ("duration_ticks", "timescale", "reason"),
    [(0, 1, "at least 1 ms"), (-1, 1, "at least 1 ms"), (1, 1001, "at least 1 ms"), (1, 0, "one tick a second")],
)
def test_a_timeline_without_duration_is_a_programmers_error(duration_ticks: int, timescale: int, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        Timeline(epoch_ms=0, duration_ticks=duration_ticks, timescale=timescale)
