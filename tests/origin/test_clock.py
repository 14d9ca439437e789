"""The machine's clock, in ms, and timers on the running event loop."""

import asyncio
import time

import pytest

from origin.clock import SystemClock


def test_the_clock_counts_ms_since_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_999_999)
    assert SystemClock().now_ms() == 1_700_000_000_123


@pytest.mark.parametrize(("ahead_ms", "delay_s"), [(1_500, 1.5), (1, 0.001), (0, 0.0), (-60_000, 0.0)])
async def test_a_timer_is_set_for_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, ahead_ms: int, delay_s: float
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(time, "time_ns", lambda: 5_000_000_000)
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda delay, _: asked.append(delay))
    SystemClock().call_at(5_000 + ahead_ms, lambda: None)
    assert asked == [delay_s]


async def test_a_timer_calls() -> None:
    called = asyncio.Event()
    clock = SystemClock()
    clock.call_at(clock.now_ms() + 1, called.set)
    await called.wait()


async def test_a_cancelled_timer_does_not_call() -> None:
    calls: list[str] = []
    after = asyncio.Event()
    clock = SystemClock()
    clock.call_at(clock.now_ms() + 1, lambda: calls.append("cancelled")).cancel()
    clock.call_at(clock.now_ms() + 2, after.set)
    await after.wait()
    assert calls == []
