"""How late the event loop is: what a request waits before anybody looks at it."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

# Often enough to see a stall of the default `limits.loop_lag`; 50 wake-ups a second cost well under 1 % of a core.
TICK_S: Final = 0.02
# A lag counts half as much after this time, 1/16 after a second: late ticks are neither forgotten at once, nor do
# they shed for long.
HALF_LIFE_S: Final = 0.25


class LoopLag:
    """Measures by how much a timer of the event loop comes too late.

    One late tick says nothing: the machine did something else for a moment, and what is refused for it caches keep
    for seconds. A loop with too much to do is late again and again. So of the greatest lags the second one counts.

    Args:
        now_s: A clock that nobody sets. Not the loop's: uvloop's stands still while callbacks run.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._timer: asyncio.TimerHandle | None = None
        self._lags_s = 0.0, 0.0  # the greatest and the second one
        self._measured_s = 0.0
        self._due_s = 0.0

    @property
    def lag_ms(self) -> float:
        """The second greatest lag lately, older ones counting less, with that of the tick under way if it is late."""
        if self._timer is None:
            return 0.0
        return self._lags_at(self._now_s())[1] * 1000

    def start(self) -> None:
        """Measure from now on; to be called in the event loop."""
        assert self._timer is None, "started twice"
        self._lags_s, self._measured_s = (0.0, 0.0), self._now_s()
        self._schedule(self._measured_s)

    def stop(self) -> None:
        """Measure no more: the lag is 0. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now_s = self._now_s()
        self._lags_s, self._measured_s = self._lags_at(now_s), now_s
        self._schedule(now_s)

    def _schedule(self, now_s: float) -> None:
        self._due_s = now_s + TICK_S
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _lags_at(self, now_s: float) -> tuple[float, float]:
        decay = math.exp2((self._measured_s - now_s) / HALF_LIFE_S)
        first_s, second_s = self._lags_s
        first_s, second_s, late_s = first_s * decay, second_s * decay, now_s - self._due_s
        if late_s > first_s:
            return late_s, first_s
        return first_s, max(second_s, late_s)
