"""What to refuse under load: rewinds first, then recent segments, the live edge only at its own hard limits.

Three signals tell of load: reads in flight on the lower tier, held against a limit that follows how long they take;
bytes of answers that clients have not taken yet, which are memory; and how late the event loop is. A refusal is
cheap and caches keep it, so refusing early costs least.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from selection.request_class import RequestClass

# One rewind and two recent segments are always read: what is read now and then tells when the disk is fast again.
READS_COUNT_MIN: Final = 2
# Where the limit begins; rewinds get half. After a start nothing is in memory, and what caches ask for then comes at
# once: so many small reads are done within `limits.read_time`, and large ones cut the limit soon.
READS_COUNT_AT_START: Final = 64
# Fewer reads say nothing of the disk.
_ROUND_READS_MIN: Final = 8
# A round that grows adds this share of the limit: ten times the limit takes about ten rounds.
_GROWTH_DIVISOR: Final = 4
# It grows while reads take less than this share of what they may: a quarter more then still fits.
_GROWS_BELOW: Final = 0.8
# What one round leaves at least. TCP halves, too.
_CUT_MIN: Final = 0.5
# What one read counts at most, in read times: one that hung is no more than four slow ones.
_READ_TIMES_MAX: Final = 4.0


class Reason(StrEnum):
    """Which signal refused a request."""

    READS = "reads"
    UNSENT = "unsent"
    LOOP_LAG = "loop-lag"


class Signals(Protocol):
    """The load of this moment. Each of them costs something to find out, and is asked for only where it matters."""

    @property
    def reads_count(self) -> int:
        """Reads of the lower tier in flight."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers that clients have not taken yet."""

    @property
    def loop_lag_ms(self) -> float:
        """How late the event loop was lately."""


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What the live edge may use: reads in flight, bytes not taken. And from which lag on the event loop is late."""

    reads_count_max: int
    unsent_bytes_max: int
    loop_lag_ms_max: float


class Round(NamedTuple):
    """What was seen of some reads.

    Args:
        took_ms: What they took in all.
        reads_in_flight_max: The most that were in flight when one of them ended.
    """

    reads_count: int = 0
    took_ms: float = 0.0
    reads_in_flight_max: int = 0


_NOTHING_SEEN: Final = Round()


@dataclass(frozen=True, slots=True)
class AdaptiveLimit:
    """How many reads of the lower tier may be in flight so that they take no longer than `read_time_ms` on average.

    Reads beyond what a disk does side by side only queue, and everybody behind them waits longer. So the limit goes
    down in proportion to how much too long reads took, and up by a quarter while they take clearly less; but up only
    if it was used, as otherwise nothing is known of what more of them would do. It is judged in rounds of about as
    many reads as may be in flight. Reads that began before a cut still tell of the time before it and are passed
    over, as TCP cuts once a round trip.

    A disk that hangs ends no read and moves no limit; the reads in flight alone keep others out.

    Source: congestion control by delay as in TCP Vegas (Brakmo and Peterson, 1995: grow below one delay, shrink above
    another), applied to requests as in Netflix's concurrency-limits: `Gradient2Limit` (the limit times wanted over
    measured time), `AIMDLimit` (grows only if half of it was used).

    Args:
        read_time_ms: What a read may take, queues included.
        reads_count_max: The limit never exceeds it.
        reads_count: The limit in force.
        passed_over_count: How many of the next reads to ignore.
    """

    read_time_ms: float
    reads_count_max: int
    reads_count: int
    round: Round = _NOTHING_SEEN
    passed_over_count: int = 0

    def after(self, read_ms: float, reads_in_flight: int) -> "AdaptiveLimit":
        """Return the limit after a read ended, well or not.

        Args:
            read_ms: What it took.
            reads_in_flight: How many were in flight when it ended, itself included.
        """
        if self.passed_over_count:
            return replace(self, passed_over_count=self.passed_over_count - 1)
        seen = Round(
            self.round.reads_count + 1,
            self.round.took_ms + min(read_ms, self.read_time_ms * _READ_TIMES_MAX),
            max(self.round.reads_in_flight_max, reads_in_flight),
        )
        rewinds_max = _half(self.reads_count)
        if seen.reads_count < max(rewinds_max, _ROUND_READS_MIN):
            return replace(self, round=seen)
        wanted_ms = self.read_time_ms * seen.reads_count
        if seen.took_ms > wanted_ms:
            share = max(wanted_ms / seen.took_ms, _CUT_MIN)
            return replace(self._with(int(self.reads_count * share)), passed_over_count=reads_in_flight - 1)
        if seen.took_ms < wanted_ms * _GROWS_BELOW and seen.reads_in_flight_max >= rewinds_max:
            return self._with(self.reads_count + max(self.reads_count // _GROWTH_DIVISOR, 1))
        return self._with(self.reads_count)

    def _with(self, reads_count: int) -> "AdaptiveLimit":
        """Begin a round with another limit."""
        return replace(self, reads_count=_bounded(reads_count, self.reads_count_max), round=_NOTHING_SEEN)


def limit_at_start(read_time_ms: float, reads_count_max: int) -> AdaptiveLimit:
    """Return the limit before anything is known of the disk.

    Args:
        reads_count_max: The hard limit of all reads together. A quarter of it is never for what is behind the live
            edge, however fast the disk is; of a single read there is no quarter.
    """
    behind_max = max(reads_count_max * 3 // 4, 1)
    return AdaptiveLimit(read_time_ms, behind_max, _bounded(READS_COUNT_AT_START, behind_max))


class _Bounds(NamedTuple):
    """From where on a class is refused; None for never.

    Args:
        reads_halves: Halves of the adaptive limit; None for the hard limit.
        unsent_quarters: Quarters of the bytes that may be waiting to be taken.
        lags: Times the lag from which on the loop is late.
    """

    reads_halves: int | None
    unsent_quarters: int
    lags: int | None


# Half of the adaptive limit is kept free of rewinds, so that a recent segment never waits behind a full queue.
# A late loop is no reason to refuse the live edge: its answer costs about as much as the refusal.
_BOUNDS: Final[Mapping[RequestClass, _Bounds]] = {
    RequestClass.LIVE_EDGE: _Bounds(reads_halves=None, unsent_quarters=4, lags=None),
    RequestClass.RECENT: _Bounds(reads_halves=2, unsent_quarters=3, lags=2),
    RequestClass.DVR: _Bounds(reads_halves=1, unsent_quarters=2, lags=1),
}


def refusal(
    request_class: RequestClass, load: Signals, limits: LoadLimits, reads_limit: int, *, needs_read: bool
) -> Reason | None:
    """Return why a request is refused, or None if it is admitted. Who publishes is never refused here.

    Args:
        reads_limit: The adaptive limit in force.
        needs_read: Whether it would begin a read of the lower tier; joining one that is in flight costs none.
    """
    bounds = _BOUNDS.get(request_class)
    if bounds is None:
        return None
    if needs_read:
        halves = bounds.reads_halves
        reads_max = limits.reads_count_max if halves is None else max(reads_limit * halves // 2, 1)
        if load.reads_count >= reads_max:
            return Reason.READS
    if load.unsent_bytes * 4 >= limits.unsent_bytes_max * bounds.unsent_quarters:
        return Reason.UNSENT
    if bounds.lags is not None and load.loop_lag_ms >= limits.loop_lag_ms_max * bounds.lags:
        return Reason.LOOP_LAG
    return None


def _half(reads_count: int) -> int:
    """Return how many reads of a limit are for rewinds."""
    return max(reads_count // 2, 1)


def _bounded(reads_count: int, reads_count_max: int) -> int:
    return min(max(reads_count, READS_COUNT_MIN), reads_count_max)
