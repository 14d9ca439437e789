"""Durations, sizes and timestamps as people write them, and back. Exact: integers and fractions, no floats.

A bare number is never a duration: `8` would be 8 s to one reader and 8 ms to the next. A bare number is a
size in bytes, as it is everywhere else.
"""

import re
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Final

from config.problems import SettingError, shown

SECOND: Final = 1_000
MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000
KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
TIB: Final = 1024**4

_MS_PER_UNIT: Final = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": 1}
# Digits are bounded, so that no text makes a number that is slow to compute with.
_AMOUNT: Final = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_DURATION = re.compile("".join(f"(?:({_AMOUNT}){unit})?" for unit in _MS_PER_UNIT))
_BARE_NUMBER = re.compile(rf"-?{_AMOUNT}")
_RATIO = re.compile(r"([0-9]{1,15})/([0-9]{1,15})")
_DURATION_REMEDY: Final = "write it like 500ms, 2s, 1.5s, 30m, 1h30m or 2d"

_BYTES_PER_UNIT: Final = {
    "TiB": TIB,
    "TB": 1000**4,
    "GiB": GIB,
    "GB": 1000**3,
    "MiB": MIB,
    "MB": 1000**2,
    "KiB": KIB,
    "KB": 1000,
    "B": 1,
}
_SIZE = re.compile(rf"({_AMOUNT})({'|'.join(_BYTES_PER_UNIT)})?")
_AMBIGUOUS_SIZE = re.compile(r"([0-9]{1,15})([kKmMgGtT])i?[bB]?")
_SIZE_REMEDY: Final = "write it like 64MiB, 1GiB, 20GB, 500KB, or as a plain number of bytes"

_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,18}))?"
    r"(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_TIMESTAMP_REMEDY: Final = "write it like 2026-11-22T18:00:00Z"


def parse_duration_ms(value: object) -> int:
    """Return a duration in ms.

    Raises:
        SettingError: No duration, no unit, or not a whole number of ms.

    >>> [parse_duration_ms(text) for text in ("1920ms", "1.5s", "1h30m")]
    [1920, 1500, 5400000]
    """
    return _whole_ms(_parse_units_ms(value), value)


def parse_seconds(value: object) -> Fraction:
    """Return a duration in seconds, exactly; `60060/30000` (seconds) is understood, too.

    >>> parse_seconds("1920ms"), parse_seconds("60060/30000")
    (Fraction(48, 25), Fraction(1001, 500))
    """
    ratio = _RATIO.fullmatch(value) if isinstance(value, str) else None
    if ratio is None:
        return _parse_units_ms(value) / _MS_PER_UNIT["s"]
    if int(ratio[2]) == 0:
        raise SettingError(f"{shown(value)} divides by zero", "write ticks/timescale, such as 60060/30000")
    return Fraction(int(ratio[1]), int(ratio[2]))


def _parse_units_ms(value: object) -> Fraction:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise SettingError(f"{shown(value)} is not a duration", _DURATION_REMEDY)
    match = _DURATION.fullmatch(value)
    if match is not None and value:
        parts = zip(match.groups(), _MS_PER_UNIT.values(), strict=True)
        return sum((Fraction(amount) * ms for amount, ms in parts if amount is not None), Fraction(0))
    if _BARE_NUMBER.fullmatch(value) and not value.startswith("-"):
        raise SettingError(f"{value} has no unit", f"write {value}s or {_bare_as_ms(Fraction(value))}")
    raise SettingError(f"{shown(value)} is not a duration", _DURATION_REMEDY)


def _bare_as_ms(number: Fraction) -> str:
    """Return the other reading of a number without a unit: the same in ms, or as ms where that is likelier."""
    likely_ms = number if number >= 1000 else number * 1000
    return f"{round(likely_ms)}ms"


def _whole_ms(ms: Fraction, value: object) -> int:
    if ms.denominator != 1:
        raise SettingError(f"{shown(value)} is not a whole number of ms", f"write {int(ms)}ms or {int(ms) + 1}ms")
    return ms.numerator


def format_duration_ms(duration_ms: int) -> str:
    """Return the shortest usual spelling; `parse_duration_ms` gives the same number back.

    >>> [format_duration_ms(ms) for ms in (0, 1_920, 90_000, 5_400_000, 60_001)]
    ['0s', '1920ms', '1m30s', '1h30m', '1m1ms']
    """
    if duration_ms % _MS_PER_UNIT["s"] and duration_ms < _MS_PER_UNIT["m"]:
        return f"{duration_ms}ms"
    parts, rest_ms = [], duration_ms
    for unit, unit_ms in _MS_PER_UNIT.items():
        amount, rest_ms = divmod(rest_ms, unit_ms)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


