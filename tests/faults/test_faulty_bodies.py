"""The instruments themselves: without faults they change nothing, with faults they do what they say, repeatably."""

import asyncio
from collections.abc import Callable

import pytest

from storage.base import Bodies
from storage.errors import BodyMissing, StorageError, StorageFull
from tests.storage.contract import BodiesContract, BucketsContract, bring_in, key_of, make_body
from tests.support.bodies import NO_FAULTS, Faults, FaultyBodies, MemoryBodies

BODY = make_body(1)
KEY = key_of(BODY)


class TestMemoryBodies(BodiesContract, BucketsContract):
    """A dictionary keeps the contract."""

    @pytest.fixture
    def bodies(self) -> MemoryBodies:
        return MemoryBodies()


class TestFaultyBodiesWithoutFaults(BodiesContract, BucketsContract):
    """Without faults, what is below keeps the contract."""

    @pytest.fixture
    def bodies(self) -> FaultyBodies:
        return FaultyBodies(MemoryBodies())


class TestFaultyBodiesThatDawdle(BodiesContract, BucketsContract):
    """Latency alone breaks nothing."""

    @pytest.fixture
    def bodies(self) -> FaultyBodies:
        return FaultyBodies(MemoryBodies(), seed=7, faults=Faults(latency_turns=20))


async def outcomes(seed: int, faults: Faults) -> list[str]:
    """Return what becomes of a hundred writes and reads."""
    bodies = FaultyBodies(MemoryBodies(), seed, faults)
    found = []
    for number in range(100):
        for call in (bodies.write(KEY, BODY), bodies.read(KEY)):
            try:
                body = await call
                found.append("whole" if body in (None, BODY) else "short")
            except StorageError as exc:
                found.append(f"{number}: {exc}")
    return found


MIXED = Faults(latency_turns=3, errors=0.2, full=0.2, short=0.2)


async def test_equal_seeds_give_equal_faults() -> None:
    assert await outcomes(1, MIXED) == await outcomes(1, MIXED)
    assert await outcomes(1, MIXED) != await outcomes(2, MIXED)


async def test_every_fault_happens_and_not_always() -> None:
    texts = " ".join(await outcomes(1, MIXED))
    for word in ("whole", "short", "Input/output error", "No space left on device"):
        assert word in texts


def write(bodies: Bodies) -> asyncio.Future[object]:
    return asyncio.ensure_future(bodies.write(KEY, BODY))


def read(bodies: Bodies) -> asyncio.Future[object]:
    return asyncio.ensure_future(bodies.read(KEY))


def delete(bodies: Bodies) -> asyncio.Future[object]:
    return asyncio.ensure_future(bodies.delete(KEY))


def stream(bodies: Bodies) -> asyncio.Future[object]:
    return asyncio.ensure_future(bring_in(bodies, BODY))


def set_aside(bodies: Bodies) -> asyncio.Future[object]:
    return asyncio.ensure_future(bodies.set_aside(KEY))


def remove_bucket(bodies: Bodies) -> asyncio.Future[object]:
    return asyncio.ensure_future(bodies.remove_bucket("derby", 0, 1))


CERTAIN: list[tuple[str, Faults, Callable[[Bodies], asyncio.Future[object]], type[StorageError] | None]] = [
    ("write-fails", Faults(errors=1), write, StorageError),
    ("read-fails", Faults(errors=1), read, StorageError),
    ("delete-fails", Faults(errors=1), delete, StorageError),
    ("full-stops-writes", Faults(full=1), write, StorageFull),
    ("stream-fails", Faults(errors=1), stream, StorageError),
    ("full-stops-streams", Faults(full=1), stream, StorageFull),
    ("set-aside-never-fails", Faults(errors=1, full=1), set_aside, None),
    ("remove-bucket-fails", Faults(errors=1), remove_bucket, StorageError),
    ("full-lets-remove-buckets", Faults(full=1), remove_bucket, None),
    ("full-lets-read", Faults(full=1), read, None),
    ("full-lets-delete", Faults(full=1), delete, None),
    ("short-lets-write", Faults(short=1), write, None),
    ("short-lets-delete", Faults(short=1), delete, None),
]


@pytest.mark.parametrize(("faults", "call", "fault"), [case[1:] for case in CERTAIN], ids=[case[0] for case in CERTAIN])
async def test_a_fault_hits_what_it_says(
    faults: Faults, call: Callable[[Bodies], asyncio.Future[object]], fault: type[StorageError] | None
) -> None:
    lower = MemoryBodies()
    await lower.write(KEY, BODY)
    bodies = FaultyBodies(lower, faults=faults)
    results = await asyncio.gather(call(bodies), return_exceptions=True)
    assert type(results[0]) is fault if fault else not isinstance(results[0], BaseException)


async def test_a_write_that_fails_does_nothing() -> None:
    lower = MemoryBodies()
    for faults in (Faults(errors=1), Faults(full=1)):
        with pytest.raises(StorageError):
            await FaultyBodies(lower, faults=faults).write(KEY, BODY)
    assert lower.held == {}


async def test_an_adoption_that_fails_leaves_nothing() -> None:
    lower = MemoryBodies()
    bodies = FaultyBodies(lower)
    incoming = await bring_in(bodies, BODY)
    bodies.faults = Faults(errors=1)
    with pytest.raises(StorageError):
        await bodies.adopt(incoming, KEY, BODY)
    assert lower.held == {}
    assert lower.incoming_bytes == {}


async def test_a_short_read_is_half_of_the_body() -> None:
    bodies = FaultyBodies(MemoryBodies(), faults=Faults(short=1))
    await bodies.write(KEY, BODY)
    assert await bodies.read(KEY) == BODY[: len(BODY) // 2]
    bodies.faults = NO_FAULTS
    assert await bodies.read(KEY) == BODY


async def test_calls_are_counted_also_when_they_fail() -> None:
    bodies = FaultyBodies(MemoryBodies(), faults=Faults(errors=1))
    for _ in range(3):
        with pytest.raises(StorageError):
            await bodies.read(KEY)
    assert dict(bodies.counts) == {"read": 3}


async def test_a_gate_stops_one_operation_on_the_keys_it_matches() -> None:
    bodies = FaultyBodies(MemoryBodies())
    await bodies.write(KEY, BODY)
    other = key_of(BODY, pipeline_id="b")
    with bodies.gate("read", "~a~") as gate:
        reading = asyncio.create_task(bodies.read(KEY))
        await gate.reached()
        with pytest.raises(BodyMissing):
            await bodies.read(other)
        await bodies.write(KEY, BODY)
        assert not reading.done()
        assert gate.stopped_count == 1
    assert await reading == BODY
    assert await bodies.read(KEY) == BODY
