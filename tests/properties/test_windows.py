"""The life of a segment number, and how long an answer about it may be remembered.

What is expected comes from the exact times of a segment, as fractions, and never from `classify`.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from origin.headers import life_time
from selection import cache_policy
from selection.cache_policy import LONG_MS, UNKNOWN_MS, CachePolicy
from selection.model import Event
from selection.window import WindowClass, classify, newest_due_number
from tests.properties.strategies import (
    events,
    exact_end_ms,
    exact_start_ms,
    numbers_and_times,
    numbers_of_event,
)

CASES = numbers_and_times()
Predicate = Callable[[Event, int, int], bool]


def exists(event: Event, number: int) -> bool:
    return number in numbers_of_event(event, number + 1)


def late_ms(event: Event, number: int, now_ms: int) -> Fraction:
    """Return how long `number` has been due, negative before; exact."""
    return now_ms - (exact_end_ms(event, number) + event.publish_delay_ms)


def is_before_start(event: Event, number: int, now_ms: int) -> bool:
    if number < event.timeline.start_number:
        return True
    return event.start_ms is not None and exact_end_ms(event, number) <= event.start_ms


def is_after_end(event: Event, number: int, now_ms: int) -> bool:
    begins_late = event.end_ms is not None and exact_start_ms(event, number) > event.end_ms - 1
    return begins_late and not is_before_start(event, number, now_ms)


def is_future(event: Event, number: int, now_ms: int) -> bool:
    return exists(event, number) and late_ms(event, number, now_ms) < -held_before_due_ms(event)


def is_next(event: Event, number: int, now_ms: int) -> bool:
    return exists(event, number) and -held_before_due_ms(event) <= late_ms(event, number, now_ms) < 0


def held_before_due_ms(event: Event) -> int:
    """Return how long before due requests are held: `hold_ahead`, but from 2 s before the end of the media on."""
    return max(event.hold_ahead_ms, event.publish_delay_ms + 2_000)


def is_waited_for(event: Event, number: int, now_ms: int) -> bool:
    window_ms = min(event.retry_deadline_ms, event.dvr_window_ms)
    return exists(event, number) and 0 <= rounded(late_ms(event, number, now_ms)) < window_ms


def is_given_up(event: Event, number: int, now_ms: int) -> bool:
    late = rounded(late_ms(event, number, now_ms))
    return exists(event, number) and late >= 0 and event.retry_deadline_ms <= late < event.dvr_window_ms


def is_expired(event: Event, number: int, now_ms: int) -> bool:
    late = rounded(late_ms(event, number, now_ms))
    return exists(event, number) and late >= 0 and late >= event.dvr_window_ms


def rounded(late: Fraction) -> int:
    """Return whole ms since the first whole ms after due: all waits count from there."""
    return late.__floor__()


PARTITION: dict[WindowClass, Predicate] = {
    WindowClass.BEFORE_START: is_before_start,
    WindowClass.AFTER_END: is_after_end,
    WindowClass.FUTURE: is_future,
    WindowClass.NEXT: is_next,
    WindowClass.DUE: is_waited_for,
    WindowClass.GIVEN_UP: is_given_up,
    WindowClass.EXPIRED: is_expired,
}


@settings(max_examples=400)
@given(CASES)
def test_exactly_one_class_holds_and_it_is_the_one_told(case: tuple[Event, int, int]) -> None:
    holding = [window_class for window_class, holds in PARTITION.items() if holds(*case)]
    assert holding == [classify(*case)]


@given(CASES, st.integers(0, 200_000) | st.integers(0, 3))
def test_the_classes_of_a_number_come_in_order(case: tuple[Event, int, int], later_ms: int) -> None:
    event, number, now_ms = case
    before, after = classify(event, number, now_ms), classify(event, number, now_ms + later_ms)
    order = list(WindowClass)
    never_exists = (WindowClass.BEFORE_START, WindowClass.AFTER_END)
    if before in never_exists or after in never_exists:
        assert before is after
    assert order.index(before) <= order.index(after)


@given(CASES, st.integers(0, 200_000) | st.integers(0, 3))
def test_the_live_edge_never_goes_back_and_is_the_newest_number_that_is_due(
    case: tuple[Event, int, int], later_ms: int
) -> None:
    event, number, now_ms = case
    newest = newest_due_number(event, now_ms)
    assert newest <= newest_due_number(event, now_ms + later_ms)
    within = event.last_number is None or number <= event.last_number
    assert (number <= newest) is (within and late_ms(event, number, now_ms) >= 0)


@given(events(), st.integers(-100_000, 200_000))
def test_first_and_last_number_are_those_that_cover_the_span(event: Event, now_ms: int) -> None:
    beyond = max(event.timeline.number_at_ms(now_ms), event.timeline.start_number) + 1
    numbers = list(numbers_of_event(event, beyond))
    last = beyond - 1 if event.last_number is None else min(event.last_number, beyond - 1)
    assert numbers == list(range(event.first_number, last + 1))


def whole_seconds_ms(policy: CachePolicy) -> int:
    """Return how long a cache keeps an answer whose clock has whole seconds: up to one longer than it is told."""
    found = re.fullmatch(r"public, max-age=([0-9]+), stale-while-revalidate=0", life_time(policy)["Cache-Control"])
    assert found is not None, "kept by all caches, and never served stale"
    assert int(found[1]) >= 1, "or requests for it would not be collapsed"
    return (int(found[1]) + 1) * 1000


def exact_seconds_ms(policy: CachePolicy) -> int:
    """Return how long a CDN keeps an answer, which counts from Age."""
    fields = life_time(policy)
    told = fields.get("CDN-Cache-Control", fields["Cache-Control"])
    return int(told.partition("max-age=")[2].partition(",")[0]) * 1000


def negative(event: Event, number: int, now_ms: int) -> CachePolicy:
    return cache_policy.negative(event, number, classify(event, number, now_ms), now_ms)


@settings(max_examples=400)
@given(CASES)
def test_a_too_early_answer_is_forgotten_before_a_packager_can_publish_at_the_end_of_the_media(
    case: tuple[Event, int, int],
) -> None:
    event, number, now_ms = case
    if not is_future(*case):
        return
    policy = negative(*case)
    ends_ms = exact_end_ms(event, number)
    assert now_ms + policy.ttl_ms <= ends_ms + 1 - 2_000  # ends are rounded up to whole ms
    assert now_ms + whole_seconds_ms(policy) <= ends_ms
    assert now_ms + exact_seconds_ms(policy) <= ends_ms - 1_000


@settings(max_examples=400)
@given(CASES)
def test_a_too_early_answer_lives_until_requests_are_held(case: tuple[Event, int, int]) -> None:
    event, number, now_ms = case
    if not is_future(*case):
        return
    policy = negative(*case)
    assert 1 <= policy.ttl_ms <= LONG_MS
    assert is_future(event, number, now_ms + policy.ttl_ms - 1)
    assert policy.ttl_ms == LONG_MS or is_next(event, number, now_ms + policy.ttl_ms)
    # Caches that round come back by then, too, unless less was left than they can be told.
    assert whole_seconds_ms(policy) <= max(policy.ttl_ms, 2_000)
    assert policy.ttl_ms - 2_000 < exact_seconds_ms(policy) <= max(policy.ttl_ms, 1_000)


@given(CASES, st.integers(0, 200_000) | st.integers(0, 3))
def test_a_too_early_answer_lives_no_longer_the_later_it_is_given(case: tuple[Event, int, int], later_ms: int) -> None:
    event, number, now_ms = case
    if not is_future(event, number, now_ms + later_ms):
        return
    before, after = negative(*case), negative(event, number, now_ms + later_ms)
    assert now_ms + before.ttl_ms <= now_ms + later_ms + after.ttl_ms
    assert after.ttl_ms <= before.ttl_ms
    assert whole_seconds_ms(after) <= whole_seconds_ms(before)
    assert exact_seconds_ms(after) <= exact_seconds_ms(before)


@given(CASES)
def test_what_may_still_appear_is_asked_for_again_soon(case: tuple[Event, int, int]) -> None:
    event = case[0]
    policy = negative(*case)
    if is_next(*case) or is_waited_for(*case):
        assert policy.ttl_ms < 1_000
        assert (whole_seconds_ms(policy), exact_seconds_ms(policy)) == (2_000, 1_000)
    if is_given_up(*case):
        segment_ms = ceil(exact_end_ms(event, 0) - exact_start_ms(event, 0))
        assert policy.ttl_ms <= max(segment_ms, 1_000)
        assert whole_seconds_ms(policy) <= max(segment_ms, 2_000)
        assert exact_seconds_ms(policy) <= max(segment_ms, 1_000)


@given(CASES)
def test_what_never_exists_any_more_is_remembered_for_as_long_as_it_is_told(case: tuple[Event, int, int]) -> None:
    policy = negative(*case)
    if is_expired(*case) or is_after_end(*case):
        assert policy.ttl_ms == exact_seconds_ms(policy) == whole_seconds_ms(policy) - 1_000 == LONG_MS
    if is_before_start(*case):
        assert policy.ttl_ms == exact_seconds_ms(policy) == whole_seconds_ms(policy) - 1_000 == UNKNOWN_MS
