"""When buckets and whole events may go, at each ms where that changes."""

from collections.abc import Sequence

import pytest

from selection.model import Event
from selection.retention import bucket_expires_ms, collectable, event_expires_ms, event_is_over
from tests.support.events import make_event

# With four numbers a bucket, bucket 2 holds 8 to 11. Segment 11 ends at 24 s, is due at 25 s and leaves the DVR window
# at 85 s; its retention is over at 115 s.
PLAIN = make_event()
SPANNED = make_event(start_ms=20_000, end_ms=30_000)  # numbers 10 to 14; 14 is due at 31 s, given up at 41 s
RETENTION_MS = 30_000
BUCKETS = [3, 0, 2, 1]


def test_a_bucket_expires_with_its_last_number_and_the_retention() -> None:
    assert bucket_expires_ms(PLAIN, 11, RETENTION_MS) == 115_000
    assert bucket_expires_ms(PLAIN, 11, 0) == 85_000


# (id, event, ms now, retention in ms, the buckets that may go)
COLLECTABLE: list[tuple[str, Event, int, int, list[int]]] = [
    ("nothing-yet", PLAIN, 98_999, RETENTION_MS, []),
    ("first", PLAIN, 99_000, RETENTION_MS, [0]),
    ("last-ms-of-the-third", PLAIN, 114_999, RETENTION_MS, [0, 1]),
    ("third", PLAIN, 115_000, RETENTION_MS, [0, 1, 2]),
    ("long-after", PLAIN, 10**15, RETENTION_MS, [0, 1, 2, 3]),
    ("long-before", PLAIN, -(10**15), RETENTION_MS, []),
    ("without-retention-last-ms-of-the-window", PLAIN, 84_999, 0, [0, 1]),
    ("without-retention", PLAIN, 85_000, 0, [0, 1, 2]),
    ("numbers-before-the-start-have-a-time-too", SPANNED, 99_000, RETENTION_MS, [0]),
    ("numbers-after-the-end-have-a-time-too", SPANNED, 115_000, RETENTION_MS, [0, 1, 2]),
    ("the-last-bucket-waits-for-numbers-after-the-end", SPANNED, 122_999, RETENTION_MS, [0, 1, 2]),
    ("the-last-bucket", SPANNED, 123_000, RETENTION_MS, [0, 1, 2, 3]),
]


@pytest.mark.parametrize(
    ("event", "now_ms", "retention_ms", "expected"),
    [case[1:] for case in COLLECTABLE],
    ids=[case[0] for case in COLLECTABLE],
)
def test_whole_buckets_are_collected_oldest_first(
    event: Event, now_ms: int, retention_ms: int, expected: Sequence[int]
) -> None:
    assert collectable(event, BUCKETS, now_ms, retention_ms, segments_per_bucket=4) == expected


def test_a_bucket_may_hold_one_segment() -> None:
    assert collectable(PLAIN, range(20), 85_000, 0, segments_per_bucket=1) == list(range(12))


def test_a_retention_that_reaches_into_the_window_is_a_programmers_error() -> None:
    with pytest.raises(AssertionError, match="nothing inside the DVR window"):
        collectable(PLAIN, BUCKETS, 0, -1, segments_per_bucket=4)


# (id, event, ms now, retention in ms, whether it is over)
OVER: list[tuple[str, Event, int, int, bool]] = [
    ("without-an-end-never", PLAIN, 10**15, RETENTION_MS, False),
    ("last-ms", SPANNED, 130_999, RETENTION_MS, False),
    ("over", SPANNED, 131_000, RETENTION_MS, True),
    ("without-retention-last-ms", SPANNED, 100_999, 0, False),
    ("without-retention", SPANNED, 101_000, 0, True),
    ("before-it-began", SPANNED, 0, RETENTION_MS, False),
]


@pytest.mark.parametrize(
    ("event", "now_ms", "retention_ms", "is_over"), [case[1:] for case in OVER], ids=[case[0] for case in OVER]
)
def test_an_event_is_over_when_the_last_copy_that_could_come_has_aged_out(
    event: Event, now_ms: int, retention_ms: int, is_over: bool
) -> None:
    assert event_is_over(event, now_ms, retention_ms) is is_over


def test_an_event_expires_in_the_ms_in_which_it_is_over() -> None:
    assert event_expires_ms(SPANNED, RETENTION_MS) == 131_000
    assert event_expires_ms(PLAIN, RETENTION_MS) is None
