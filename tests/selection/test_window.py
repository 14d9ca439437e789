"""Where a segment number stands in time, at each ms where that changes."""

from fractions import Fraction

import pytest

from selection.model import Event
from selection.window import (
    NEGATIVE_LIFE_MS_MIN,
    WindowClass,
    classify,
    due_ms,
    expires_ms,
    gives_up_ms,
    hold_opens_ms,
    init_class,
    newest_due_number,
    opens_ms,
)
from tests.support.events import make_event

# Segment 10 has media from 20 s to 22 s, is due at 23 s, held from 20 s on, given up at 33 s, expired at 83 s.
PLAIN = make_event()
SPANNED = make_event(start_ms=20_000, end_ms=30_000)  # numbers 10 to 14
NO_HOLD = make_event(hold_ahead_ms=0)
LONG_HOLD = make_event(hold_ahead_ms=3_001)
SLOW = make_event(publish_delay_ms=10_000)  # due at 32 s, and 3 s before that its media has ended long ago
SHORT_WINDOW = make_event(retry_deadline_ms=5_000, dvr_window_ms=5_000)
THIRD = make_event(duration=Fraction(1, 3), hold_ahead_ms=100, start_number=1)  # number 1 ends at 333 1/3 ms

# (id, event, number, now_ms, class)
CLASSES = [
    ("long-before", PLAIN, 10, -(10**15), WindowClass.FUTURE),
    ("last-ms-before-the-hold-ahead", PLAIN, 10, 19_999, WindowClass.FUTURE),
    ("first-ms-of-the-hold-ahead", PLAIN, 10, 20_000, WindowClass.NEXT),
    ("last-ms-before-due", PLAIN, 10, 22_999, WindowClass.NEXT),
    ("due", PLAIN, 10, 23_000, WindowClass.DUE),
    ("last-ms-before-the-retry-deadline", PLAIN, 10, 32_999, WindowClass.DUE),
    ("retry-deadline", PLAIN, 10, 33_000, WindowClass.GIVEN_UP),
    ("last-ms-of-the-dvr-window", PLAIN, 10, 82_999, WindowClass.GIVEN_UP),
    ("left-the-dvr-window", PLAIN, 10, 83_000, WindowClass.EXPIRED),
    ("long-after", PLAIN, 10, 10**15, WindowClass.EXPIRED),
    ("below-the-start-number", PLAIN, -1, 0, WindowClass.BEFORE_START),
    ("start-number-before-the-epoch", PLAIN, 0, -1, WindowClass.FUTURE),
    ("start-number-at-the-epoch", PLAIN, 0, 0, WindowClass.NEXT),
    ("nineteen-digits", PLAIN, 10**19 - 1, 10**15, WindowClass.FUTURE),
    ("last-before-the-start", SPANNED, 9, 22_000, WindowClass.BEFORE_START),
    ("last-before-the-start-never-expires", SPANNED, 9, 10**15, WindowClass.BEFORE_START),
    ("first-of-the-event", SPANNED, 10, 22_000, WindowClass.NEXT),
    ("last-of-the-event", SPANNED, 14, 22_000, WindowClass.FUTURE),
    ("last-of-the-event-expires-too", SPANNED, 14, 91_000, WindowClass.EXPIRED),
    ("first-after-the-end", SPANNED, 15, 22_000, WindowClass.AFTER_END),
    ("first-after-the-end-never-expires", SPANNED, 15, 10**15, WindowClass.AFTER_END),
    ("without-hold-ahead-last-ms-before-the-hold", NO_HOLD, 10, 19_999, WindowClass.FUTURE),
    ("without-hold-ahead-it-is-held-2-s-before-its-media-ends", NO_HOLD, 10, 20_000, WindowClass.NEXT),
    ("without-hold-ahead-it-is-due-as-ever", NO_HOLD, 10, 23_000, WindowClass.DUE),
    ("long-hold-ahead-last-ms-before-it", LONG_HOLD, 10, 19_998, WindowClass.FUTURE),
    ("long-hold-ahead-counts-from-due", LONG_HOLD, 10, 19_999, WindowClass.NEXT),
    ("slow-pipelines-last-ms-before-the-hold", SLOW, 10, 19_999, WindowClass.FUTURE),
    ("slow-pipelines-it-is-held-2-s-before-its-media-ends", SLOW, 10, 20_000, WindowClass.NEXT),
    ("retry-until-it-expires", SHORT_WINDOW, 10, 27_999, WindowClass.DUE),
    ("expired-without-being-given-up", SHORT_WINDOW, 10, 28_000, WindowClass.EXPIRED),
    ("third-last-ms-before-the-hold", THIRD, 1, -1_667, WindowClass.FUTURE),
    ("third-first-ms-of-the-hold", THIRD, 1, -1_666, WindowClass.NEXT),
    ("third-last-ms-before-due", THIRD, 1, 1_333, WindowClass.NEXT),
    ("third-due-in-the-first-whole-ms", THIRD, 1, 1_334, WindowClass.DUE),
]


