"""Rewinds are refused first, the live edge last; the limit on reads follows how long they take."""

from dataclasses import replace

import pytest

from selection.request_class import RequestClass
from selection.shedding import (
    READS_COUNT_AT_START,
    READS_COUNT_MIN,
    AdaptiveLimit,
    LoadLimits,
    Reason,
    limit_at_start,
    refusal,
)
from tests.selection.simulated_ssd import SimulatedSsd
from tests.support.load import Load

PUBLISH, LIVE_EDGE, RECENT, DVR = RequestClass
LIMITS = LoadLimits(reads_count_max=256, unsent_bytes_max=1_000, loop_lag_ms_max=25)
READ_TIME_MS = 50

# From which load on each class is refused, with an adaptive limit of 20 reads.
FIRST_REFUSED = [
    ("reads-of-a-rewind", DVR, Load(10, 0, 0), Reason.READS),
    ("reads-of-recent", RECENT, Load(20, 0, 0), Reason.READS),
    ("reads-of-live", LIVE_EDGE, Load(256, 0, 0), Reason.READS),
    ("unsent-for-a-rewind", DVR, Load(0, 500, 0), Reason.UNSENT),
    ("unsent-for-recent", RECENT, Load(0, 750, 0), Reason.UNSENT),
    ("unsent-for-live", LIVE_EDGE, Load(0, 1_000, 0), Reason.UNSENT),
    ("lag-for-a-rewind", DVR, Load(0, 0, 25), Reason.LOOP_LAG),
    ("lag-for-recent", RECENT, Load(0, 0, 50), Reason.LOOP_LAG),
]


@pytest.mark.parametrize(
    ("request_class", "load", "reason"), [case[1:] for case in FIRST_REFUSED], ids=[case[0] for case in FIRST_REFUSED]
)
def test_a_class_is_refused_from_its_bound_on_and_not_below(
    request_class: RequestClass, load: Load, reason: Reason
) -> None:
    below = Load(*(max(each - 1, 0) for each in (load.reads_count, load.unsent_bytes, int(load.loop_lag_ms))))
    assert refusal(request_class, load, LIMITS, 20, needs_read=True) is reason
    assert refusal(request_class, below, LIMITS, 20, needs_read=True) is None


ALL_OVERLOADED = Load(reads_count=10_000, unsent_bytes=10_000, loop_lag_ms=10_000)


def test_who_publishes_is_never_refused() -> None:
    assert refusal(PUBLISH, ALL_OVERLOADED, LIMITS, READS_COUNT_MIN, needs_read=True) is None


def test_a_late_event_loop_does_not_refuse_the_live_edge() -> None:
    assert refusal(LIVE_EDGE, Load(0, 0, 10_000), LIMITS, 20, needs_read=True) is None


@pytest.mark.parametrize("request_class", list(RequestClass))
def test_what_is_in_ram_or_being_read_is_not_refused_for_reads(request_class: RequestClass) -> None:
    assert refusal(request_class, Load(10_000, 0, 0), LIMITS, READS_COUNT_MIN, needs_read=False) is None


@pytest.mark.parametrize("reads_limit", [1, 2, 3])
def test_one_rewind_is_read_however_low_the_limit_is(reads_limit: int) -> None:
    assert refusal(DVR, Load(0, 0, 0), LIMITS, reads_limit, needs_read=True) is None
    assert refusal(DVR, Load(1, 0, 0), LIMITS, reads_limit, needs_read=True) is Reason.READS


# -- The adaptive limit


def after_reads(limit: AdaptiveLimit, count: int, read_ms: float, reads_in_flight: int) -> AdaptiveLimit:
    """Return the limit after that many equal reads."""
    for _ in range(count):
        limit = limit.after(read_ms, reads_in_flight)
    return limit


def limit_of(reads_count: int) -> AdaptiveLimit:
    return AdaptiveLimit(READ_TIME_MS, 256, reads_count)


@pytest.mark.parametrize(
    ("reads_count_max", "expected"),
    [(1, 1), (2, 1), (10, 7), (64, 48), (86, READS_COUNT_AT_START), (256, READS_COUNT_AT_START)],
)
def test_the_limit_begins_within_its_bounds(reads_count_max: int, expected: int) -> None:
    assert limit_at_start(READ_TIME_MS, reads_count_max).reads_count == expected


@pytest.mark.parametrize("reads_count_max", [2, 3, 4, 10, 256])
def test_what_is_behind_the_live_edge_leaves_reads_to_it_however_fast_the_disk_is(reads_count_max: int) -> None:
    limits = replace(LIMITS, reads_count_max=reads_count_max)
    limit = limit_at_start(READ_TIME_MS, reads_count_max)
    for _ in range(2_000):
        limit = limit.after(1, limit.reads_count)
    full = Load(limit.reads_count, 0, 0)
    assert refusal(RECENT, full, limits, limit.reads_count, needs_read=True) is Reason.READS
    assert refusal(LIVE_EDGE, full, limits, limit.reads_count, needs_read=True) is None


