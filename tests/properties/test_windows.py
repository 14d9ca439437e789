"""The life of a segment number, and how long an answer about it may be remembered.

What is expected comes from the exact times of a segment, as fractions, and never from `classify`.
"""

from collections.abc import Callable
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from selection import cache_policy
from selection.cache_policy import LONG_MS, SHORTEST_MS, UNKNOWN_MS
from selection.model import Event
from selection.window import WindowClass, classify, due_ms, hold_opens_ms, newest_due_number
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
    return exists(event, number) and late_ms(event, number, now_ms) < -event.hold_ahead_ms


def is_next(event: Event, number: int, now_ms: int) -> bool:
    return exists(event, number) and -event.hold_ahead_ms <= late_ms(event, number, now_ms) < 0


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


def outlives_its_truth_at_most_ms(event: Event, window_class: WindowClass) -> int:
    """Return how long a cache may repeat an answer of a class that has passed, as `cache_policy` documents it."""
    duration_ms = exact_end_ms(event, 0) - exact_start_ms(event, 0)
    return {
        # the shortest time that all caches can express; in the future, too, once the media has ended
        WindowClass.FUTURE: SHORTEST_MS,
        WindowClass.NEXT: SHORTEST_MS,
        WindowClass.DUE: SHORTEST_MS,
        WindowClass.GIVEN_UP: max(SHORTEST_MS, int(duration_ms) + 1),  # a hole: caches ask again soon
    }.get(window_class, 0)


@settings(max_examples=400)
@given(CASES)
def test_no_negative_answer_outlives_its_truth_longer_than_documented(case: tuple[Event, int, int]) -> None:
    event, number, now_ms = case
    window_class = classify(*case)
    policy = cache_policy.negative(event, number, window_class, now_ms)
    assert 1 <= policy.ttl_ms <= LONG_MS
    assert not policy.immutable and not policy.may_be_stale
    last_use_ms = now_ms + policy.ttl_ms - 1
    still_true = PARTITION[window_class](event, number, last_use_ms)
    assert still_true or policy.ttl_ms <= outlives_its_truth_at_most_ms(event, window_class)


@given(CASES)
def test_a_too_early_answer_ends_in_the_ms_in_which_the_number_enters_its_hold_ahead(
    case: tuple[Event, int, int],
) -> None:
    event, number, now_ms = case
    has_ended = now_ms >= event.timeline.end_ms(number)
    if classify(event, number, now_ms) is WindowClass.FUTURE and has_ended:
        assert cache_policy.negative(event, number, WindowClass.FUTURE, now_ms).ttl_ms == SHORTEST_MS
    elif classify(event, number, now_ms) is WindowClass.FUTURE:
        opens_ms = min(hold_opens_ms(event, number), event.timeline.end_ms(number))
        ttl_ms = cache_policy.negative(event, number, WindowClass.FUTURE, now_ms).ttl_ms
        assert late_ms(event, number, now_ms + ttl_ms - 1) < -event.hold_ahead_ms
        assert ttl_ms == LONG_MS or now_ms + ttl_ms == opens_ms
        assert now_ms + ttl_ms <= hold_opens_ms(event, number) <= due_ms(event, number)


@given(CASES)
def test_what_may_still_appear_is_asked_for_again_soon(case: tuple[Event, int, int]) -> None:
    event, number, now_ms = case
    window_class = classify(*case)
    ttl_ms = cache_policy.negative(event, number, window_class, now_ms).ttl_ms
    if window_class in (WindowClass.NEXT, WindowClass.DUE):
        assert ttl_ms == SHORTEST_MS
    if window_class is WindowClass.BEFORE_START:
        assert ttl_ms == UNKNOWN_MS
