"""The shapes that rules between settings have, on both sides of their bounds."""

from fractions import Fraction

import pytest

from config.problems import Finding
from config.rules import Amount, at_most, duration, less_than, moment, seconds, size, unique_ids

SMALL, LARGE = ("limits", "small"), ("limits", "large")


@pytest.mark.parametrize(("value", "fits"), [(999, True), (1_000, True), (1_001, False)])
def test_at_most_includes_the_bound(value: int, fits: bool) -> None:
    assert (not list(at_most(duration(SMALL, value), duration(LARGE, 1_000), "why"))) is fits


@pytest.mark.parametrize(("value", "fits"), [(999, True), (1_000, False), (1_001, False)])
def test_less_than_excludes_the_bound(value: int, fits: bool) -> None:
    assert (not list(less_than(duration(SMALL, value), duration(LARGE, 1_000), "why"))) is fits


def test_finding_names_both_keys_both_values_the_reason_and_both_ways_out() -> None:
    assert list(less_than(duration(SMALL, 2_000), duration(LARGE, 1_000), "it breaks")) == [
        Finding(
            (SMALL, LARGE),
            "limits.small is 2s and limits.large is 1s: it breaks",
            "make limits.small less than 1s, or limits.large more than 2s",
        )
    ]
    (finding,) = at_most(duration(SMALL, 2_000), duration(LARGE, 1_000), "it breaks")
    assert finding.remedy == "make limits.small at most 1s, or limits.large at least 2s"


def test_exact_seconds_are_compared_with_whole_ms_without_rounding() -> None:
    third = seconds(SMALL, Fraction(1, 3))
    assert list(at_most(duration(LARGE, 333), third, "why")) == []
    assert len(list(at_most(duration(LARGE, 334), third, "why"))) == 1


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (duration(SMALL, 90_000), "1m30s"),
        (seconds(SMALL, Fraction(1, 3)), "1/3"),
        (moment(SMALL, 0), "1970-01-01T00:00:00Z"),
        (size(SMALL, 1_024), "1KiB"),
    ],
)
def test_amount_is_told_in_its_own_unit(amount: Amount, text: str) -> None:
    assert amount.text == text


def test_every_id_that_an_earlier_entry_has_is_found() -> None:
    findings = list(unique_ids(("events",), ["a", "b", "a", "a"]))
    assert [finding.locations for finding in findings] == [
        (("events", 2, "id"), ("events", 0, "id")),
        (("events", 3, "id"), ("events", 0, "id")),
    ]
    assert findings[0].message == "'a' is the id of events[0], too"
    assert findings[0].remedy == "give each its own id"
