"""How long a cache may keep each kind of answer."""

from fractions import Fraction

import pytest

from selection import cache_policy
from selection.cache_policy import LONG_MS, OVERLOAD_MS, SHORTEST_MS, UNKNOWN_MS, CachePolicy
from selection.model import Event
from selection.window import WindowClass
from tests.support.events import make_event

# Segment 10 has media from 20 s to 22 s, is due at 23 s, held from 20 s on, given up at 33 s, expired at 83 s.
PLAIN = make_event()
SLOW = make_event(publish_delay_ms=10_000)
HALF_SECOND = make_event(duration=Fraction(1, 2))
LONG_WINDOW = make_event(dvr_window_ms=LONG_MS)

# (id, event, number, class, now_ms, life time)
NEGATIVES = [
    ("before-start", PLAIN, -1, WindowClass.BEFORE_START, 0, UNKNOWN_MS),
    ("after-end", PLAIN, 10, WindowClass.AFTER_END, 0, LONG_MS),
    ("expired", PLAIN, 10, WindowClass.EXPIRED, 83_000, LONG_MS),
    ("future-until-it-is-held", PLAIN, 10, WindowClass.FUTURE, 7_000, 13_000),
    ("future-one-ms-before-it-is-held", PLAIN, 10, WindowClass.FUTURE, 19_999, 1),
    ("future-whose-media-ends-before-it-is-held", SLOW, 10, WindowClass.FUTURE, 21_900, 100),
    ("future-whose-media-has-ended", SLOW, 10, WindowClass.FUTURE, 22_000, SHORTEST_MS),
    ("future-in-exactly-a-day", PLAIN, 10, WindowClass.FUTURE, 20_000 - LONG_MS, LONG_MS),
    ("future-in-a-ms-less-than-a-day", PLAIN, 10, WindowClass.FUTURE, 20_001 - LONG_MS, LONG_MS - 1),
    ("future-in-a-ms-more-than-a-day", PLAIN, 10, WindowClass.FUTURE, 19_999 - LONG_MS, LONG_MS),
    ("nineteen-digits", PLAIN, 10**19 - 1, WindowClass.FUTURE, 0, LONG_MS),
    ("next", PLAIN, 10, WindowClass.NEXT, 20_000, SHORTEST_MS),
    ("due", PLAIN, 10, WindowClass.DUE, 23_000, SHORTEST_MS),
    ("given-up-for-one-segment", PLAIN, 10, WindowClass.GIVEN_UP, 33_000, 2_000),
    ("given-up-for-a-second-at-least", HALF_SECOND, 10, WindowClass.GIVEN_UP, 33_000, SHORTEST_MS),
]


@pytest.mark.parametrize(
    ("event", "number", "window_class", "now_ms", "ttl_ms"),
    [case[1:] for case in NEGATIVES],
    ids=[case[0] for case in NEGATIVES],
)
def test_an_absence_is_remembered_as_long_as_its_class_says(
    event: Event, number: int, window_class: WindowClass, now_ms: int, ttl_ms: int
) -> None:
    policy = cache_policy.negative(event, number, window_class, now_ms)
    assert policy == CachePolicy(ttl_ms, immutable=False, may_be_stale=False)


def test_every_class_has_its_life_time() -> None:
    assert {case[3] for case in NEGATIVES} == set(WindowClass)


def test_a_class_without_a_life_time_is_a_programmers_error() -> None:
    with pytest.raises(AssertionError):
        cache_policy.negative(PLAIN, 10, "late", 0)  # type: ignore[arg-type]


# (id, event, number, whether it is good, now_ms, policy)
SEGMENTS = [
    ("good", PLAIN, 10, True, 23_000, CachePolicy(LONG_MS, immutable=True, may_be_stale=True)),
    ("good-and-expired", PLAIN, 10, True, 10**12, CachePolicy(LONG_MS, immutable=True, may_be_stale=True)),
    (
        "good-in-a-window-of-a-day",
        LONG_WINDOW,
        10,
        True,
        22_999,
        CachePolicy(LONG_MS + 1, immutable=True, may_be_stale=True),
    ),
    ("good-init", PLAIN, None, True, 0, CachePolicy(60_000, may_be_stale=True)),
    ("flawed", PLAIN, 10, False, 23_000, CachePolicy(2_000, may_be_stale=True)),
    ("flawed-init", PLAIN, None, False, 0, CachePolicy(2_000, may_be_stale=True)),
    ("flawed-and-short", HALF_SECOND, 10, False, 23_000, CachePolicy(SHORTEST_MS, may_be_stale=True)),
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


MANIFESTS = [
    ("half-a-segment", PLAIN, 1_000),
    ("rounded-down", make_event(duration=Fraction(60_061, 20_000)), 1_501),
    ("a-second-at-least", HALF_SECOND, SHORTEST_MS),
]


@pytest.mark.parametrize(("event", "ttl_ms"), [case[1:] for case in MANIFESTS], ids=[case[0] for case in MANIFESTS])
def test_a_manifest_is_kept_for_less_than_a_segment(event: Event, ttl_ms: int) -> None:
    assert cache_policy.manifest(event) == CachePolicy(ttl_ms)


def test_what_may_appear_any_moment_is_kept_for_the_shortest_time_caches_can_express() -> None:
    assert cache_policy.absent() == CachePolicy(SHORTEST_MS)
    assert SHORTEST_MS == 1_000


def test_what_a_configuration_may_add_and_overload_are_kept_for_seconds() -> None:
    assert cache_policy.unknown() == CachePolicy(UNKNOWN_MS)
    assert cache_policy.overload() == CachePolicy(OVERLOAD_MS)
    assert SHORTEST_MS < UNKNOWN_MS <= 10_000 and SHORTEST_MS < OVERLOAD_MS <= 10_000
