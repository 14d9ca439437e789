"""The generator knows how long it was busy itself, so as not to put it down to the server."""

import pytest

from loadtests.lag import Lag


def late(lag: Lag, planned_ms: float, now_ms: float) -> float:
    lag.plan(planned_ms)
    return lag.woke(now_ms)


def test_a_timer_that_goes_off_on_time_shows_nothing() -> None:
    lag = Lag()
    assert late(lag, 100, 100.4) == 0
    assert lag.busy_ms(0, 1_000) == 0
    assert lag.woke(2_000) == 0, "none was planned"


@pytest.mark.parametrize(
    ("begin_ms", "end_ms", "busy_ms"),
    [(0, 100, 0), (0, 120, 20), (110, 120, 10), (110, 900, 50), (0, 900, 60), (130, 190, 0)],
)
def test_only_the_time_between_two_moments_counts(begin_ms: float, end_ms: float, busy_ms: float) -> None:
    lag = Lag()
    assert late(lag, 100, 130) == 30
    assert late(lag, 200, 230) == 30
    assert lag.busy_ms(begin_ms, end_ms) == busy_ms


def test_a_timer_that_should_have_gone_off_by_now_counts_already() -> None:
    lag = Lag()
    late(lag, 100, 130)
    lag.plan(135)
    assert lag.busy_ms(0, 150) == 30 + 15
    assert lag.busy_ms(140, 150) == 10


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    lag = Lag()
    late(lag, 100, 130)
    late(lag, 60_131, 60_141)
    assert lag.busy_ms(0, 70_000) == 10
