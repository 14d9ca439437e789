"""The wall clock and its timers, behind one seam so that tests own the time."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Wall clock in ms since 1970-01-01T00:00:00Z, and one beside it that only runs forward."""

    def now_ms(self) -> int: ...

    def monotonic_ms(self) -> int:
        """Return the time since any moment, by a clock that nobody sets."""

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` when the wall clock reaches `at_ms`; it may come a little early or late: look again."""


class SystemClock:
    """The machine's clock and the running event loop's timers."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        delay_ms = max(at_ms - self.now_ms(), 0)
        return asyncio.get_running_loop().call_later(delay_ms / 1000, callback)
