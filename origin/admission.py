"""Whether a request is answered now: the load as it is, and the rules of `selection.shedding`."""

from collections.abc import Callable

from selection.request_class import RequestClass
from selection.shedding import LoadLimits, Reason, limit_at_start, refusal


class _Signals:
    """The load as functions tell it: implements `selection.shedding.Signals`."""

    __slots__ = ("_loop_lag_ms", "_reads_count", "_unsent_bytes")

    def __init__(
        self, reads_count: Callable[[], int], unsent_bytes: Callable[[], int], loop_lag_ms: Callable[[], float]
    ) -> None:
        self._reads_count = reads_count
        self._unsent_bytes = unsent_bytes
        self._loop_lag_ms = loop_lag_ms

    @property
    def reads_count(self) -> int:
        return self._reads_count()

    @property
    def unsent_bytes(self) -> int:
        return self._unsent_bytes()

    @property
    def loop_lag_ms(self) -> float:
        return self._loop_lag_ms()


class Admission:
    """Refuses what there is no room for. Nothing here waits.

    Args:
        read_time_ms: What a read of the lower tier may take before fewer are begun.
        reads_count: Returns how many of these are in flight.
        unsent_bytes: Returns how many bytes of answers clients have not taken yet.
        loop_lag_ms: Returns how late the event loop was lately.
        observe: Told of every refusal.
    """

    def __init__(
        self,
        limits: LoadLimits,
        read_time_ms: float,
        reads_count: Callable[[], int],
        unsent_bytes: Callable[[], int],
        loop_lag_ms: Callable[[], float],
        observe: Callable[[RequestClass, Reason], None],
    ) -> None:
        self._limits = limits
        self._limit = limit_at_start(read_time_ms, limits.reads_count_max)
        self._signals = _Signals(reads_count, unsent_bytes, loop_lag_ms)
        self._observe = observe

    @property
    def reads_limit(self) -> int:
        """How many reads of the lower tier may be in flight now for all but the live edge; rewinds get half of them."""
        return self._limit.reads_count

    def admits(self, request_class: RequestClass) -> bool:
        """Tell whether a request is admitted that needs no read. Nobody is told of it."""
        limits, reads_limit = self._limits, self._limit.reads_count
        return refusal(request_class, self._signals, limits, reads_limit, needs_read=False) is None

    def refuse(self, request_class: RequestClass, *, needs_read: bool) -> Reason | None:
        """Return why a request is refused, or None if it is admitted.

        Args:
            needs_read: Whether it would begin a read of the lower tier.
        """
        reason = refusal(request_class, self._signals, self._limits, self._limit.reads_count, needs_read=needs_read)
        if reason is not None:
            self._observe(request_class, reason)
        return reason

    def observe_read(self, seconds: float) -> None:
        """Learn from a read of the lower tier that has just ended and still counts as in flight."""
        self._limit = self._limit.after(seconds * 1000, self._signals.reads_count)
