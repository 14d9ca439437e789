"""The end comes once, whoever asks for it."""

import asyncio
import time

from origin.demo.stop import Stop

FAR_MS = 60_000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_a_moment_comes_when_nobody_asks_for_the_end() -> None:
    stop, moment_ms = Stop(), _now_ms() + 20
    assert not await stop.comes_before(moment_ms)
    assert _now_ms() >= moment_ms - 1
    assert not await stop.comes_before(_now_ms() - FAR_MS)
    assert not stop.is_asked


async def test_the_end_comes_before_a_later_moment() -> None:
    stop = Stop()
    waiting = asyncio.create_task(stop.comes_before(_now_ms() + FAR_MS))
    asked_ms = _now_ms()
    stop.ask("Ctrl-C")
    assert await waiting
    assert await stop.comes_before(_now_ms() - FAR_MS)
    assert stop.reason == "Ctrl-C"
    assert asked_ms <= stop.at_ms <= _now_ms()


async def test_only_the_second_time_it_is_asked_for_is_there_a_hurry() -> None:
    stop = Stop()
    stop.ask("Ctrl-C")
    assert not stop.hurry.is_set()
    stop.ask("SIGTERM")
    assert stop.hurry.is_set()
    assert stop.reason == "Ctrl-C"


async def test_an_appointment_ends_at_its_own_time_and_is_no_second_signal() -> None:
    stop, at_ms = Stop(), _now_ms() + 20
    stop.appoint(at_ms, "time is over")
    stop.appoint(at_ms, "again")
    assert await stop.comes_before(_now_ms() + FAR_MS)
    assert (stop.at_ms, stop.reason) == (at_ms, "time is over")
    assert not stop.hurry.is_set()


async def test_a_failure_waits_for_nothing_and_the_first_one_is_told() -> None:
    stop = Stop()
    stop.fail("It broke.")
    stop.fail("It broke once more.")
    assert stop.is_asked
    assert stop.hurry.is_set()
    assert stop.failure == "It broke."