# After a round of 50 reads at a limit of 100, with this time each and this many in flight.
ROUNDS = [
    ("fast-and-half-used", 10, 50, 125),
    ("fast-and-used", 10, 100, 125),
    ("fast-and-less-used", 10, 49, 100),
    ("just-below-growing", 39.9, 50, 125),
    ("neither-fast-nor-slow", 40, 50, 100),
    ("as-slow-as-allowed", 50, 50, 100),
    ("too-slow", 62.5, 50, 80),
    ("too-slow-and-hardly-used", 62.5, 1, 80),
    ("twice-too-slow", 100, 50, 50),
    ("far-too-slow", 5_000, 50, 50),
]


@pytest.mark.parametrize(
    ("read_ms", "reads_in_flight", "expected"), [case[1:] for case in ROUNDS], ids=[case[0] for case in ROUNDS]
)
def test_the_limit_moves_at_the_end_of_a_round(read_ms: float, reads_in_flight: int, expected: int) -> None:
    limit = after_reads(limit_of(100), 49, read_ms, reads_in_flight)
    assert limit.reads_count == 100
    assert limit.after(read_ms, reads_in_flight).reads_count == expected


def test_one_read_that_hung_does_not_cut_a_limit() -> None:
    limit = limit_of(16).after(60_000, 8)
    assert after_reads(limit, 7, 20, 8).reads_count == 16


def test_reads_that_began_before_a_cut_do_not_cut_again() -> None:
    limit = after_reads(limit_of(100), 50, 100, 40)
    assert limit.reads_count == 50
    # These 39 were in flight then; the 25 after them are the next round.
    assert after_reads(limit, 39 + 24, 100, 40).reads_count == 50
    assert after_reads(limit, 39 + 25, 100, 40).reads_count == 25


def test_the_limit_never_leaves_its_bounds() -> None:
    assert after_reads(limit_of(100), 10_000, 5_000, 1).reads_count == READS_COUNT_MIN
    assert after_reads(limit_of(100), 10_000, 1, 256).reads_count == 256


def test_a_limit_at_its_least_is_eight_times_as_high_after_ten_rounds_of_fast_reads() -> None:
    limit = after_reads(limit_of(READS_COUNT_MIN), 8, 1, 1)
    assert limit.reads_count == 3
    for _ in range(9):
        limit = after_reads(limit, 8, 1, limit.reads_count // 2)
    assert limit.reads_count >= 8 * READS_COUNT_MIN


# -- Against a disk


def ssd(*, is_adaptive: bool, seed: int = 0) -> SimulatedSsd:
    """Return a disk that reads four bodies of 30 ms side by side, which has been at work for 3 s."""
    limit = limit_at_start(READ_TIME_MS, 256)
    if not is_adaptive:
        limit = replace(limit, reads_count=256)
    return SimulatedSsd(30, 4, limit, LIMITS, is_adaptive, seed)


def loaded(disk: SimulatedSsd, times_capacity: float) -> SimulatedSsd:
    """Offer rewinds of so many times what the disk can read for a minute, after 3 s that do not count."""
    disk.run(disk.now_ms + 3_000, disk.capacity_per_s * times_capacity)
    disk.forget()
    disk.run(disk.now_ms + 60_000, disk.capacity_per_s * times_capacity)
    return disk


QUIET_LIVE_MS = loaded(ssd(is_adaptive=True), 0.01).mean_ms(LIVE_EDGE)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("times_capacity", [1, 2, 4, 10])
def test_rewinds_beyond_what_the_disk_reads_leave_the_live_edge_fast_and_the_disk_busy(
    times_capacity: float, seed: int
) -> None:
    disk = loaded(ssd(is_adaptive=True, seed=seed), times_capacity)
    assert disk.mean_ms(LIVE_EDGE) < 2 * QUIET_LIVE_MS
    assert len(disk.took_ms[DVR]) / 60 > 0.7 * disk.capacity_per_s
    assert len(disk.took_ms[LIVE_EDGE]) == pytest.approx(300, abs=1), "none of them is refused"


def test_without_the_adaptive_limit_rewinds_slow_the_live_edge_down() -> None:
    assert loaded(ssd(is_adaptive=False), 2).mean_ms(LIVE_EDGE) > 10 * QUIET_LIVE_MS


def test_half_of_what_the_disk_reads_is_hardly_ever_refused() -> None:
    disk = loaded(ssd(is_adaptive=True), 0.5)
    assert disk.refused_count < 0.01 * len(disk.took_ms[DVR])


def test_a_disk_that_was_slow_for_a_while_is_busy_again_soon_after() -> None:
    disk = ssd(is_adaptive=True)
    disk.service_ms = 600
    loaded(disk, 4)
    assert disk.limit.reads_count <= 4
    disk.service_ms = 30
    disk.run(disk.now_ms + 5_000, disk.capacity_per_s * 4)
    disk.forget()
    disk.run(disk.now_ms + 5_000, disk.capacity_per_s * 4)
    assert len(disk.took_ms[DVR]) / 5 > 0.7 * disk.capacity_per_s
