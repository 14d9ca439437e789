"""RAM over SSD: a body is written to both, read from the first that has it, and read from SSD once at a time.

However many readers miss the same body together, the lower tier is asked once and all share the answer, also who
joins late. The lower tier may be such a pair again; each level then reads once.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from storage.base import Bodies, Body, BodyKey, Incoming, Removed, is_intact
from storage.errors import not_intact
from storage.ram import Ram

Observer = Callable[[str], None]


@runtime_checkable
class IntactReads(Protocol):
    """A store that checks digests itself, where that takes no hop to another thread."""

    async def read_intact(self, key: BodyKey) -> bytes:
        """Return the whole body; one whose bytes are wrong was set aside.

        Raises:
            BodyMissing, BodyDamaged, StorageError: As of `Bodies.read`.
        """


class TieredBodies:
    """Implements `storage.base.Bodies` over a lower tier.

    Args:
        observe: Told `ram`, `ssd` or `shared` for every read: where it was answered from.
        observe_read: Told how many seconds each read of the lower tier took, queues and the check of its digest
            included, whether it went well or not. It still counts in `reads_count` then.
    """

    def __init__(
        self, ram: Ram, lower: Bodies, observe: Observer, observe_read: Callable[[float], None] = lambda _: None
    ) -> None:
        self._ram = ram
        self._lower = lower
        self._read_lower = lower.read_intact if isinstance(lower, IntactReads) else self._read_and_check
        self._observe = observe
        self._observe_read = observe_read
        self._reads: dict[BodyKey, asyncio.Task[bytes]] = {}
        self._removing: tuple[str, int | None] | None = None

    async def write(self, key: BodyKey, body: Body) -> None:
        """Store below first: what is in RAM is always on SSD, too."""
        await self._lower.write(key, body)
        self._ram.put(key, body)

    def incoming(self) -> Incoming:
        """Return a body that comes in below."""
        return self._lower.incoming()

    async def adopt(self, incoming: Incoming, key: BodyKey, body: Body) -> None:
        """Store below first, as `write` does."""
        await self._lower.adopt(incoming, key, body)
        self._ram.put(key, body)

    def read_now(self, key: BodyKey) -> Body | None:
        """Return the body if that takes no waiting, else None."""
        body = self._ram.get(key)
        if body is not None:
            self._observe("ram")
        return body

    @property
    def reads_count(self) -> int:
        """How many reads of the lower tier are in flight."""
        return len(self._reads)

    def is_ready(self, key: BodyKey) -> bool:
        """Tell whether the body is in RAM."""
        return key in self._ram

    def is_reading(self, key: BodyKey) -> bool:
        """Tell whether a read of this body is in flight: joining it costs the lower tier nothing."""
        return key in self._reads

    async def read(self, key: BodyKey) -> bytes:
        """Return the whole body. A reader that is cancelled leaves the shared read to the others."""
        body = self.read_now(key)
        if body is not None:
            return bytes(body)  # copies a view: deliveries ask `read_now`
        return await asyncio.shield(self.begin_read(key))

    async def read_intact(self, key: BodyKey) -> bytes:
        """Return the whole body: all that is here was checked."""
        return await self.read(key)

    def begin_read(self, key: BodyKey) -> asyncio.Task[bytes]:
        """Return the read of a body that is not in RAM: the one in flight, or a new one that counts from now on.

        It is shared: who waits for it must not cancel it (`asyncio.shield`, or a callback). A fault nobody looks at
        is no complaint.
        """
        reading = self._reads.get(key)
        if reading is not None:
            self._observe("shared")
            return reading
        self._observe("ssd")
        reading = asyncio.create_task(self._read_below(key))
        # Whether or not a reader is left to see a fault, it has been noticed.
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._reads[key] = reading
        return reading

    async def delete(self, key: BodyKey) -> None:
        """Remove one body from both tiers."""
        self._ram.drop(key)
        await self._lower.delete(key)

    async def set_aside(self, key: BodyKey) -> bool:
        """Take a damaged body away below. What is in RAM was checked."""
        return await self._lower.set_aside(key)

    async def remove_bucket(self, event_id: str, bucket: int | None, files_count_max: int) -> Removed:
        """Remove bodies from both tiers."""
        if self._removing != (event_id, bucket):  # looks through all of RAM, so once for a bucket
            self._ram.drop_bucket(event_id, bucket)
        removed = await self._lower.remove_bucket(event_id, bucket, files_count_max)
        self._removing = None if removed.is_done else (event_id, bucket)
        return removed

    async def _read_below(self, key: BodyKey) -> bytes:
        begun_s = time.monotonic()
        try:
            body = await self._read_lower(key)
            self._ram.put(key, body)
            return body
        finally:
            self._observe_read(time.monotonic() - begun_s)
            del self._reads[key]

    async def _read_and_check(self, key: BodyKey) -> bytes:
        body = await self._lower.read(key)
        if not await asyncio.to_thread(is_intact, key, body):
            raise not_intact(was_set_aside=await self._lower.set_aside(key))
        return body
