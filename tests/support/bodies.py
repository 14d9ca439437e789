"""Bodies that fail, dawdle and count, around any others."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from storage.base import Bodies, BodyKey
from storage.bodies import FileBodies
from storage.errors import BodyMissing, StorageError, StorageFull

OPERATIONS = ("write", "read", "delete")


class MemoryBodies:
    """Implements `storage.base.Bodies` in a dictionary, without a turn of the event loop."""

    def __init__(self) -> None:
        self.held: dict[BodyKey, bytes] = {}

    async def write(self, key: BodyKey, body: bytes) -> None:
        self.held[key] = body

    async def read(self, key: BodyKey) -> bytes:
        if key not in self.held:
            raise BodyMissing("body-read", "No such body")
        return self.held[key]

    async def delete(self, key: BodyKey) -> None:
        self.held.pop(key, None)


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

    async def write(self, key: BodyKey, body: bytes) -> None:
        await self._begin("write", key)
        if self._draw(self.faults.full):
            raise StorageFull("body-write", "No space left on device")
        await self._lower.write(key, body)
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

    async def _begin(self, operation: str, key: BodyKey) -> None:
        self.counts[operation] += 1
        gate = self._gates.get(operation)
        if gate is not None and gate.matching in key:
            await gate.pass_through()
        await self._dawdle()
        if self._draw(self.faults.errors):
            raise StorageError(f"body-{operation}", "Input/output error")

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

    def open(self) -> int:
        return self._files.open()

    def close(self) -> None:
        self._files.close()
