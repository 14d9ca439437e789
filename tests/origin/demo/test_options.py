"""What can be asked for, and what is said of what cannot."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from origin.demo.options import (
    DemoOptions,
    Fault,
    UnfitOptions,
    fit,
    parse_kill,
    parse_late,
    parse_seconds_ms,
    parse_share,
)

ACCEPTED = [
    (parse_seconds_ms, "2", 2_000),
    (parse_seconds_ms, "7.5", 7_500),
    (parse_seconds_ms, "86400", 86_400_000),
    (parse_kill, "a@20", ("a", 20_000)),
    (parse_kill, "b@0", ("b", 0)),
    (parse_kill, "b@1.25", ("b", 1_250)),
    (parse_share, "a:30%", ("a", 30)),
    (parse_share, "b:0%", ("b", 0)),
    (parse_share, "b:100%", ("b", 100)),
    (parse_late, "b:800ms", ("b", 800)),
    (parse_late, "a:1.5s", ("a", 1_500)),
    (parse_late, "a:10s", ("a", 10_000)),
]

REFUSED = [
    (parse_seconds_ms, "1.999", "write a number from 2 to 86400"),
    (parse_seconds_ms, "86401", "write a number from 2 to 86400"),
    (parse_seconds_ms, "9999999", "write it like 20 or 7.5"),
    (parse_seconds_ms, "-5", "write it like 20 or 7.5"),
    (parse_seconds_ms, "nan", "write it like 20 or 7.5"),
    (parse_seconds_ms, "20s", "write it like 20 or 7.5"),
    (parse_kill, "a", "write it like a@20"),
    (parse_kill, "a@", "write it like a@20"),
    (parse_kill, "c@20", "there is no pipeline 'c'; write a or b, such as a@20"),
    (parse_kill, "b@soon", "write it like b@20"),
    (parse_kill, "b@86401", "write it like b@20"),
    (parse_share, "30%", "write it like a:30%"),
    (parse_share, "x:30%", "write a or b, such as a:30%"),
    (parse_share, "a:30", "has no unit; write a:30%"),
    (parse_share, "a:101%", "write 0% to 100%, such as a:30%"),
    (parse_share, "a:1.5%", "write 0% to 100%"),
    (parse_share, "a:-1%", "write 0% to 100%"),
    (parse_late, "b", "write it like b:800ms"),
    (parse_late, "z:1s", "write a or b, such as b:800ms"),
    (parse_late, "b:800", "has no unit; write b:800ms"),
    (parse_late, "b:soon", "write it like 500ms"),
    (parse_late, "b:10001ms", "later than 10000 ms is lost; write less, or --drop"),
]


def _id(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("parse", "text", "expected"), ACCEPTED, ids=_id)
def test_a_value_is_understood(parse: Callable[[str], object], text: str, expected: object) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(("parse", "text", "remedy"), REFUSED, ids=_id)
def test_a_refusal_says_what_would_be_right(parse: Callable[[str], object], text: str, remedy: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refusal:
        parse(text)
    assert remedy in str(refusal.value)
    assert repr(text) in str(refusal.value)


def _parsed(**given: object) -> argparse.Namespace:
    faults: dict[str, object] = {"kill": [], "drop": [], "late": [], "garble": []}
    others: dict[str, object] = {"seconds": None, "json": False, "folder": None, "ffmpeg": None}
    return argparse.Namespace(**(others | faults | given))


def test_faults_of_one_pipeline_come_together() -> None:
    faults: dict[str, object] = {"drop": [("a", 30)], "late": [("a", 800), ("b", 5)], "garble": [("b", 10)]}
    options = fit(_parsed(kill=[("b", 1_500)], folder=Path("kept"), **faults))
    assert options == DemoOptions(
        run_ms=None,
        kills_ms={"b": 1_500},
        faults={"a": Fault(30, 800), "b": Fault(0, 5, 10)},
        as_json=False,
        folder=Path("kept"),
        ffmpeg=None,
    )
    assert options.fault_texts == ("kill b@1.5", "drop a:30%", "late a:800ms", "late b:5ms", "garble b:10%")


def test_a_fault_of_nothing_is_no_fault() -> None:
    assert fit(_parsed(drop=[("a", 0)], late=[("b", 0)], garble=[("a", 0)])).faults == {}


@pytest.mark.parametrize("option", ["kill", "drop", "late", "garble"])
def test_the_same_fault_twice_for_one_pipeline_is_refused(option: str) -> None:
    with pytest.raises(UnfitOptions, match=rf"--{option} is there twice for pipeline a; keep one"):
        fit(_parsed(**{option: [("a", 1), ("b", 1), ("a", 2)]}))


def test_a_kill_after_the_end_is_refused() -> None:
    assert fit(_parsed(seconds=20_000, kill=[("a", 19_999)])).kills_ms == {"a": 19_999}
    with pytest.raises(UnfitOptions, match=r"--kill a@20 would come after the end; make it less than --seconds 20"):
        fit(_parsed(seconds=20_000, kill=[("a", 20_000)]))
