"""Whether a request is answered now: the load as it is, and the rules of `selection.shedding`."""

from collections.abc import Callable

from selection.request_class import RequestClass
from selection.shedding import LoadLimits, Reason, Signals, limit_at_start, refusal


class Admission:
    """Refuses what there is no room for. Nothing here waits.

    Args:
        read_time_ms: What a read of the lower tier may take before fewer are begun.
        load: As it is whenever it is asked.
        observe: Told of every refusal.
    """

    def __init__(
        self,
        limits: LoadLimits,
        read_time_ms: float,
        load: Signals,
        observe: Callable[[RequestClass, Reason], None],
    ) -> None:
        self._limits = limits
        self._limit = limit_at_start(read_time_ms, limits.reads_count_max)
        self._load = load
        self._observe = observe

    @property
    def reads_limit(self) -> int:
        """How many reads of the lower tier may be in flight now for all but the live edge; rewinds get half of them."""
        return self._limit.reads_count

    def admits(self, request_class: RequestClass) -> bool:
        """Tell whether a request is admitted that needs no read. Nobody is told of it."""
        return refusal(request_class, self._load, self._limits, self._limit.reads_count, needs_read=False) is None

    def refuse(self, request_class: RequestClass, *, needs_read: bool) -> Reason | None:
        """Return why a request is refused, or None if it is admitted.

        Args:
            needs_read: Whether it would begin a read of the lower tier.
        """
        reason = refusal(request_class, self._load, self._limits, self._limit.reads_count, needs_read=needs_read)
        if reason is not None:
            self._observe(request_class, reason)
        return reason

    def observe_read(self, seconds: float) -> None:
        """Learn from a read of the lower tier that has just ended and still counts as in flight."""
        self._limit = self._limit.after(seconds * 1000, self._load.reads_count)
