"""The shapes that rules between settings have, on both sides of their bounds."""

from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest

from config.problems import Finding
from config.rules import (
    Amount,
    after,
    at_least,
    at_most,
    duration,
    less_than,
    moment,
    not_before,
    percent,
    seconds,
    size,
    unique_ids,
)

SUBJECT, BOUND = ("limits", "subject"), ("limits", "bound")


RELATIONS: list[tuple[Callable[[Amount, Amount, str], Iterator[Finding]], str, set[int]]] = [
    (at_most, "make limits.subject at most 1s, or limits.bound at least {text}", {999, 1_000}),
    (less_than, "make limits.subject less than 1s, or limits.bound more than {text}", {999}),
    (at_least, "make limits.subject at least 1s, or limits.bound at most {text}", {1_000, 1_001}),
    (not_before, "make limits.subject no earlier than 1s, or limits.bound no later than {text}", {1_000, 1_001}),
    (after, "make limits.subject later than 1s, or limits.bound earlier than {text}", {1_001}),
]


@pytest.mark.parametrize("value", [999, 1_000, 1_001])
@pytest.mark.parametrize(("relation", "remedy", "fitting"), RELATIONS)
def test_relation_holds_on_its_side_of_the_bound(
    relation: Callable[[Amount, Amount, str], Iterator[Finding]], remedy: str, fitting: set[int], value: int
) -> None:
    subject = duration(SUBJECT, value)
    remedies = [finding.remedy for finding in relation(subject, duration(BOUND, 1_000), "why")]
    assert remedies == ([] if value in fitting else [remedy.format(text=subject.text)])


def test_finding_names_both_keys_both_values_the_reason_and_both_ways_out() -> None:
    assert list(less_than(duration(SUBJECT, 2_000), duration(BOUND, 1_000), "it breaks")) == [
        Finding(
            (SUBJECT, BOUND),
            "limits.subject is 2s and limits.bound is 1s: it breaks",
            "make limits.subject less than 1s, or limits.bound more than 2s",
        )
    ]


def test_exact_seconds_are_compared_with_whole_ms_without_rounding() -> None:
    third = seconds(SUBJECT, Fraction(1, 3))
    assert list(at_most(duration(BOUND, 333), third, "why")) == []
    assert len(list(at_most(duration(BOUND, 334), third, "why"))) == 1


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (duration(SUBJECT, 90_000), "1m30s"),
        (seconds(SUBJECT, Fraction(1, 3)), "1/3"),
        (moment(SUBJECT, 0), "1970-01-01T00:00:00Z"),
        (size(SUBJECT, 1_024), "1KiB"),
        (percent(SUBJECT, 90), "90"),
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
