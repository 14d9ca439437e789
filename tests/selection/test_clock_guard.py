"""A wall clock that steps is not trusted until packagers or an operator agree with it."""

from collections.abc import Sequence

import pytest

from selection.clock_guard import (
    CONFIRM_MS_MAX,
    CONFIRMATIONS,
    FORWARD_AT_START_MS_MAX,
    STEP_MS_MAX,
    ClockGuard,
    Doubt,
    Reading,
    confirm,
    observe,
    observe_publication,
    start,
)

# A monotonic clock counts from anywhere.
WALL_MS, MONOTONIC_MS = 1_800_000_000_000, 77_000
TRUSTED = start(WALL_MS, MONOTONIC_MS, last_recorded_ms=WALL_MS)
PUBLISH_DELAY_MS = 1_000
# A second later the clock shows an hour more.
STEPPED_MS = WALL_MS + 1_000 + 3_600_000
DOUBTED = observe(TRUSTED, STEPPED_MS, MONOTONIC_MS + 1_000)


def after(guard: ClockGuard, publications: Sequence[tuple[int, int]]) -> ClockGuard:
    """Return the guard after publications, each (due, received) in ms after the doubt began."""
    for due_ms, received_ms in publications:
        guard = observe_publication(guard, STEPPED_MS + due_ms, STEPPED_MS + received_ms, PUBLISH_DELAY_MS)
    return guard


# (id, ms since the newest record, reason)
STARTS = [
    ("at-once", 0, None),
    ("back-as-far-as-slewing-goes", -STEP_MS_MAX, None),
    ("back", -STEP_MS_MAX - 1, "the wall clock is 5001 ms before the newest record"),
    ("after-a-day", FORWARD_AT_START_MS_MAX, None),
    ("after-more-than-a-day", FORWARD_AT_START_MS_MAX + 1, "the wall clock is 86400001 ms after the newest record"),
]


@pytest.mark.parametrize(("passed_ms", "reason"), [case[1:] for case in STARTS], ids=[case[0] for case in STARTS])
def test_a_start_far_from_the_newest_record_is_doubted(passed_ms: int, reason: str | None) -> None:
    guard = start(WALL_MS, MONOTONIC_MS, WALL_MS - passed_ms)
    assert guard.doubt == (None if reason is None else Doubt(reason, passed_ms, WALL_MS))
    assert guard.is_trusted is (reason is None)
    assert guard.reading == Reading(WALL_MS, MONOTONIC_MS)


def test_a_start_without_records_has_nothing_to_lose() -> None:
    assert start(0, 0, None).is_trusted


# (id, wall advance, monotonic advance, reason)
OBSERVATIONS = [
    ("both-alike", 1_000, 1_000, None),
    ("nothing-passed", 0, 0, None),
    ("the-loop-was-busy-for-a-minute", 60_000, 60_000, None),
    ("forward-within-bounds", 6_000, 1_000, None),
    ("forward", 6_001, 1_000, "the wall clock went forward by 5001 ms"),
    ("back-within-bounds", -4_000, 1_000, None),
    ("back", -4_001, 1_000, "the wall clock went back by 5001 ms"),
    ("stopped", 0, 5_001, "the wall clock went back by 5001 ms"),
    ("suspended", 3_600_000, 0, "the wall clock went forward by 3600000 ms"),
]


@pytest.mark.parametrize(
    ("wall_ms", "monotonic_ms", "reason"),
    [case[1:] for case in OBSERVATIONS],
    ids=[case[0] for case in OBSERVATIONS],
)
def test_a_step_is_what_the_wall_clock_advances_beyond_the_monotonic_one(
    wall_ms: int, monotonic_ms: int, reason: str | None
) -> None:
    guard = observe(TRUSTED, WALL_MS + wall_ms, MONOTONIC_MS + monotonic_ms)
    assert guard.reading == Reading(WALL_MS + wall_ms, MONOTONIC_MS + monotonic_ms)
    expected = None if reason is None else Doubt(reason, wall_ms - monotonic_ms, WALL_MS + wall_ms)
    assert guard.doubt == expected


def test_a_doubt_outlasts_a_clock_that_runs_on_evenly() -> None:
    guard = DOUBTED
    for second in range(1, 100):
        guard = observe(guard, STEPPED_MS + second * 1_000, MONOTONIC_MS + 1_000 + second * 1_000)
    assert guard.doubt == DOUBTED.doubt


