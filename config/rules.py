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
        value: In ms, bytes or percent.
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


def percent(location: Location, share: int) -> Amount:
    """Return a share in percent to compare."""
    return Amount(location, share, str(share))


def at_most(subject: Amount, bound: Amount, why: str) -> Iterator[Finding]:
    """Yield a finding unless `subject` is at most `bound`; `why` says what goes wrong otherwise."""
    if subject.value > bound.value:
        yield _misfit(subject, bound, why, ("at most", "at least"))


def less_than(subject: Amount, bound: Amount, why: str) -> Iterator[Finding]:
    """Yield a finding unless `subject` is less than `bound`; `why` says what goes wrong otherwise."""
    if subject.value >= bound.value:
        yield _misfit(subject, bound, why, ("less than", "more than"))


def at_least(subject: Amount, bound: Amount, why: str) -> Iterator[Finding]:
    """Yield a finding unless `subject` is at least `bound`; `why` says what goes wrong otherwise."""
    if subject.value < bound.value:
        yield _misfit(subject, bound, why, ("at least", "at most"))


def not_before(subject: Amount, bound: Amount, why: str) -> Iterator[Finding]:
    """Yield a finding unless the moment `subject` is `bound` or later."""
    if subject.value < bound.value:
        yield _misfit(subject, bound, why, ("no earlier than", "no later than"))


def after(subject: Amount, bound: Amount, why: str) -> Iterator[Finding]:
    """Yield a finding unless the moment `subject` is later than `bound`."""
    if subject.value <= bound.value:
        yield _misfit(subject, bound, why, ("later than", "earlier than"))


def _misfit(subject: Amount, bound: Amount, why: str, relations: tuple[str, str]) -> Finding:
    key, other = key_path(subject.location), key_path(bound.location)
    return Finding(
        (subject.location, bound.location),
        f"{key} is {subject.text} and {other} is {bound.text}: {why}",
        f"make {key} {relations[0]} {bound.text}, or {other} {relations[1]} {subject.text}",
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
