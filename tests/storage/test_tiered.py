"""RAM over SSD: one read below however many ask, and nothing in RAM that is not below."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.bodies import FileBodies
from storage.errors import BodyDamaged, BodyMissing, StorageError, StorageFull
from storage.ram import Ram, RamTier
from storage.shared_ram import SharedRam
from storage.shared_ram_reader import SharedRamReader
from storage.tiered import TieredBodies
from tests.storage.contract import BodiesContract, bring_in, key_of, make_body
from tests.support.bodies import NO_FAULTS, Faults, FaultyBodies

BODY = make_body(1)
KEY = key_of(BODY)


@pytest.fixture
def lower(tmp_path: Path) -> Iterator[FaultyBodies]:
    files = FileBodies(tmp_path / "bodies", fsync=False)
    files.open()
    yield FaultyBodies(files)
    files.close()


@pytest.fixture
def observed() -> list[str]:
    return []


@pytest.fixture
def ram() -> RamTier:
    return RamTier(10_000_000, lambda _: None)


@pytest.fixture
def bodies(ram: Ram, lower: FaultyBodies, observed: list[str]) -> TieredBodies:
    return TieredBodies(ram, lower, observed.append)


class TestTieredBodies(BodiesContract):
    """Both tiers together keep the contract."""


class TestTieredBodiesOverFiles(BodiesContract):
    """Files check what they read by themselves."""

    @pytest.fixture
    def bodies(self, tmp_path: Path) -> Iterator[TieredBodies]:
        files = FileBodies(tmp_path / "bodies", fsync=False)
        files.open()
        yield TieredBodies(RamTier(1, lambda _: None), files, lambda _: None)
        files.close()


class TestTieredBodiesWithTooLittleRam(BodiesContract):
    """And without RAM to speak of, the lower tier does all the work."""

    @pytest.fixture
    def ram(self) -> RamTier:
        return RamTier(1, lambda _: None)


class TestTieredBodiesOverSharedRam(BodiesContract):
    """As the process has them that stores for all others."""

    @pytest.fixture
    def ram(self) -> Iterator[Ram]:
        shared = SharedRam(10_000_000, lambda _: None)
        yield shared
        shared.close()


class TestTieredBodiesOverSharedRamOfAnother(BodiesContract):
    """As a process has them that reads."""

    @pytest.fixture
    def ram(self) -> Ram:
        return SharedRamReader(10_000_000)


async def test_a_body_in_shared_memory_is_delivered_as_a_view_and_read_as_bytes(
    lower: FaultyBodies, observed: list[str]
) -> None:
    shared = SharedRam(10_000_000, lambda _: None)
    bodies = TieredBodies(shared, lower, observed.append)
    await bodies.write(KEY, BODY)
    view = bodies.read_now(KEY)
    assert isinstance(view, memoryview)
    assert bytes(view) == BODY
    body = await bodies.read(KEY)
    assert isinstance(body, bytes)
    assert body == BODY
    assert lower.counts["read"] == 0
    shared.close()


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_body_that_was_just_written_is_read_from_ram(
    bodies: TieredBodies, lower: FaultyBodies, observed: list[str]
) -> None:
    await bodies.write(KEY, BODY)
    assert bodies.read_now(KEY) == BODY
    assert await bodies.read(KEY) == BODY
    assert lower.counts["read"] == 0
    assert observed == ["ram", "ram"]


async def test_a_body_that_left_ram_is_read_below_once_and_then_from_ram(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies, observed: list[str]
) -> None:
    await bodies.write(KEY, BODY)
    ram.drop(KEY)
    assert bodies.read_now(KEY) is None
    assert await bodies.read(KEY) == BODY
    assert await bodies.read(KEY) == BODY
    assert lower.counts["read"] == 1
    assert observed == ["ssd", "ram"]


async def test_a_body_is_not_in_ram_before_it_is_below(bodies: TieredBodies, lower: FaultyBodies) -> None:
    with lower.gate("write") as gate:
        writing = asyncio.create_task(bodies.write(KEY, BODY))
        await gate.reached()
        assert bodies.read_now(KEY) is None
    await writing
    assert bodies.read_now(KEY) == BODY


@pytest.mark.parametrize(("faults", "fault"), [(Faults(errors=1), StorageError), (Faults(full=1), StorageFull)])
async def test_a_body_that_could_not_be_written_below_is_not_in_ram(
    bodies: TieredBodies, lower: FaultyBodies, faults: Faults, fault: type[StorageError]
) -> None:
    lower.faults = faults
    with pytest.raises(fault):
        await bodies.write(KEY, BODY)
    lower.faults = NO_FAULTS
    assert bodies.read_now(KEY) is None
    with pytest.raises(BodyMissing):
        await bodies.read(KEY)


async def test_however_many_readers_miss_together_the_lower_tier_is_read_once(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies, observed: list[str]
) -> None:
    await bodies.write(KEY, BODY)
    ram.drop(KEY)
    with lower.gate("read") as gate:
        readers = [asyncio.create_task(bodies.read(KEY)) for _ in range(50)]
        await gate.reached()
        readers += [asyncio.create_task(bodies.read(KEY)) for _ in range(50)]
        await turn()
    assert await asyncio.gather(*readers) == [BODY] * 100
    assert lower.counts["read"] == 1
    assert sorted(observed) == ["shared"] * 99 + ["ssd"]


async def test_readers_of_different_bodies_do_not_wait_for_each_other(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies
) -> None:
    other = make_body(2)
    for body in (BODY, other):
        await bodies.write(key_of(body), body)
        ram.drop(key_of(body))
    with lower.gate("read") as gate:
        readers = [asyncio.create_task(bodies.read(key_of(body))) for body in (BODY, other)]
        await gate.reached()
        await turn()
        assert gate.stopped_count == 2
    assert await asyncio.gather(*readers) == [BODY, other]


@pytest.mark.parametrize("leaving_index", [0, 1, 2])
async def test_a_reader_that_is_cancelled_leaves_the_read_to_the_others(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies, leaving_index: int
) -> None:
    await bodies.write(KEY, BODY)
    ram.drop(KEY)
    with lower.gate("read") as gate:
        readers = [asyncio.create_task(bodies.read(KEY)) for _ in range(3)]
        await gate.reached()
        leaving = readers.pop(leaving_index)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert await asyncio.gather(*readers) == [BODY, BODY]
    assert lower.counts["read"] == 1


async def test_a_read_that_everybody_left_still_fills_ram(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies
) -> None:
    await bodies.write(KEY, BODY)
    ram.drop(KEY)
    with lower.gate("read") as gate:
        reader = asyncio.create_task(bodies.read(KEY))
        await gate.reached()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    assert await bodies.read(KEY) == BODY
    assert lower.counts["read"] == 1


FAULTS = [
    ("error", Faults(errors=1), "body-read: Input/output error"),
    ("short", Faults(short=1), "body-read: the bytes were not those that are stored"),
]


@pytest.mark.parametrize(("faults", "text"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
async def test_a_fault_reaches_every_reader_and_the_next_read_tries_again(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies, faults: Faults, text: str
) -> None:
    await bodies.write(KEY, BODY)
    ram.drop(KEY)
    lower.faults = faults
    with lower.gate("read") as gate:
        readers = [asyncio.create_task(bodies.read(KEY)) for _ in range(3)]
        await gate.reached()
        await turn()
    results = await asyncio.gather(*readers, return_exceptions=True)
    assert lower.counts["read"] == 1
    for result in results:
        with pytest.raises(StorageError, match=text):
            raise result if isinstance(result, BaseException) else AssertionError(result)
    assert bodies.read_now(KEY) is None
    lower.faults = NO_FAULTS
    assert await bodies.read(KEY) == BODY
    assert lower.counts["read"] == 2


async def test_a_fault_that_no_reader_is_left_to_see_is_not_lost_in_the_event_loop(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies
) -> None:
    """asyncio complains of exceptions nobody fetched, and complaints are failures here."""
    lower.faults = Faults(errors=1)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with lower.gate("read") as gate:
        reader = asyncio.create_task(bodies.read(KEY))
        await gate.reached()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    await turn()
    assert complaints == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_large_bodies_are_checked_too(bodies: TieredBodies, ram: RamTier, lower: FaultyBodies) -> None:
    body = make_body(1, 1_000_000)
    await bodies.write(key_of(body), body)
    ram.drop(key_of(body))
    lower.faults = Faults(short=1)
    with pytest.raises(StorageError, match="body-read"):
        await bodies.read(key_of(body))
    lower.faults = NO_FAULTS
    assert await bodies.read(key_of(body)) == body


@pytest.mark.parametrize("rotten", [b"", BODY[:-1], BODY[:-1] + b"!"], ids=["empty", "short", "other"])
async def test_a_damaged_body_is_set_aside_and_told_to_every_reader_and_then_it_is_missing(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies, rotten: bytes
) -> None:
    await lower.write(KEY, rotten)
    with lower.gate("read") as gate:
        readers = [asyncio.create_task(bodies.read(KEY)) for _ in range(3)]
        await gate.reached()
        await turn()
    for result in await asyncio.gather(*readers, return_exceptions=True):
        assert isinstance(result, BodyDamaged)
        assert str(result) == "body-read: the bytes are not those that were stored"
    assert lower.counts["set_aside"] == 1
    assert bodies.read_now(KEY) is None
    with pytest.raises(BodyMissing):
        await bodies.read(KEY)
    await bodies.write(KEY, BODY)
    ram.drop(KEY)
    assert await bodies.read(KEY) == BODY


async def test_a_read_counts_from_the_moment_it_is_begun_until_it_is_over(
    bodies: TieredBodies, ram: RamTier, lower: FaultyBodies
) -> None:
    other = make_body(2)
    for body in (BODY, other):
        await bodies.write(key_of(body), body)
        ram.drop(key_of(body))
    with lower.gate("read"):
        reading = bodies.begin_read(KEY)
        assert bodies.reads_count == 1
        assert (bodies.is_reading(KEY), bodies.is_reading(key_of(other))) == (True, False)
        assert bodies.begin_read(KEY) is reading
        assert bodies.reads_count == 1
        bodies.begin_read(key_of(other))
        assert bodies.reads_count == 2
    assert await reading == BODY
    assert await bodies.read(key_of(other)) == other
    assert bodies.reads_count == 0
    assert not bodies.is_reading(KEY)


@pytest.mark.parametrize("faults", [NO_FAULTS, Faults(errors=1), Faults(short=1)], ids=["good", "error", "short"])
async def test_what_a_read_below_took_is_told_once_while_it_still_counts(
    ram: RamTier, lower: FaultyBodies, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr("storage.tiered.time.monotonic", lambda: now_s)
    told: list[tuple[float, int]] = []
    tiers = TieredBodies(ram, lower, lambda _: None, lambda seconds: told.append((seconds, tiers.reads_count)))
    await tiers.write(KEY, BODY)
    ram.drop(KEY)
    lower.faults = faults
    with lower.gate("read") as gate:
        readers = [asyncio.create_task(tiers.read(KEY)) for _ in range(3)]
        await gate.reached()
        assert told == []
        now_s += 0.25
    await asyncio.gather(*readers, return_exceptions=True)
    assert told == [(0.25, 1)]


async def test_a_read_from_ram_is_no_read_below(ram: RamTier, lower: FaultyBodies) -> None:
    told: list[float] = []
    bodies = TieredBodies(ram, lower, lambda _: None, told.append)
    await bodies.write(KEY, BODY)
    await bodies.read(KEY)
    assert told == []


async def test_a_body_that_came_in_is_read_from_ram(bodies: TieredBodies, lower: FaultyBodies) -> None:
    await bodies.adopt(await bring_in(bodies, BODY), KEY, BODY)
    assert bodies.read_now(KEY) is BODY
    assert await lower.read(KEY) == BODY


@pytest.mark.parametrize(("faults", "fault"), [(Faults(errors=1), StorageError), (Faults(full=1), StorageFull)])
async def test_a_body_that_came_in_and_could_not_be_kept_is_not_in_ram(
    bodies: TieredBodies, lower: FaultyBodies, faults: Faults, fault: type[StorageError]
) -> None:
    incoming = await bring_in(bodies, BODY)
    lower.faults = faults
    with pytest.raises(fault):
        await bodies.adopt(incoming, KEY, BODY)
    assert bodies.read_now(KEY) is None


async def test_a_bucket_is_removed_below(bodies: TieredBodies, lower: FaultyBodies) -> None:
    await bodies.write(KEY, BODY)
    assert (await bodies.remove_bucket("derby", 0, 10)).files_count == 1
    with pytest.raises(BodyMissing):
        await lower.read(KEY)


async def test_a_deleted_body_leaves_both_tiers(bodies: TieredBodies, lower: FaultyBodies) -> None:
    await bodies.write(KEY, BODY)
    await bodies.delete(KEY)
    assert bodies.read_now(KEY) is None
    with pytest.raises(BodyMissing):
        await lower.read(KEY)
