"""The lag of the event loop: seen at once, remembered for about a second."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from origin.loop_lag import HALF_LIFE_S, TICK_S, LoopLag


class Monotonic:
    """A clock that a test sets and that tells when it is looked at."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self._looked = asyncio.Event()

    def __call__(self) -> float:
        self._looked.set()
        return self.now_s

    async def looked_at(self) -> None:
        """Wait until the next timer looks at this clock."""
        self._looked.clear()
        await self._looked.wait()


@pytest.fixture
async def clock() -> Monotonic:
    return Monotonic()


@pytest.fixture
async def lag(clock: Monotonic) -> AsyncIterator[LoopLag]:
    measured = LoopLag(clock)
    measured.start()
    yield measured
    measured.stop()


async def test_a_loop_in_time_has_no_lag(lag: LoopLag, clock: Monotonic) -> None:
    assert lag.lag_ms == 0
    clock.now_s += TICK_S
    await clock.looked_at()
    assert lag.lag_ms == 0


async def late(clock: Monotonic, lag_s: float) -> None:
    """Let one tick be late."""
    clock.now_s += TICK_S + lag_s
    await clock.looked_at()


async def test_one_late_tick_is_no_lag(lag: LoopLag, clock: Monotonic) -> None:
    """The machine did something else for a moment: no load."""
    await late(clock, 0.4)
    assert lag.lag_ms == 0
    clock.now_s += TICK_S
    await clock.looked_at()
    assert lag.lag_ms == 0


async def test_the_second_late_tick_is_seen_before_it_runs(lag: LoopLag, clock: Monotonic) -> None:
    await late(clock, 0.3)
    clock.now_s += TICK_S + 0.1
    assert lag.lag_ms == pytest.approx(100)


async def test_a_lag_counts_half_as_much_after_each_half_life(lag: LoopLag, clock: Monotonic) -> None:
    await late(clock, 1.0)
    await late(clock, 0.04)
    seen = []
    for _ in range(3):
        seen.append(lag.lag_ms)
        # In steps of a tick, each of which is in time.
        for _ in range(13):
            clock.now_s += HALF_LIFE_S / 13
            await clock.looked_at()
    assert seen == pytest.approx([40, 20, 10])


async def test_the_second_greatest_lag_counts_in_whatever_order_they_come(lag: LoopLag, clock: Monotonic) -> None:
    for lag_s in 0.004, 0.002, 0.003:
        await late(clock, lag_s)
    assert 2.5 < lag.lag_ms < 3.1
    await late(clock, 0.5)
    await late(clock, 0.001)
    assert 0 < lag.lag_ms < 4


async def test_what_is_not_measured_is_no_lag(clock: Monotonic) -> None:
    lag = LoopLag(clock)
    assert lag.lag_ms == 0
    lag.start()
    clock.now_s += 10
    lag.stop()
    lag.stop()
    assert lag.lag_ms == 0
    lag.start()
    assert lag.lag_ms == 0, "what was before is forgotten"
    lag.stop()


async def test_a_callback_that_holds_up_the_loop_shows() -> None:
    lag = LoopLag()
    lag.start()
    shown_ms = 0.0
    for _ in range(2):
        until = time.monotonic() + 0.06
        while time.monotonic() < until:
            pass
        shown_ms = lag.lag_ms
        await asyncio.sleep(TICK_S)  # the late tick runs
    assert shown_ms >= 20
    lag.stop()
