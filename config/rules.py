"""Rules between settings, in the few shapes that they have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from config.problems import Finding, Location, key_path
from config.units import format_duration_ms, format_seconds, format_size, format_timestamp


@dataclass(frozen=True, slots=True)
class Amount:
    """A setting's value, to be compared with another of its kind.

    Args:
        value: In ms or bytes.
        text: The value as the file would spell it.
    """

    location: Location
    value: int | Fraction
    text: str


def duration(location: Location, duration_ms: int) -> Amount:
    """Return a duration to compare."""
    return Amount(location, duration_ms, format_duration_ms(duration_ms))


def seconds(location: Location, exact: Fraction) -> Amount:
    """Return a duration that need not be a whole number of ms, to compare with those that are."""
    return Amount(location, exact * 1000, format_seconds(exact))


def moment(location: Location, timestamp_ms: int) -> Amount:
    """Return a point in time to compare."""
    return Amount(location, timestamp_ms, format_timestamp(timestamp_ms))


def size(location: Location, size_bytes: int) -> Amount:
    """Return a size to compare."""
    return Amount(location, size_bytes, format_size(size_bytes))


def at_most(smaller: Amount, larger: Amount, why: str) -> Iterator[Finding]:
    """Yield a finding unless `smaller` is at most `larger`; `why` says what goes wrong otherwise."""
    if smaller.value > larger.value:
        yield _out_of_order(smaller, larger, why, ("at most", "at least"))


def less_than(smaller: Amount, larger: Amount, why: str) -> Iterator[Finding]:
    """Yield a finding unless `smaller` is less than `larger`; `why` says what goes wrong otherwise."""
    if smaller.value >= larger.value:
        yield _out_of_order(smaller, larger, why, ("less than", "more than"))


def _out_of_order(smaller: Amount, larger: Amount, why: str, bounds: tuple[str, str]) -> Finding:
    small, large = key_path(smaller.location), key_path(larger.location)
    return Finding(
        (smaller.location, larger.location),
        f"{small} is {smaller.text} and {large} is {larger.text}: {why}",
        f"make {small} {bounds[0]} {larger.text}, or {large} {bounds[1]} {smaller.text}",
    )


def unique_ids(list_location: Location, ids: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding for every id that an earlier entry of the same list has."""
    for index, entry_id in enumerate(ids):
        first = ids.index(entry_id)
        if first < index:
            here, there = (*list_location, index, "id"), (*list_location, first, "id")
            yield Finding(
                (here, there), f"{entry_id!r} is the id of {key_path(there[:-1])}, too", "give each its own id"
            )
