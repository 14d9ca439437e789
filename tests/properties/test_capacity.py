"""The level of a filling disk is bounded by its fill alone; what it was before moves it only within the gap."""

from hypothesis import given
from hypothesis import strategies as st

from selection.capacity import HYSTERESIS_PERCENT, CapacityLevel, CapacityPolicy, DiskUse, level

LEVELS = list(CapacityLevel)
POLICIES = st.lists(st.integers(10, 99), min_size=3, max_size=3, unique=True).map(
    lambda percents: CapacityPolicy(*sorted(percents))
)
FORMER = st.sampled_from(LEVELS)


@st.composite
def disks(draw: st.DrawFn) -> DiskUse:
    total_bytes = draw(st.integers(0, 10**13))
    return DiskUse(
        used_bytes=draw(st.integers(0, 10**13)),
        budget_bytes=draw(st.integers(1, 10**13)),
        free_bytes=draw(st.integers(0, total_bytes)),
        total_bytes=total_bytes,
    )


def reached(use: DiskUse, policy: CapacityPolicy, less_percent: int) -> int:
    """Return how many thresholds the disk is above, each lowered by some percent."""
    thresholds = (policy.shrink_percent, policy.refuse_old_percent, policy.refuse_percent)
    return sum(use.is_above(percent - less_percent) for percent in thresholds)


@given(disks(), POLICIES, FORMER)
def test_a_level_lies_between_its_thresholds_with_and_without_the_gap(
    use: DiskUse, policy: CapacityPolicy, former: CapacityLevel
) -> None:
    lowest, highest = reached(use, policy, 0), reached(use, policy, HYSTERESIS_PERCENT)
    before = LEVELS.index(former)
    # From below one rises no further than one must; from above one falls no further than one may.
    assert LEVELS.index(level(use, policy, former)) == max(lowest, min(before, highest))


@given(disks(), POLICIES, FORMER)
def test_a_level_stays_while_the_disk_does(use: DiskUse, policy: CapacityPolicy, former: CapacityLevel) -> None:
    now = level(use, policy, former)
    assert level(use, policy, now) is now


@given(disks(), POLICIES, FORMER, st.integers(0, 10**13))
def test_a_fuller_disk_is_never_at_a_lower_level(
    use: DiskUse, policy: CapacityPolicy, former: CapacityLevel, more_bytes: int
) -> None:
    fuller = DiskUse(use.used_bytes + more_bytes, use.budget_bytes, use.free_bytes, use.total_bytes)
    assert LEVELS.index(level(use, policy, former)) <= LEVELS.index(level(fuller, policy, former))


@given(POLICIES, FORMER)
def test_an_empty_disk_heals_at_once(policy: CapacityPolicy, former: CapacityLevel) -> None:
    assert level(DiskUse(0, 1, 1, 1), policy, former) is CapacityLevel.AMPLE
