"""Callers with the same purpose, one after the other."""

import asyncio

import pytest

from origin.one_at_a_time import OneAtATime


async def enter(turns: OneAtATime, whose: str, told: list[str], gate: asyncio.Event) -> None:
    async with turns.turn(whose):
        told.append(f"{whose} in")
        await gate.wait()
        told.append(f"{whose} out")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_same_purpose_lets_one_in_at_a_time_and_another_goes_beside_it() -> None:
    turns, gate = OneAtATime(), asyncio.Event()
    told: list[str] = []
    tasks = [asyncio.create_task(enter(turns, whose, told, gate)) for whose in ("a", "a", "b")]
    await settle()
    assert told == ["a in", "b in"]
    gate.set()
    await asyncio.gather(*tasks)
    assert sorted(told) == ["a in", "a in", "a out", "a out", "b in", "b out"]
    assert [word for word in told if word.startswith("a")] == ["a in", "a out", "a in", "a out"]


async def test_nothing_is_kept_of_what_nobody_has() -> None:
    turns = OneAtATime()
    turns.turn("never entered")
    async with turns.turn("a"), turns.turn("b"):
        assert turns.count == 2
    assert turns.count == 0


async def test_who_stops_waiting_leaves_the_others_as_they_are() -> None:
    turns, gate = OneAtATime(), asyncio.Event()
    told: list[str] = []
    first, second, third = (asyncio.create_task(enter(turns, "a", told, gate)) for _ in range(3))
    await settle()
    second.cancel()
    gate.set()
    await asyncio.gather(first, third)
    assert second.cancelled()
    assert told == ["a in", "a out", "a in", "a out"]
    assert turns.count == 0


async def test_a_fault_inside_lets_the_next_one_in() -> None:
    turns = OneAtATime()
    with pytest.raises(ValueError, match="inside"):
        async with turns.turn("a"):
            raise ValueError("inside")
    async with turns.turn("a"):
        assert turns.count == 1
