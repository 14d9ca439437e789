"""How late the generator itself is: what it spends on other clients must not be put down to the server."""

from collections import deque
from typing import Final

# Answers are judged within this time of their schedule, or they are lost.
_KEPT_MS: Final = 60_000
# Timers are never exact; less than this is no sign of being busy.
_NOISE_MS: Final = 0.5


class Lag:
    """Times in which the generator did not get round to what it meant to do, told by a timer that was late."""

    def __init__(self) -> None:
        self._busy: deque[tuple[float, float]] = deque()
        self._planned_ms: float | None = None

    def plan(self, planned_ms: float) -> None:
        """The timer shall go off then."""
        self._planned_ms = planned_ms

    def woke(self, now_ms: float) -> float:
        """It did so now; returns by how many ms it was late."""
        planned_ms, self._planned_ms = self._planned_ms, None
        if planned_ms is None or now_ms - planned_ms <= _NOISE_MS:
            return 0
        self._busy.append((planned_ms, now_ms))
        while self._busy[0][1] < now_ms - _KEPT_MS:
            self._busy.popleft()
        return now_ms - planned_ms

    def busy_ms(self, begin_ms: float, end_ms: float) -> float:
        """Return for how long it was busy between two moments, of which `end_ms` is now."""
        total_ms = 0.0
        if self._planned_ms is not None:
            total_ms += max(end_ms - max(self._planned_ms, begin_ms), 0)
        for busy_from_ms, busy_to_ms in reversed(self._busy):
            if busy_to_ms <= begin_ms:
                break
            total_ms += max(min(busy_to_ms, end_ms) - max(busy_from_ms, begin_ms), 0)
        return total_ms
