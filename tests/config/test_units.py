"""Durations, sizes and timestamps, both ways."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.problems import SettingError
from config.units import (
    format_duration_ms,
    format_seconds,
    format_size,
    format_timestamp,
    parse_duration_ms,
    parse_seconds,
    parse_size_bytes,
    parse_timestamp_ms,
)

# Spellings that are also what the number is written back as.
DURATIONS = [
    ("0s", 0),
    ("1ms", 1),
    ("1920ms", 1_920),
    ("59999ms", 59_999),
    ("2s", 2_000),
    ("1m", 60_000),
    ("1m1ms", 60_001),
    ("30m", 1_800_000),
    ("1h30m", 5_400_000),
    ("2d", 172_800_000),
    ("1d2h3m4s5ms", 93_784_005),
]
OTHER_DURATIONS = [("1.5s", 1_500), ("0.25s", 250), ("90m", 5_400_000), ("1.5h30m", 7_200_000), ("0ms", 0)]


@pytest.mark.parametrize(("text", "duration_ms"), DURATIONS + OTHER_DURATIONS)
def test_duration_is_parsed(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize(("text", "duration_ms"), DURATIONS)
def test_duration_is_formatted(text: str, duration_ms: int) -> None:
    assert format_duration_ms(duration_ms) == text


BAD_DURATIONS: list[tuple[Any, str, str]] = [
    (8, "8 has no unit", "write 8s or 8000ms"),
    ("8", "8 has no unit", "write 8s or 8000ms"),
    ("1.5", "1.5 has no unit", "write 1.5s or 1500ms"),
    (1.5, "1.5 has no unit", "write 1.5s or 1500ms"),
    (8000, "8000 has no unit", "write 8000s or 8000ms"),
    ("8 s", "'8 s' is not a duration", "write it like 500ms, 2s"),
    ("8sec", "'8sec' is not a duration", "write it like"),
    ("1s1h", "'1s1h' is not a duration", "write it like"),
    ("-8s", "'-8s' is not a duration", "write it like"),
    ("-8", "'-8' is not a duration", "write it like"),
    ("", "'' is not a duration", "write it like"),
    ("60060/30000", "'60060/30000' is not a duration", "write it like"),
    (float("inf"), "'inf' is not a duration", "write it like"),
    (True, "true is not a duration", "write it like"),
    (None, "nothing is not a duration", "write it like"),
    ([8], "a list is not a duration", "write it like"),
    ("0.5ms", "'0.5ms' is not a whole number of ms", "write 0ms or 1ms"),
    ("1.0005s", "'1.0005s' is not a whole number of ms", "write 1000ms or 1001ms"),
]


@pytest.mark.parametrize(("value", "message", "remedy"), BAD_DURATIONS)
def test_bad_duration_is_refused_with_a_remedy(value: object, message: str, remedy: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_duration_ms(value)
    assert caught.value.message == message
    assert caught.value.remedy.startswith(remedy)


@given(st.integers(min_value=0, max_value=10**14))
def test_duration_survives_a_round_trip(duration_ms: int) -> None:
    assert parse_duration_ms(format_duration_ms(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1920ms", Fraction(48, 25)),
        ("2s", Fraction(2)),
        ("60060/30000", Fraction(1001, 500)),
        ("1001/30000", Fraction(1001, 30_000)),
        ("0.5ms", Fraction(1, 2_000)),
    ],
)
def test_seconds_are_exact(text: str, duration: Fraction) -> None:
    assert parse_seconds(text) == duration


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("60060/0", "'60060/0' divides by zero"),
        ("1/2/3", "'1/2/3' is not a duration"),
        (2, "2 has no unit"),
        ("1.5/2", "'1.5/2' is not a duration"),
    ],
)
def test_bad_seconds_are_refused(value: object, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_seconds(value)
    assert caught.value.message == message


@given(st.fractions(min_value=0, max_value=10**6, max_denominator=10**9))
@example(Fraction(48, 25))
def test_seconds_survive_a_round_trip(duration: Fraction) -> None:
    assert parse_seconds(format_seconds(duration)) == duration


# Spellings that are also what the size is written back as.
SIZES = [
    ("0B", 0),
    ("1B", 1),
    ("1023B", 1_023),
    ("500KB", 500_000),
    ("1KiB", 1_024),
    ("64MiB", 67_108_864),
    ("1GiB", 1_073_741_824),
    ("20GB", 20_000_000_000),
    ("3TB", 3_000_000_000_000),
    ("2TiB", 2_199_023_255_552),
]
OTHER_SIZES: list[tuple[Any, int]] = [(512, 512), ("512", 512), ("1.5MiB", 1_572_864), ("1024KiB", 1_048_576)]


@pytest.mark.parametrize(("value", "size_bytes"), [*SIZES, *OTHER_SIZES])
def test_size_is_parsed(value: object, size_bytes: int) -> None:
    assert parse_size_bytes(value) == size_bytes


@pytest.mark.parametrize(("text", "size_bytes"), SIZES)
def test_size_is_formatted(text: str, size_bytes: int) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("value", "message", "remedy"),
    [
        ("64M", "'64M' is not clear", "write 64MiB (counts in 1024) or 64MB (counts in 1000)"),
        ("20gb", "'20gb' is not clear", "write 20GiB (counts in 1024) or 20GB (counts in 1000)"),
        ("1.5B", "'1.5B' is not a whole number of bytes", "write 1 or 2"),
        ("a lot", "'a lot' is not a size", "write it like 64MiB"),
        (-1, "'-1' is not a size", "write it like 64MiB"),
        (1.5, "1.5 is not a size", "write it like 64MiB"),
        (True, "true is not a size", "write it like 64MiB"),
        ({}, "a section of keys is not a size", "write it like 64MiB"),
    ],
)
def test_bad_size_is_refused_with_a_remedy(value: object, message: str, remedy: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_size_bytes(value)
    assert caught.value.message == message
    assert caught.value.remedy.startswith(remedy)


@given(st.integers(min_value=0, max_value=10**14))
@example(64 * 1024**2)
def test_size_survives_a_round_trip(size_bytes: int) -> None:
    assert parse_size_bytes(format_size(size_bytes)) == size_bytes


NAIVE = datetime(2026, 11, 22, 18, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("value", "timestamp_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01 00:00:01Z", 1_000),
        ("1970-01-01t00:00:00.001z", 1),
        ("1970-01-01T00:00:00.100000000000000000Z", 100),
        ("1970-01-01T01:00+01:00", 0),
        ("1970-01-01T01:00+0100", 0),
        ("1969-12-31T23:00-01", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-11-22T18:00:00Z", 1_795_370_400_000),
        (datetime(2026, 11, 22, 18, tzinfo=UTC), 1_795_370_400_000),
        (datetime(2026, 11, 22, 19, tzinfo=timezone(timedelta(hours=1))), 1_795_370_400_000),
        (datetime(1970, 1, 1, 0, 0, 0, 5_000, tzinfo=UTC), 5),
    ],
)
def test_timestamp_is_parsed(value: object, timestamp_ms: int) -> None:
    assert parse_timestamp_ms(value) == timestamp_ms


@pytest.mark.parametrize(
    ("value", "message", "remedy"),
    [
        ("2026-11-22T18:00:00", "'2026-11-22T18:00:00' has no time zone", "write 2026-11-22T18:00:00Z for UTC"),
        (NAIVE, "'2026-11-22T18:00:00' has no time zone", "write 2026-11-22T18:00:00Z for UTC"),
        ("2026-11-22", "'2026-11-22' has no time of day", "write 2026-11-22T00:00:00Z"),
        (date(2026, 11, 22), "'2026-11-22' has no time of day", "write 2026-11-22T00:00:00Z"),
        ("2026-02-30T00:00:00Z", "'2026-02-30T00:00:00Z' does not exist: day is out of range for month", "write it"),
        ("2026-11-22T18:00:00.0005Z", "'2026-11-22T18:00:00.0005Z' is not a whole number of ms", "write 0ms or 1ms"),
        ("tomorrow", "'tomorrow' is not a time", "write it like 2026-11-22T18:00:00Z"),
        (1_795_370_400, "1795370400 is not a time", "write it like 2026-11-22T18:00:00Z"),
        (None, "nothing is not a time", "write it like 2026-11-22T18:00:00Z"),
    ],
)
def test_bad_timestamp_is_refused_with_a_remedy(value: object, message: str, remedy: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_timestamp_ms(value)
    assert caught.value.message == message
    assert caught.value.remedy.startswith(remedy)


@given(st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999))
@example(1_795_370_400_500)
def test_timestamp_survives_a_round_trip(timestamp_ms: int) -> None:
    assert parse_timestamp_ms(format_timestamp(timestamp_ms)) == timestamp_ms


PARSERS = [parse_duration_ms, parse_seconds, parse_size_bytes, parse_timestamp_ms]


@given(st.one_of(st.text(alphabet="0123456789.-+/:TZdhmsKMGiB ", max_size=30), st.text(), st.integers(), st.none()))
@example("0001-01-01T00:00:00+23:59")
@example("9999-12-31T23:59:59-23:59")
def test_any_other_value_is_refused_and_nothing_else_happens(value: object) -> None:
    for parse in PARSERS:
        with suppress(SettingError):
            parse(value)
