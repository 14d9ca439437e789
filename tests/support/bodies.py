"""Bodies that fail, dawdle and count, around any others."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from storage.base import Bodies, Body, BodyKey, Incoming, Removed, is_intact
from storage.bodies import FileBodies
from storage.errors import BodyMissing, StorageError, StorageFull

OPERATIONS = ("write", "stream", "read", "delete", "set_aside", "remove_bucket")

# What faults are called that are not called like their operation.
FAULT_NAMES = {"stream": "body-write", "remove_bucket": "bucket-remove"}
NO_KEY = BodyKey("")


class MemoryIncoming:
    """Implements `storage.base.Incoming` in the `incoming` of a `MemoryBodies`."""

    def __init__(self, bodies: "MemoryBodies") -> None:
        self._bodies = bodies

    async def write(self, piece: Body) -> None:
        self._bodies.incoming_bytes[self] = self._bodies.incoming_bytes.get(self, b"") + bytes(piece)

    async def finish(self) -> None:
        """Nothing waits for a device."""

    async def read(self) -> bytes:
        return self._bodies.incoming_bytes[self]

    async def discard(self) -> None:
        self._bodies.incoming_bytes.pop(self, None)


class MemoryBodies:
    """Implements `storage.base.Bodies` in a dictionary, without a turn of the event loop."""

    def __init__(self) -> None:
        self.held: dict[BodyKey, bytes] = {}
        self.incoming_bytes: dict[MemoryIncoming, bytes] = {}

    async def write(self, key: BodyKey, body: Body) -> None:
        self.held[key] = bytes(body)

    async def read(self, key: BodyKey) -> bytes:
        if key not in self.held:
            raise BodyMissing("body-read", "No such body")
        return self.held[key]

    async def delete(self, key: BodyKey) -> None:
        self.held.pop(key, None)

    def incoming(self) -> MemoryIncoming:
        return MemoryIncoming(self)

    async def adopt(self, incoming: Incoming, key: BodyKey, body: Body) -> None:
        assert isinstance(incoming, MemoryIncoming)
        self.held[key] = self.incoming_bytes.pop(incoming)

    async def set_aside(self, key: BodyKey) -> bool:
        if key in self.held and is_intact(key, self.held[key]):
            return False
        self.held.pop(key, None)
        return True

    async def remove_bucket(self, event_id: str, bucket: int | None, files_count_max: int) -> Removed:
        names = (f"{event_id}/init/", f"{event_id}/manifest/") if bucket is None else (f"{event_id}/{bucket}/",)
        found = [key for key in self.held if key.startswith(names)]
        sizes = [len(self.held.pop(key)) for key in found[:files_count_max]]
        return Removed(len(sizes), sum(sizes), is_done=len(found) <= files_count_max)


@dataclass(frozen=True)
class Faults:
    """How often each fault happens: 0 never, 1 always. Faults are drawn in this order, at most one a call.

    Args:
        latency_turns: Each call waits up to this many turns of the event loop before and after it acts.
        errors: Share of calls that fail with nothing done.
        full: Share of writes that find the disk full.
        short: Share of reads that return only the first half.
    """

    latency_turns: int = 0
    errors: float = 0.0
    full: float = 0.0
    short: float = 0.0


NO_FAULTS = Faults()


class Gate:
    """Stops calls of one operation until it is opened.

    Args:
        matching: Only for keys that hold this.
    """

    def __init__(self, matching: str = "") -> None:
        self.matching = matching
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()
        self.stopped_count = 0

    async def reached(self) -> None:
        """Wait until a call stands at the gate."""
        await self._reached.wait()

    def open(self) -> None:
        """Let through who stands here, and everybody after."""
        self._opened.set()

    async def pass_through(self) -> None:
        self.stopped_count += 1
        self._reached.set()
        await self._opened.wait()


class FaultyIncoming:
    """One of the bodies that come in to a `FaultyBodies`: every piece and its end can fail, wait at a gate, count.

    What must still hold above it: an upload is answered 503 or 507 as if its write had failed, at whichever piece
    that is, and nothing is left of it; the connection goes on.
    """

    def __init__(self, bodies: "FaultyBodies", lower: Incoming) -> None:
        self.lower = lower
        self._bodies = bodies

    async def write(self, piece: Body) -> None:
        await self._bodies.begin_storing("stream")
        await self.lower.write(piece)

    async def finish(self) -> None:
        await self._bodies.begin_storing("stream")
        await self.lower.finish()

    async def read(self) -> bytes:
        return await self.lower.read()

    async def discard(self) -> None:
        await self.lower.discard()


class FaultyBodies:
    """Implements `storage.base.Bodies` around another one, with faults that a seed makes repeatable.

    What must still hold above it, whatever the faults:

    - latency: a body is visible whole or not at all, and calls of different keys do not wait for each other;
    - errors: an upload whose write fails is answered 503 and leaves no candidate; a reader is answered 503,
      cacheable for a moment, and the next one is served; a delete that fails costs space and nothing else;
    - full: an upload is answered 507 and leaves no candidate; what is stored stays readable, and the first
      upload after space was made succeeds;
    - short: never delivered as if it were whole, nor kept in a faster tier: the next reader is served.

    Args:
        lower: What does the work.
        seed: Equal seeds and equal calls give equal faults.
        faults: May be changed at any time: `bodies.faults = NO_FAULTS`.

    `counts` tells how often each operation was called, faulty calls included.
    """

    def __init__(self, lower: Bodies, seed: int = 0, faults: Faults = NO_FAULTS) -> None:
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self._lower = lower
        self._random = random.Random(seed)
        self._gates: dict[str, Gate] = {}

    def misbehave(self, faults: Faults, seed: int) -> None:
        """Begin anew with these faults."""
        self.faults = faults
        self._random = random.Random(seed)

    @contextmanager
    def gate(self, operation: str, matching: str = "") -> Iterator[Gate]:
        """Stop every call of `operation` from now on; leaving the context opens the gate for good."""
        assert operation in OPERATIONS
        gate = self._gates[operation] = Gate(matching)
        try:
            yield gate
        finally:
            if self._gates.get(operation) is gate:
                del self._gates[operation]
            gate.open()

    async def write(self, key: BodyKey, body: Body) -> None:
        await self.begin_storing("write", key)
        await self._lower.write(key, body)
        await self._dawdle()

    def incoming(self) -> FaultyIncoming:
        return FaultyIncoming(self, self._lower.incoming())

    async def adopt(self, incoming: Incoming, key: BodyKey, body: Body) -> None:
        """Counts and fails as a `write`."""
        assert isinstance(incoming, FaultyIncoming)
        try:
            await self.begin_storing("write", key)
        except StorageError:
            await incoming.discard()
            raise
        await self._lower.adopt(incoming.lower, key, body)
        await self._dawdle()

    async def read(self, key: BodyKey) -> bytes:
        await self._begin("read", key)
        body = await self._lower.read(key)
        await self._dawdle()
        return body[: len(body) // 2] if self._draw(self.faults.short) else body

    async def delete(self, key: BodyKey) -> None:
        await self._begin("delete", key)
        await self._lower.delete(key)
        await self._dawdle()

    async def set_aside(self, key: BodyKey) -> bool:
        """Never fails, but waits and counts."""
        await self._begin("set_aside", key, errors=0)
        return await self._lower.set_aside(key)

    async def remove_bucket(self, event_id: str, bucket: int | None, files_count_max: int) -> Removed:
        await self._begin("remove_bucket", BodyKey(f"{event_id}/{'init' if bucket is None else bucket}/"))
        return await self._lower.remove_bucket(event_id, bucket, files_count_max)

    async def begin_storing(self, operation: str, key: BodyKey = NO_KEY) -> None:
        """Do what comes before bytes are stored."""
        await self._begin(operation, key)
        if self._draw(self.faults.full):
            raise StorageFull("body-write", "No space left on device")

    async def _begin(self, operation: str, key: BodyKey, errors: float | None = None) -> None:
        self.counts[operation] += 1
        gate = self._gates.get(operation)
        if gate is not None and gate.matching in key:
            await gate.pass_through()
        await self._dawdle()
        if self._draw(self.faults.errors if errors is None else errors):
            raise StorageError(FAULT_NAMES.get(operation, f"body-{operation}"), "Input/output error")

    async def _dawdle(self) -> None:
        for _ in range(self._random.randint(0, self.faults.latency_turns)):
            await asyncio.sleep(0)

    def _draw(self, share: float) -> bool:
        return share > 0 and self._random.random() < share


class FaultyFileBodies(FaultyBodies):
    """`FaultyBodies` around files, to stand in for `storage.bodies.FileBodies` in a whole origin."""

    def __init__(self, files: FileBodies, seed: int = 0, faults: Faults = NO_FAULTS) -> None:
        super().__init__(files, seed, faults)
        self._files = files

    def open(self, expected_bytes: int = 0) -> int:
        return self._files.open(expected_bytes)

    def close(self) -> None:
        self._files.close()

    def keep_apart_now(self, keys: Iterable[BodyKey]) -> int:
        return self._files.keep_apart_now(keys)

    def list_bodies(self) -> Iterator[tuple[str, list[str]]]:
        return self._files.list_bodies()

    def remove_now(self, keys: Iterable[BodyKey]) -> int:
        return self._files.remove_now(keys)
