"""What was measured, what is allowed, and the verdict: pure, no clock and no HTTP."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from typing import Final


class Count(StrEnum):
    """What is counted in a run."""

    LIVE = "live segments delivered"
    LIVE_MISSED = "live segments missed"
    LIVE_NEGATIVE = "negative answers at the live edge"
    LIVE_SHED = "503s at the live edge"
    WRONG_BODIES = "wrong bodies"
    OTHER_COPIES = "segments of which caches got different copies"
    WRONG_DETAILS = "wrong answers to HEAD, conditional and Range requests"
    PUTS = "segments published"
    PUT_FAILURES = "failed PUTs"
    PUTS_CUT = "PUTs cut by a dying packager (provoked)"
    REWINDS = "rewinds answered"
    REWINDS_SHED = "rewinds shed with 503 and Retry-After"
    REWIND_FAILURES = "rewinds answered wrongly"
    JUNK = "impossible requests refused"
    JUNK_FAILURES = "impossible requests answered wrongly"


class Quantity(StrEnum):
    """What is measured in ms."""

    LATE = "live lateness"
    LATE_LESS_LAG = "live lateness, less the generator's own"
    PUT = "PUT, less the generator's own lag"
    LAG = "generator's lag"
    PACKAGER_LATE = "packagers behind their schedule"


class Histogram:
    """Whole ms and how often they came, rounded up: it takes the same memory however long a run is."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0

    def add(self, value_ms: float) -> None:
        """Take one value."""
        self._counts[ceil(value_ms)] += 1
        self.count += 1

    def quantile(self, share: float) -> int:
        """Return the least value that so great a share of all does not exceed; 0 of none.

        >>> histogram = Histogram()
        >>> for value in range(1, 101): histogram.add(value)
        >>> histogram.quantile(0.5), histogram.quantile(0.99), histogram.quantile(1)
        (50, 99, 100)
        """
        rest = share * self.count
        for value_ms, count in sorted(self._counts.items()):
            rest -= count
            if rest <= 0:
                return value_ms
        return max(self._counts, default=0)


@dataclass
class Tally:
    """Everything that was measured. `generator_errors` are exceptions in these load tests, not answers."""

    counts: Counter[Count] = field(default_factory=Counter)
    times: dict[Quantity, Histogram] = field(default_factory=lambda: {each: Histogram() for each in Quantity})
    generator_errors: int = 0
    cpu_percent: float = 0


@dataclass(frozen=True)
class Limits:
    """What is allowed besides zero, in ms."""

    late_p50_ms: int
    late_p99_ms: int
    put_p99_ms: int


@dataclass(frozen=True)
class Check:
    """One threshold. What is measured may be as much as allowed, or with `is_least` as little."""

    name: str
    measured: int
    allowed: int
    unit: str = ""
    is_least: bool = False

    @property
    def is_crossed(self) -> bool:
        """Whether the run failed by it."""
        return self.measured < self.allowed if self.is_least else self.measured > self.allowed

    def __str__(self) -> str:
        bound = "at least" if self.is_least else "at most"
        mark = "CROSSED" if self.is_crossed else "kept"
        return f"{mark:8}{self.name}: {self.measured}{self.unit}, allowed {bound} {self.allowed}{self.unit}"


NONE_ALLOWED: Final = (
    Count.WRONG_BODIES,
    Count.OTHER_COPIES,
    Count.WRONG_DETAILS,
    Count.LIVE_MISSED,
    Count.LIVE_NEGATIVE,
    Count.LIVE_SHED,
    Count.PUT_FAILURES,
    Count.REWIND_FAILURES,
    Count.JUNK_FAILURES,
)
# Over this share of a core, or of the lateness, it is the generator that was measured.
_BUSY_PERCENT_MAX: Final = 80
_OWN_SHARE_MAX: Final = 0.5


def judge(tally: Tally, limits: Limits) -> list[Check]:
    """Return every threshold with what was measured; a run that measured nothing is no success either."""
    late, put = tally.times[Quantity.LATE_LESS_LAG], tally.times[Quantity.PUT]
    return [
        *(Check(count, tally.counts[count], 0) for count in NONE_ALLOWED),
        Check("errors of the generator", tally.generator_errors, 0),
        Check(Count.LIVE, tally.counts[Count.LIVE], 1, is_least=True),
        Check(f"{Quantity.LATE_LESS_LAG}, p50", late.quantile(0.5), limits.late_p50_ms, " ms"),
        Check(f"{Quantity.LATE_LESS_LAG}, p99", late.quantile(0.99), limits.late_p99_ms, " ms"),
        Check("PUT, p99", put.quantile(0.99), limits.put_p99_ms, " ms"),
    ]


def is_bottleneck(tally: Tally) -> bool:
    """Return whether the figures tell more of the generator than of the server."""
    raw_ms = tally.times[Quantity.LATE].quantile(0.99)
    own_ms = raw_ms - tally.times[Quantity.LATE_LESS_LAG].quantile(0.99)
    return tally.cpu_percent > _BUSY_PERCENT_MAX or own_ms > raw_ms * _OWN_SHARE_MAX


def summary(tally: Tally, limits: Limits) -> Iterator[str]:
    """Yield the lines a person reads."""
    yield "What was counted:"
    yield from (f"  {tally.counts[count]:>8}  {count}" for count in Count if count not in NONE_ALLOWED)
    yield "What was measured, in ms (p50, p95, p99, most, of how many):"
    for quantity, times in tally.times.items():
        quantiles = "".join(f"{times.quantile(share):>7}" for share in (0.5, 0.95, 0.99, 1))
        yield f"{quantiles} {times.count:>8}  {quantity}"
    was = "WAS" if is_bottleneck(tally) else "was not"
    yield f"The generator took {tally.cpu_percent:.0f} % of a core; it {was} the bottleneck."
    yield "Thresholds:"
    yield from (f"  {check}" for check in judge(tally, limits))