@pytest.mark.parametrize(
    ("event", "number", "now_ms", "expected"), [case[1:] for case in CLASSES], ids=[case[0] for case in CLASSES]
)
def test_a_number_has_one_class_at_each_ms(event: Event, number: int, now_ms: int, expected: WindowClass) -> None:
    assert classify(event, number, now_ms) is expected


def test_the_moments_of_a_segment_follow_from_when_it_is_due() -> None:
    assert opens_ms(PLAIN, 10) == 18_000  # one segment before its media begins
    assert hold_opens_ms(PLAIN, 10) == 20_000
    assert due_ms(PLAIN, 10) == 23_000
    assert gives_up_ms(PLAIN, 10) == 33_000
    assert expires_ms(PLAIN, 10) == 83_000


# (id, event, from when on requests for segment 10 are held, whose media ends at 22 s)
HOLDS = [
    ("hold-ahead-and-2-s-before-the-end-agree", PLAIN, 20_000),
    ("hold-ahead-a-ms-longer", LONG_HOLD, 19_999),
    ("hold-ahead-a-ms-shorter", make_event(hold_ahead_ms=2_999), 20_000),
    ("no-hold-ahead", NO_HOLD, 20_000),
    ("no-delay", make_event(publish_delay_ms=0), 19_000),
    ("slow-pipelines", SLOW, 20_000),
]


@pytest.mark.parametrize(("event", "opens"), [case[1:] for case in HOLDS], ids=[case[0] for case in HOLDS])
def test_requests_are_held_before_a_refusal_could_outlive_the_end_of_the_media(event: Event, opens: int) -> None:
    assert hold_opens_ms(event, 10) == opens
    assert event.timeline.end_ms(10) - opens >= NEGATIVE_LIFE_MS_MIN == 2_000


def test_due_counts_from_the_epoch_and_start_number() -> None:
    event = make_event(epoch_ms=1_700_000_000_500, start_number=7, duration=Fraction(60_060, 30_000))
    assert due_ms(event, 7) == 1_700_000_000_500 + 2_002 + 1_000
    assert opens_ms(event, 7) == 1_700_000_000_500 - 2_002


# (id, event, now_ms, newest due number)
EDGES = [
    ("nothing-is-due-yet", PLAIN, 2_999, -1),
    ("first-is-due", PLAIN, 3_000, 0),
    ("last-ms-of-the-first", PLAIN, 4_999, 0),
    ("second-is-due", PLAIN, 5_000, 1),
    ("before-the-start", SPANNED, 22_999, 9),
    ("first-of-the-event", SPANNED, 23_000, 10),
    ("last-ms-before-the-last", SPANNED, 30_999, 13),
    ("last-of-the-event", SPANNED, 31_000, 14),
    ("after-the-last-nothing-more-is-due", SPANNED, 33_000, 14),
    ("long-after-the-end", SPANNED, 10**15, 14),
    ("third-last-ms-before-the-first", THIRD, 1_333, 0),
    ("third-first", THIRD, 1_334, 1),
    ("third-exact-boundary", THIRD, 2_000, 3),
    ("third-last-ms-before-that", THIRD, 1_999, 2),
]


@pytest.mark.parametrize(("event", "now_ms", "number"), [case[1:] for case in EDGES], ids=[case[0] for case in EDGES])
def test_the_live_edge_moves_in_the_ms_in_which_a_segment_is_due(event: Event, now_ms: int, number: int) -> None:
    assert newest_due_number(event, now_ms) == number


# (id, event, now_ms, where an init segment that is not there stands); the first number is due at 23 s
INITS = [
    ("last-ms-before-the-first-segment-is-held", SPANNED, 19_999, WindowClass.FUTURE),
    ("first-segment-is-held", SPANNED, 20_000, WindowClass.NEXT),
    ("last-segment-is-late", SPANNED, 40_999, WindowClass.NEXT),
    ("last-segment-is-given-up", SPANNED, 41_000, WindowClass.AFTER_END),
    ("open-end", PLAIN, 10**15, WindowClass.NEXT),
]


@pytest.mark.parametrize(("event", "now_ms", "expected"), [case[1:] for case in INITS], ids=[case[0] for case in INITS])
def test_an_init_segment_is_waited_for_from_the_first_segment_until_the_last_is_given_up(
    event: Event, now_ms: int, expected: WindowClass
) -> None:
    assert init_class(event, now_ms) is expected


def test_the_classes_are_listed_in_the_order_a_segment_goes_through() -> None:
    lived = [classify(PLAIN, 10, now_ms) for now_ms in (19_999, 20_000, 23_000, 33_000, 83_000)]
    assert lived == [name for name in WindowClass if name not in (WindowClass.BEFORE_START, WindowClass.AFTER_END)]
