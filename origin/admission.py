"""Whether a request is answered now: the load as it is, and the rules of `selection.shedding`."""

from collections.abc import Callable

from selection.request_class import RequestClass
from selection.shedding import Load, LoadLimits, Reason, limit_at_start, refusal


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
        self._reads_count = reads_count
        self._unsent_bytes = unsent_bytes
        self._loop_lag_ms = loop_lag_ms
        self._observe = observe

    @property
    def reads_limit(self) -> int:
        """How many reads of the lower tier may be in flight now for all but the live edge; rewinds get half of them."""
        return self._limit.reads_count

    def refuse(self, request_class: RequestClass, *, needs_read: bool) -> Reason | None:
        """Return why a request is refused, or None if it is admitted.

        Args:
            needs_read: Whether it would begin a read of the lower tier.
        """
        load = Load(self._reads_count(), self._unsent_bytes(), self._loop_lag_ms())
        reason = refusal(request_class, load, self._limits, self._limit.reads_count, needs_read=needs_read)
        if reason is not None:
            self._observe(request_class, reason)
        return reason

    def observe_read(self, seconds: float) -> None:
        """Learn from a read of the lower tier that has just ended and still counts as in flight."""
        self._limit = self._limit.after(seconds * 1000, self._reads_count())
