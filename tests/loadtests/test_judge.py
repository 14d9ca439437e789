"""Every threshold can fail a run, and says what was measured and what was allowed."""

import pytest

from loadtests.judge import (
    NONE_ALLOWED,
    Check,
    Count,
    Histogram,
    Limits,
    Quantity,
    Tally,
    is_bottleneck,
    judge,
    summary,
)

LIMITS = Limits(late_p50_ms=100, late_p99_ms=500, put_p99_ms=250)


def good() -> Tally:
    tally = Tally()
    tally.counts[Count.LIVE] = 100
    for what in (Quantity.LATE, Quantity.LATE_LESS_LAG, Quantity.PUT):
        for _ in range(100):
            tally.times[what].add(20)
    return tally


def crossed(tally: Tally) -> list[str]:
    return [str(check) for check in judge(tally, LIMITS) if check.is_crossed]


def test_a_run_without_fault_crosses_nothing() -> None:
    tally = good()
    tally.counts.update({Count.PUTS_CUT: 3, Count.REWINDS_SHED: 50})
    assert crossed(tally) == []


@pytest.mark.parametrize("count", NONE_ALLOWED)
def test_a_single_fault_crosses_its_threshold(count: Count) -> None:
    tally = good()
    tally.counts[count] += 1
    assert crossed(tally) == [f"CROSSED {count}: 1, allowed at most 0"]


def test_an_error_of_the_generator_is_a_failed_run() -> None:
    tally = good()
    tally.generator_errors = 2
    assert crossed(tally) == ["CROSSED errors of the generator: 2, allowed at most 0"]


def test_a_run_that_delivered_nothing_is_a_failed_run() -> None:
    assert crossed(Tally()) == ["CROSSED live segments delivered: 0, allowed at least 1"]


@pytest.mark.parametrize(
    ("what", "count", "value_ms", "line"),
    [
        (
            Quantity.LATE_LESS_LAG,
            101,
            101,
            "live lateness, less the generator's own, p50: 101 ms, allowed at most 100 ms",
        ),
        (
            Quantity.LATE_LESS_LAG,
            2,
            501,
            "live lateness, less the generator's own, p99: 501 ms, allowed at most 500 ms",
        ),
        (Quantity.PUT, 2, 251, "PUT, p99: 251 ms, allowed at most 250 ms"),
    ],
)
def test_too_many_that_are_late_cross_a_threshold(what: Quantity, count: int, value_ms: int, line: str) -> None:
    tally = good()
    for _ in range(count - 1):
        tally.times[what].add(value_ms)
    assert crossed(tally) == []
    tally.times[what].add(value_ms)
    assert crossed(tally) == [f"CROSSED {line}"]


def test_a_quantile_rounds_up_and_none_of_nothing_is_zero() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) == 0
    for value_ms in (0.0, 0.1, 1.0, 1.1):
        histogram.add(value_ms)
    assert [histogram.quantile(share) for share in (0.25, 0.5, 0.75, 1)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("raw_ms", "cpu_percent", "was"), [(20, 5, False), (39, 5, False), (41, 5, True), (20, 81, True)]
)
def test_it_says_when_it_measured_itself(raw_ms: int, cpu_percent: float, was: bool) -> None:
    tally = good()
    tally.times[Quantity.LATE] = Histogram()
    tally.times[Quantity.LATE].add(raw_ms)
    tally.cpu_percent = cpu_percent
    assert is_bottleneck(tally) is was
    assert any("it WAS the bottleneck" in line for line in summary(tally, LIMITS)) is was


def test_the_summary_names_every_threshold() -> None:
    lines = "\n".join(summary(good(), LIMITS))
    assert all(str(check) in lines for check in judge(good(), LIMITS))


@pytest.mark.parametrize(
    ("measured", "is_least", "is_crossed"), [(4, True, True), (5, True, False), (5, False, False), (6, False, True)]
)
def test_what_is_allowed_is_not_crossed(measured: int, is_least: bool, is_crossed: bool) -> None:
    assert Check("x", measured, 5, is_least=is_least).is_crossed is is_crossed
