"""A clock that moves only when a test says so."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class FakeTimer:
    """A call to come; `cancel` forgets it."""

    at_ms: int
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """Implements `origin.clock.Clock`. Timers fire inside `move_to`, in order of their time."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._stepped_ms = 0
        self._timers: list[FakeTimer] = []

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_ms(self) -> int:
        return self._now_ms - self._stepped_ms

    def step(self, by_ms: int) -> None:
        """Set the wall clock, as somebody with the rights to do so may; no time passes, no timer fires."""
        self._now_ms += by_ms
        self._stepped_ms += by_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(at_ms, callback)
        self._timers.append(timer)
        return timer

    @property
    def pending(self) -> list[int]:
        """When the timers that are still to fire will fire, in ms."""
        return sorted(timer.at_ms for timer in self._timers if not timer.cancelled)

    def move_to(self, now_ms: int) -> None:
        """Let the time pass, firing each timer at its own time."""
        while True:
            due = [timer for timer in self._timers if not timer.cancelled and timer.at_ms <= now_ms]
            if not due:
                break
            timer = min(due, key=lambda timer: timer.at_ms)
            self._timers.remove(timer)
            self._now_ms = max(self._now_ms, timer.at_ms)
            timer.callback()
        self._now_ms = now_ms
        self._timers = [timer for timer in self._timers if not timer.cancelled]