def test_a_step_back_to_where_the_clock_was_is_one_more_step() -> None:
    guard = observe(after(DOUBTED, [(0, 0), (2_000, 2_000)]), WALL_MS + 2_000, MONOTONIC_MS + 2_000)
    assert guard.doubt == Doubt("the wall clock went back by 3600000 ms", -3_600_000, WALL_MS + 2_000)
    assert guard.agreed_count == 0


# (id, (due, received) after the doubt, trusted)
PUBLICATIONS: list[tuple[str, list[tuple[int, int]], bool]] = [
    ("punctual", [(0, 0), (2_000, 2_000), (4_000, 4_000)], True),
    ("at-both-bounds", [(0, 2_000), (4_000, 1_000), (6_000, 6_000)], True),
    ("as-soon-as-the-media-ends", [(1_000, 0), (3_000, 2_000), (5_000, 4_000)], True),
    ("too-few", [(0, 0), (2_000, 2_000)], False),
    ("too-late", [(0, 2_001), (2_000, 4_001), (4_000, 6_001), (6_000, 8_001)], False),
    ("too-early", [(4_000, 999), (6_000, 2_999), (8_000, 4_999), (10_000, 6_999)], False),
    ("an-hour-late", [(number - 3_600_000, number) for number in range(0, 20_000, 2_000)], False),
    ("not-in-a-row", [(0, 0), (2_000, 2_000), (-60_000, 3_000), (4_000, 4_000), (6_000, 6_000)], False),
    ("in-a-row-again", [(0, 0), (-60_000, 3_000), (4_000, 4_000), (6_000, 6_000), (8_000, 8_000)], True),
    ("all-renditions-of-one-segment", [(0, 0), (0, 1), (0, 2), (0, 3), (2_000, 2_000)], False),
    ("all-events-of-one-second", [(0, 0), (300, 300), (600, 600), (900, 900), (999, 999)], False),
    ("a-second-apart", [(0, 0), (1_000, 1_000), (2_000, 2_000)], True),
    ("shorter-segments", [(number, number) for number in range(0, 2_001, 200)], True),
    ("an-older-segment-does-not-count", [(2_000, 2_000), (1_000, 2_100), (4_000, 4_000)], False),
    ("nor-is-it-against", [(2_000, 2_000), (1_000, 2_100), (4_000, 4_000), (6_000, 6_000)], True),
    ("received-before-the-doubt", [(-3_000, -3_000), (-2_000, -2_000), (-1, -1), (1_000, 1_000)], False),
    ("what-was-late-before-the-doubt-is-not-against", [(0, 0), (-9_000, -1), (2_000, 2_000), (4_000, 4_000)], True),
]


@pytest.mark.parametrize(
    ("publications", "is_trusted"), [case[1:] for case in PUBLICATIONS], ids=[case[0] for case in PUBLICATIONS]
)
def test_a_doubt_ends_when_segments_in_a_row_are_published_when_they_are_due(
    publications: Sequence[tuple[int, int]], is_trusted: bool
) -> None:
    guard = after(DOUBTED, publications)
    assert guard.is_trusted is is_trusted
    assert guard.doubt == (None if is_trusted else DOUBTED.doubt)
    expected = "3 segments in a row were published when they were due" if is_trusted else None
    assert guard.confirmation == expected
    assert guard.reading == DOUBTED.reading


def test_an_operator_ends_a_doubt() -> None:
    guard = confirm(after(DOUBTED, [(0, 0)]))
    assert guard == ClockGuard(DOUBTED.reading, confirmation="an operator has confirmed the wall clock")
    assert guard.is_trusted


def test_what_is_trusted_needs_no_confirmation() -> None:
    assert confirm(TRUSTED) is TRUSTED
    assert after(TRUSTED, [(0, 0), (0, 99_999)]) is TRUSTED


def test_agreements_of_one_doubt_do_not_count_for_the_next() -> None:
    guard = after(DOUBTED, [(0, 0), (2_000, 2_000), (4_000, 4_000)])
    guard = observe(guard, STEPPED_MS + 10_000_000, MONOTONIC_MS + 5_000)
    assert not guard.is_trusted
    assert guard.agreed_count == 0
    assert guard.confirmation is None


def test_a_packager_that_agreed_before_a_step_cannot_agree_after_it() -> None:
    assert 2 * CONFIRM_MS_MAX + PUBLISH_DELAY_MS <= STEP_MS_MAX
    assert CONFIRMATIONS > 1