def format_seconds(duration: Fraction) -> str:
    """Return a duration, as a fraction of seconds where it is not a whole number of ms.

    >>> format_seconds(Fraction(48, 25)), format_seconds(Fraction(1001, 30_000))
    ('1920ms', '1001/30000')
    """
    ms = duration * _MS_PER_UNIT["s"]
    return format_duration_ms(ms.numerator) if ms.denominator == 1 else f"{duration.numerator}/{duration.denominator}"


def parse_size_bytes(value: object) -> int:
    """Return a size in bytes; units with an i count in 1024, those without in 1000.

    >>> parse_size_bytes("64MiB"), parse_size_bytes("20GB"), parse_size_bytes(512)
    (67108864, 20000000000, 512)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise SettingError(f"{shown(value)} is not a size", _SIZE_REMEDY)
    match = _SIZE.fullmatch(value)
    if match is not None:
        size = Fraction(match[1]) * _BYTES_PER_UNIT[match[2] or "B"]
        if size.denominator == 1:
            return size.numerator
        raise SettingError(f"{shown(value)} is not a whole number of bytes", f"write {int(size)} or {int(size) + 1}")
    ambiguous = _AMBIGUOUS_SIZE.fullmatch(value)
    if ambiguous is not None:
        number, letter = ambiguous[1], ambiguous[2].upper()
        remedy = f"write {number}{letter}iB (counts in 1024) or {number}{letter}B (counts in 1000)"
        raise SettingError(f"{shown(value)} is not clear", remedy)
    raise SettingError(f"{shown(value)} is not a size", _SIZE_REMEDY)


def format_size(size_bytes: int) -> str:
    """Return the spelling with the smallest number; `parse_size_bytes` gives the same size back.

    >>> [format_size(size) for size in (64 * 1024**2, 20 * 1000**3, 1023, 0)]
    ['64MiB', '20GB', '1023B', '0B']
    """
    fitting = [unit for unit, unit_bytes in _BYTES_PER_UNIT.items() if size_bytes % unit_bytes == 0 and size_bytes]
    unit = fitting[0] if fitting else "B"
    return f"{size_bytes // _BYTES_PER_UNIT[unit]}{unit}"


def parse_timestamp_ms(value: object) -> int:
    """Return an ISO 8601 time with zone, or a `datetime` with one, in ms since 1970-01-01T00:00:00Z.

    >>> parse_timestamp_ms("1970-01-01T01:00:00.250+01:00")
    250
    """
    if isinstance(value, datetime):
        value = value.isoformat()
    elif isinstance(value, date):
        value = str(value)
    if not isinstance(value, str):
        raise SettingError(f"{shown(value)} is not a time", _TIMESTAMP_REMEDY)
    if _DATE.fullmatch(value):
        raise SettingError(f"{shown(value)} has no time of day", f"write {value}T00:00:00Z")
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        raise SettingError(f"{shown(value)} is not a time", _TIMESTAMP_REMEDY)
    day, time, fraction, zone = match.groups()
    if zone is None:
        raise SettingError(
            f"{shown(value)} has no time zone", f"write {day}T{time}Z for UTC, or an offset such as {day}T{time}+01:00"
        )
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{zone.upper()}")
    except ValueError as exc:
        raise SettingError(f"{shown(value)} does not exist: {exc}", _TIMESTAMP_REMEDY) from exc
    # Integer division of timedeltas: datetime.timestamp() is a float.
    return (moment - _UNIX_EPOCH) // _MS + _whole_ms(Fraction(f"0.{fraction or 0}") * 1000, value)


def format_timestamp(timestamp_ms: int) -> str:
    """Return a time in UTC; `parse_timestamp_ms` gives the same number back.

    >>> format_timestamp(0), format_timestamp(1_795_370_400_500)
    ('1970-01-01T00:00:00Z', '2026-11-22T18:00:00.500Z')
    """
    precision = "milliseconds" if timestamp_ms % 1000 else "seconds"
    return (_UNIX_EPOCH + timestamp_ms * _MS).isoformat(timespec=precision).replace("+00:00", "Z")
