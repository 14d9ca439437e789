"""How long a cache may keep each kind of answer."""

from dataclasses import replace
from fractions import Fraction

import pytest

from selection import cache_policy
from selection.cache_policy import (
    ABSENT_MS,
    INIT_MS,
    LONG_MS,
    OVERLOAD_MS,
    SHORTEST_MS,
    UNKNOWN_MS,
    CachePolicy,
)
from selection.model import Event
from selection.window import WindowClass
from tests.support.events import make_event

# Segment 10 has media from 20 s to 22 s, is due at 23 s, held from 20 s on, given up at 33 s, expired at 83 s.
PLAIN = make_event()
SLOW = make_event(publish_delay_ms=10_000)
HALF_SECOND = make_event(duration=Fraction(1, 2))
LONG_WINDOW = make_event(dvr_window_ms=LONG_MS)

ABSENT = CachePolicy(ABSENT_MS, must_not_outlive=True)


def until(ttl_ms: int) -> CachePolicy:
    """Return the policy of a negative answer that may be wrong after so many ms."""
    return CachePolicy(ttl_ms, must_not_outlive=True)


# (id, event, number, class, now_ms, policy)
NEGATIVES = [
    ("before-start", PLAIN, -1, WindowClass.BEFORE_START, 0, CachePolicy(UNKNOWN_MS)),
    ("after-end", PLAIN, 10, WindowClass.AFTER_END, 0, CachePolicy(LONG_MS)),
    ("expired", PLAIN, 10, WindowClass.EXPIRED, 83_000, CachePolicy(LONG_MS)),
    ("future-until-it-is-held", PLAIN, 10, WindowClass.FUTURE, 7_000, until(13_000)),
    ("future-one-ms-before-it-is-held", PLAIN, 10, WindowClass.FUTURE, 19_999, until(1)),
    ("future-of-slow-pipelines", SLOW, 10, WindowClass.FUTURE, 19_900, until(100)),
    ("future-in-exactly-a-day", PLAIN, 10, WindowClass.FUTURE, 20_000 - LONG_MS, until(LONG_MS)),
    ("future-in-a-ms-less-than-a-day", PLAIN, 10, WindowClass.FUTURE, 20_001 - LONG_MS, until(LONG_MS - 1)),
    ("future-in-a-ms-more-than-a-day", PLAIN, 10, WindowClass.FUTURE, 19_999 - LONG_MS, until(LONG_MS)),
    ("nineteen-digits", PLAIN, 10**19 - 1, WindowClass.FUTURE, 0, until(LONG_MS)),
    ("next", PLAIN, 10, WindowClass.NEXT, 20_000, ABSENT),
    ("due", PLAIN, 10, WindowClass.DUE, 23_000, ABSENT),
    ("given-up-for-one-segment", PLAIN, 10, WindowClass.GIVEN_UP, 33_000, until(2_000)),
    ("given-up-for-a-second-at-least", HALF_SECOND, 10, WindowClass.GIVEN_UP, 33_000, until(SHORTEST_MS)),
]


@pytest.mark.parametrize(
    ("event", "number", "window_class", "now_ms", "expected"),
    [case[1:] for case in NEGATIVES],
    ids=[case[0] for case in NEGATIVES],
)
def test_an_absence_is_remembered_as_long_as_its_class_says_and_never_served_stale(
    event: Event, number: int, window_class: WindowClass, now_ms: int, expected: CachePolicy
) -> None:
    policy = cache_policy.negative(event, number, window_class, now_ms)
    assert policy == expected
    assert (policy.immutable, policy.stale_ms, policy.stale_if_error_ms) == (False, 0, 0)


def test_every_class_has_its_life_time() -> None:
    assert {case[3] for case in NEGATIVES} == set(WindowClass)


def test_a_class_without_a_life_time_is_a_programmers_error() -> None:
    with pytest.raises(AssertionError):
        cache_policy.negative(PLAIN, 10, "late", 0)  # type: ignore[arg-type]


GOOD = CachePolicy(LONG_MS, immutable=True, stale_ms=60_000, stale_if_error_ms=LONG_MS)
FLAWED = CachePolicy(2_000, stale_ms=2_000, stale_if_error_ms=60_000)

# (id, event, number, whether it is good, now_ms, policy)
SEGMENTS = [
    ("good", PLAIN, 10, True, 23_000, GOOD),
    ("good-and-expired", PLAIN, 10, True, 10**12, GOOD),
    ("good-in-a-window-of-a-day", LONG_WINDOW, 10, True, 22_999, replace(GOOD, ttl_ms=LONG_MS + 1)),
    ("good-init", PLAIN, None, True, 0, replace(GOOD, ttl_ms=60_000, immutable=False)),
    ("flawed", PLAIN, 10, False, 23_000, FLAWED),
    ("flawed-init", PLAIN, None, False, 0, FLAWED),
    ("flawed-and-short", HALF_SECOND, 10, False, 23_000, replace(FLAWED, ttl_ms=SHORTEST_MS, stale_ms=SHORTEST_MS)),
]


@pytest.mark.parametrize(
    ("event", "number", "is_good", "now_ms", "expected"),
    [case[1:] for case in SEGMENTS],
    ids=[case[0] for case in SEGMENTS],
)
def test_a_good_segment_is_kept_long_and_a_flawed_one_until_it_may_be_upgraded(
    event: Event, number: int | None, is_good: bool, now_ms: int, expected: CachePolicy
) -> None:
    assert cache_policy.segment(event, number, is_good, now_ms) == expected


# (id, event, life time, stale while it is fetched, stale while the origin fails)
MANIFESTS = [
    ("half-a-segment", make_event(duration=6), 3_000, 3_000, 18_000),
    ("rounded-down", make_event(duration=Fraction(60_061, 20_000)), 1_501, 1_501, 9_009),
    ("a-second-at-least", HALF_SECOND, SHORTEST_MS, SHORTEST_MS, 3 * SHORTEST_MS),
]


@pytest.mark.parametrize(
    ("event", "ttl_ms", "stale_ms", "stale_if_error_ms"),
    [case[1:] for case in MANIFESTS],
    ids=[case[0] for case in MANIFESTS],
)
def test_a_manifest_is_kept_for_less_than_a_segment_and_longer_when_the_origin_fails(
    event: Event, ttl_ms: int, stale_ms: int, stale_if_error_ms: int
) -> None:
    expected = CachePolicy(ttl_ms, stale_ms=stale_ms, stale_if_error_ms=stale_if_error_ms)
    assert cache_policy.manifest(event) == expected


def test_what_may_appear_any_moment_is_kept_for_a_fraction_of_a_second() -> None:
    assert cache_policy.absent() == ABSENT
    assert 0 < ABSENT_MS < SHORTEST_MS == 1_000


@pytest.mark.parametrize("window_class", [each for each in WindowClass if each is not WindowClass.AFTER_END])
def test_an_init_segment_may_come_at_any_time(window_class: WindowClass) -> None:
    assert cache_policy.missing_init(window_class) == ABSENT


def test_an_init_segment_that_is_missing_after_the_end_is_not_asked_for_soon() -> None:
    assert cache_policy.missing_init(WindowClass.AFTER_END) == CachePolicy(INIT_MS)


def test_what_a_configuration_may_add_and_overload_are_kept_for_seconds() -> None:
    assert cache_policy.unknown() == CachePolicy(UNKNOWN_MS)
    assert cache_policy.overload() == CachePolicy(OVERLOAD_MS)
    assert SHORTEST_MS < UNKNOWN_MS <= 10_000 and SHORTEST_MS < OVERLOAD_MS <= 10_000
