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


async def test_a_late_tick_is_seen_before_it_runs(lag: LoopLag, clock: Monotonic) -> None:
    clock.now_s += TICK_S + 0.4
    assert lag.lag_ms == pytest.approx(400)


async def test_a_late_tick_counts_half_as_much_after_each_half_life(lag: LoopLag, clock: Monotonic) -> None:
    clock.now_s += TICK_S + 0.4
    await clock.looked_at()
    seen = []
    for _ in range(3):
        seen.append(lag.lag_ms)
        # In steps of a tick, each of which is in time.
        for _ in range(10):
            clock.now_s += HALF_LIFE_S / 10
            await clock.looked_at()
    assert seen == pytest.approx([400, 200, 100])


async def test_a_greater_lag_takes_the_place_of_a_lesser_one_and_not_the_other_way_round(
    lag: LoopLag, clock: Monotonic
) -> None:
    clock.now_s += TICK_S + 0.1
    await clock.looked_at()
    clock.now_s += TICK_S + 0.4
    await clock.looked_at()
    assert lag.lag_ms == pytest.approx(400)
    clock.now_s += TICK_S + 0.01
    await clock.looked_at()
    assert 300 < lag.lag_ms < 400


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
    until = time.monotonic() + 0.06
    while time.monotonic() < until:
        pass
    assert lag.lag_ms >= 30
    lag.stop()
