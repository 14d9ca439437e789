"""Tiers over tiers: each level reads once, however many ask, whenever they come."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from storage.errors import BodyDamaged, BodyMissing, StorageError
from storage.ram import RamTier
from storage.tiered import TieredBodies
from tests.storage.contract import BodiesContract, key_of, make_body
from tests.support.bodies import NO_FAULTS, Faults, FaultyBodies, MemoryBodies

BODY = make_body(1)
KEY = key_of(BODY)


@dataclass
class Levels:
    """Three tiers, the highest first, and what stands below each of them."""

    tiers: list[TieredBodies]
    rams: list[RamTier]
    below: list[FaultyBodies]

    @property
    def top(self) -> TieredBodies:
        return self.tiers[0]

    async def stored_at_the_bottom(self) -> None:
        await self.top.write(KEY, BODY)
        for ram in self.rams:
            ram.drop(KEY)

    @property
    def reads_counts(self) -> list[int]:
        return [below.counts["read"] for below in self.below]


@pytest.fixture
def levels() -> Levels:
    bottom = FaultyBodies(MemoryBodies())
    rams = [RamTier(1_000_000, lambda _: None) for _ in range(3)]
    third = TieredBodies(rams[2], bottom, lambda _: None)
    over_third = FaultyBodies(third)
    second = TieredBodies(rams[1], over_third, lambda _: None)
    over_second = FaultyBodies(second)
    first = TieredBodies(rams[0], over_second, lambda _: None)
    return Levels([first, second, third], rams, [over_second, over_third, bottom])


class TestThreeLevels(BodiesContract):
    """Tiers over tiers keep the contract."""

    @pytest.fixture
    def bodies(self, levels: Levels) -> TieredBodies:
        return levels.top


class TestTiersThatMeet(BodiesContract):
    """And so do two with nothing in between, where the upper one leaves checking to the lower one."""

    @pytest.fixture
    def bodies(self) -> TieredBodies:
        lower = TieredBodies(RamTier(1, lambda _: None), MemoryBodies(), lambda _: None)
        return TieredBodies(RamTier(1, lambda _: None), lower, lambda _: None)


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def readers_of(levels: Levels, count: int) -> list[asyncio.Task[bytes]]:
    return [asyncio.create_task(levels.top.read(KEY)) for _ in range(count)]


async def walked(levels: Levels, at_every_gate: Callable[[], Awaitable[None]]) -> None:
    """Let a read go down a level at a time, each of which stops it on its way."""
    with ExitStack() as stack:
        for gate in [stack.enter_context(below.gate("read")) for below in levels.below]:
            await gate.reached()
            await at_every_gate()
            gate.open()


async def test_a_hundred_readers_who_come_at_every_stage_cost_one_read_a_level(levels: Levels) -> None:
    await levels.stored_at_the_bottom()
    readers = readers_of(levels, 25)

    async def more() -> None:
        readers.extend(readers_of(levels, 25))
        await turn()
        assert levels.top.reads_count == 1

    await walked(levels, more)
    assert await asyncio.gather(*readers) == [BODY] * 100
    assert levels.reads_counts == [1, 1, 1]
    assert await levels.top.read(KEY) == BODY
    assert levels.reads_counts == [1, 1, 1]
    assert [tier.reads_count for tier in levels.tiers] == [0, 0, 0]


async def test_readers_of_different_levels_share_what_is_below_both(levels: Levels) -> None:
    await levels.stored_at_the_bottom()
    with levels.below[2].gate("read") as gate:
        readers = [asyncio.create_task(tier.read(KEY)) for tier in levels.tiers for _ in range(10)]
        await gate.reached()
        await turn()
    assert await asyncio.gather(*readers) == [BODY] * 30
    assert levels.reads_counts == [1, 1, 1]


@pytest.mark.parametrize("leaving_stage", [0, 1, 2])
async def test_readers_who_leave_at_any_stage_leave_the_read_to_the_others(levels: Levels, leaving_stage: int) -> None:
    await levels.stored_at_the_bottom()
    readers = readers_of(levels, 100)
    leaving, stage = readers[:99], 0

    async def leave() -> None:
        nonlocal stage
        if stage == leaving_stage:
            for reader in leaving:
                reader.cancel()
            await turn()
            assert all(reader.cancelled() for reader in leaving)
        stage += 1

    await walked(levels, leave)
    assert await readers[99] == BODY
    assert levels.reads_counts == [1, 1, 1]


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("faults", [Faults(errors=1), Faults(short=1)], ids=["error", "short"])
async def test_a_fault_at_any_level_reaches_all_and_the_next_reader_reads_anew(
    levels: Levels, level: int, faults: Faults
) -> None:
    await levels.stored_at_the_bottom()
    levels.below[level].faults = faults
    with levels.below[level].gate("read") as gate:
        readers = readers_of(levels, 50)
        await gate.reached()
        readers += readers_of(levels, 50)
        await turn()
    results = await asyncio.gather(*readers, return_exceptions=True)
    assert {type(result) for result in results} == {StorageError}
    assert levels.reads_counts[level] == 1
    assert all(ram.get(KEY) is None for ram in levels.rams[: level + 1])
    levels.below[level].faults = NO_FAULTS
    assert await levels.top.read(KEY) == BODY
    assert levels.reads_counts[level] == 2


async def test_a_body_that_is_damaged_at_the_bottom_is_damaged_for_all_and_then_missing(levels: Levels) -> None:
    await levels.below[2].write(KEY, b"rotten")
    results = await asyncio.gather(*readers_of(levels, 100), return_exceptions=True)
    assert {type(result) for result in results} == {BodyDamaged}
    assert levels.reads_counts == [1, 1, 1]
    assert all(ram.get(KEY) is None for ram in levels.rams)
    with pytest.raises(BodyMissing):
        await levels.top.read(KEY)
