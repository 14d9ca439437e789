"""How late the event loop is: what a request waits before anybody looks at it."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

# Often enough to see a stall of the default `limits.loop_lag`; 50 wake-ups a second cost well under 1 % of a core.
TICK_S: Final = 0.02
# A lag counts half as much after this time, 1/16 after a second: one late tick is neither forgotten at once, nor
# does it shed for long.
HALF_LIFE_S: Final = 0.25


class LoopLag:
    """Measures by how much a timer of the event loop comes too late.

    Args:
        now_s: A clock that nobody sets. Not the loop's: uvloop's stands still while callbacks run.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._timer: asyncio.TimerHandle | None = None
        self._lag_s = 0.0
        self._measured_s = 0.0
        self._due_s = 0.0

    @property
    def lag_ms(self) -> float:
        """The greatest lag lately, older ones counting less; that of the tick under way, too, if it is late already."""
        if self._timer is None:
            return 0.0
        return self._lag_at(self._now_s()) * 1000

    def start(self) -> None:
        """Measure from now on; to be called in the event loop."""
        assert self._timer is None, "started twice"
        self._lag_s, self._measured_s = 0.0, self._now_s()
        self._schedule(self._measured_s)

    def stop(self) -> None:
        """Measure no more: the lag is 0. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now_s = self._now_s()
        self._lag_s, self._measured_s = self._lag_at(now_s), now_s
        self._schedule(now_s)

    def _schedule(self, now_s: float) -> None:
        self._due_s = now_s + TICK_S
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _lag_at(self, now_s: float) -> float:
        former = self._lag_s * math.exp2((self._measured_s - now_s) / HALF_LIFE_S)
        return max(former, now_s - self._due_s)
