"""The levels of a filling disk: where each begins, where it ends, and what it takes away."""

from collections.abc import Callable

import pytest

from selection.capacity import (
    HYSTERESIS_PERCENT,
    CapacityLevel,
    CapacityPolicy,
    DiskUse,
    is_refused,
    level,
    retention_in_force_ms,
)
from tests.support.events import make_event

AMPLE, SHRINK, REFUSE_OLD, REFUSE_ALL = CapacityLevel
POLICY = CapacityPolicy()
BUDGET_BYTES = 10_000
# Segment 10 is due at 23 s and given up at 33 s.
EVENT = make_event()


def budget(used_bytes: int) -> DiskUse:
    """Return a disk on which only the budget counts."""
    return DiskUse(used_bytes, BUDGET_BYTES, free_bytes=90_000, total_bytes=100_000)


def file_system(used_bytes: int) -> DiskUse:
    """Return a disk that others have filled."""
    return DiskUse(0, BUDGET_BYTES, free_bytes=BUDGET_BYTES - used_bytes, total_bytes=BUDGET_BYTES)


# (id, bytes used of 10,000, former level, level)
LEVELS = [
    ("empty", 0, AMPLE, AMPLE),
    ("at-90", 9_000, AMPLE, AMPLE),
    ("above-90", 9_001, AMPLE, SHRINK),
    ("at-95", 9_500, SHRINK, SHRINK),
    ("above-95", 9_501, SHRINK, REFUSE_OLD),
    ("at-98", 9_800, REFUSE_OLD, REFUSE_OLD),
    ("above-98", 9_801, REFUSE_OLD, REFUSE_ALL),
    ("full", 10_000, REFUSE_ALL, REFUSE_ALL),
    ("over-full", 20_000, AMPLE, REFUSE_ALL),
    ("shrink-stays-above-88", 8_801, SHRINK, SHRINK),
    ("shrink-ends-at-88", 8_800, SHRINK, AMPLE),
    ("refuse-old-stays-above-93", 9_301, REFUSE_OLD, REFUSE_OLD),
    ("refuse-old-ends-at-93", 9_300, REFUSE_OLD, SHRINK),
    ("refuse-all-stays-above-96", 9_601, REFUSE_ALL, REFUSE_ALL),
    ("refuse-all-ends-at-96", 9_600, REFUSE_ALL, REFUSE_OLD),
    ("refuse-all-falls-to-what-still-holds", 9_301, REFUSE_ALL, REFUSE_OLD),
    ("refuse-all-falls-two-levels", 9_300, REFUSE_ALL, SHRINK),
    ("refuse-all-falls-to-shrink-in-its-gap", 8_801, REFUSE_ALL, SHRINK),
    ("refuse-all-heals-at-once", 100, REFUSE_ALL, AMPLE),
]


@pytest.mark.parametrize("disk", [budget, file_system])
@pytest.mark.parametrize(
    ("used_bytes", "former", "expected"), [case[1:] for case in LEVELS], ids=[case[0] for case in LEVELS]
)
def test_a_level_begins_above_its_threshold_and_ends_some_way_below(
    disk: Callable[[int], DiskUse], used_bytes: int, former: CapacityLevel, expected: CapacityLevel
) -> None:
    assert level(disk(used_bytes), POLICY, former) is expected


def test_the_fuller_of_budget_and_file_system_counts() -> None:
    assert level(DiskUse(99, 100, 50, 100), POLICY, AMPLE) is REFUSE_ALL
    assert level(DiskUse(50, 100, 1, 100), POLICY, AMPLE) is REFUSE_ALL


def test_a_file_system_that_does_not_tell_its_size_is_left_out() -> None:
    assert level(DiskUse(50, 100, 0, 0), POLICY, AMPLE) is AMPLE


def test_thresholds_are_the_operators() -> None:
    policy = CapacityPolicy(shrink_percent=10, refuse_old_percent=20, refuse_percent=99)
    assert [level(budget(used_bytes), policy, AMPLE) for used_bytes in (1_000, 1_001, 2_001, 9_901)] == [
        AMPLE,
        SHRINK,
        REFUSE_OLD,
        REFUSE_ALL,
    ]


@pytest.mark.parametrize("percents", [(95, 95, 98), (90, 98, 98), (98, 95, 90)])
def test_thresholds_out_of_order_are_a_programmers_error(percents: tuple[int, int, int]) -> None:
    with pytest.raises(AssertionError, match="one after the other"):
        CapacityPolicy(*percents)


def test_a_disk_that_stays_at_a_threshold_does_not_flap() -> None:
    """One segment more, one bucket less, for ever."""
    seen, now = [], AMPLE
    for used_bytes in [9_000, 9_050, 8_950, 9_050, 8_900, 9_001]:
        now = level(budget(used_bytes), POLICY, now)
        seen.append(now)
    assert seen == [AMPLE, SHRINK, SHRINK, SHRINK, SHRINK, SHRINK]
    assert HYSTERESIS_PERCENT > 1


@pytest.mark.parametrize(("now", "retention_ms"), [(AMPLE, 30_000), (SHRINK, 0), (REFUSE_OLD, 0), (REFUSE_ALL, 0)])
def test_only_an_ample_disk_keeps_what_has_left_the_window(now: CapacityLevel, retention_ms: int) -> None:
    assert retention_in_force_ms(now, 30_000) == retention_ms


# (id, level, number, ms now, whether it is refused)
REFUSALS = [
    ("ample-takes-all", AMPLE, 10, 82_999, False),
    ("shrink-takes-all", SHRINK, 10, 82_999, False),
    ("refuse-old-takes-what-is-waited-for", REFUSE_OLD, 10, 32_999, False),
    ("refuse-old-refuses-what-was-given-up", REFUSE_OLD, 10, 33_000, True),
    ("refuse-old-takes-what-has-no-number", REFUSE_OLD, None, 10**15, False),
    ("refuse-all-refuses-live", REFUSE_ALL, 10, 23_000, True),
    ("refuse-all-refuses-what-has-no-number", REFUSE_ALL, None, 0, True),
]


@pytest.mark.parametrize(
    ("now", "number", "now_ms", "refused"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_old_copies_are_refused_before_live_ones(
    now: CapacityLevel, number: int | None, now_ms: int, refused: bool
) -> None:
    assert is_refused(now, EVENT, number, now_ms) is refused
