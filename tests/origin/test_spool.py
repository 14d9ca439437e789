"""Bodies as they arrive: small ones in memory, large ones on disk, and no socket that waits for a disk."""

import asyncio

import pytest

from origin.spool import STREAM_BYTES, Spool
from storage.errors import StorageError, StorageFull
from tests.origin.parts import turn
from tests.support.bodies import Faults, FaultyBodies, MemoryBodies

PIECE = b"0123456789abcdef" * 4_096
LARGE_COUNT = 5 * STREAM_BYTES // len(PIECE)


@pytest.fixture
def held() -> MemoryBodies:
    return MemoryBodies()


@pytest.fixture
def bodies(held: MemoryBodies) -> FaultyBodies:
    return FaultyBodies(held)


@pytest.fixture
def spool(bodies: FaultyBodies) -> Spool:
    return Spool(bodies.incoming)


@pytest.mark.parametrize("count", [0, 1, 2, STREAM_BYTES // len(PIECE)])
async def test_a_small_body_stays_in_memory(spool: Spool, bodies: FaultyBodies, count: int) -> None:
    for _ in range(count):
        spool.take(PIECE)
    assert await spool.whole() == PIECE * count
    assert spool.incoming is None
    assert not bodies.counts
    await spool.discard()


@pytest.mark.parametrize("size_bytes", [STREAM_BYTES + 1, 2 * STREAM_BYTES, 5 * STREAM_BYTES + 7])
@pytest.mark.parametrize("takes_turns", [False, True], ids=["at-once", "piece-by-piece"])
async def test_a_large_body_comes_back_whole_from_disk(
    spool: Spool, held: MemoryBodies, size_bytes: int, takes_turns: bool
) -> None:
    body = (PIECE * LARGE_COUNT * 2)[:size_bytes]
    for start in range(0, size_bytes, len(PIECE)):
        spool.take(body[start : start + len(PIECE)])
        if takes_turns:
            await asyncio.sleep(0)
    assert await spool.whole() == body
    assert spool.incoming is not None
    assert list(held.incoming_bytes.values()) == [body]
    await spool.discard()
    assert held.incoming_bytes == {}


async def test_what_is_on_disk_is_not_kept_in_memory_as_well(spool: Spool) -> None:
    for _ in range(LARGE_COUNT):
        spool.take(PIECE)
        await turn()
        assert spool.held_bytes <= STREAM_BYTES


async def test_a_body_that_is_not_to_be_streamed_stays_in_memory_whatever_its_size() -> None:
    spool = Spool(None)
    for _ in range(LARGE_COUNT):
        spool.take(PIECE)
    assert await spool.whole() == PIECE * LARGE_COUNT
    assert spool.incoming is None
    await spool.discard()


async def test_a_disk_that_stands_still_keeps_no_byte_waiting(spool: Spool, bodies: FaultyBodies) -> None:
    with bodies.gate("stream") as gate:
        for _ in range(LARGE_COUNT):
            spool.take(PIECE)
            await asyncio.sleep(0)
        await gate.reached()
        whole = asyncio.create_task(spool.whole())
        await turn()
        assert not whole.done()
    assert await whole == PIECE * LARGE_COUNT


FAULTS = [(Faults(errors=1), StorageError), (Faults(full=1), StorageFull)]
every_fault = pytest.mark.parametrize(("faults", "fault"), FAULTS, ids=["error", "full"])


@every_fault
async def test_a_disk_that_fails_is_told_with_the_next_piece(
    spool: Spool, bodies: FaultyBodies, held: MemoryBodies, faults: Faults, fault: type[StorageError]
) -> None:
    bodies.faults = faults
    for _ in range(LARGE_COUNT // 2):
        spool.take(PIECE)
    await turn()
    with pytest.raises(StorageError) as caught:
        spool.take(PIECE)
    assert type(caught.value) is fault
    assert caught.value.operation == "body-write"
    await spool.discard()
    assert held.incoming_bytes == {}


@every_fault
async def test_a_disk_that_fails_at_the_end_is_told_there(
    spool: Spool, bodies: FaultyBodies, held: MemoryBodies, faults: Faults, fault: type[StorageError]
) -> None:
    for _ in range(LARGE_COUNT):
        spool.take(PIECE)
        await turn()
    bodies.faults = faults
    with pytest.raises(fault):
        await spool.whole()
    await spool.discard()
    assert held.incoming_bytes == {}


async def test_a_fault_that_nobody_is_left_to_see_is_not_lost_in_the_event_loop(
    spool: Spool, bodies: FaultyBodies
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    bodies.faults = Faults(errors=1)
    for _ in range(LARGE_COUNT):
        spool.take(PIECE)
    await turn()
    await spool.discard()
    del spool
    await turn()
    assert complaints == []


async def test_a_body_that_is_given_up_while_it_is_written_leaves_nothing(
    spool: Spool, bodies: FaultyBodies, held: MemoryBodies
) -> None:
    with bodies.gate("stream") as gate:
        for _ in range(LARGE_COUNT):
            spool.take(PIECE)
        await gate.reached()
        await spool.discard()
    await turn()
    assert held.incoming_bytes == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}
