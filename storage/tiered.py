"""RAM over SSD: a body is written to both, read from the first that has it, and read from SSD once at a time.

However many readers miss the same body together, the lower tier is asked once and all share the answer.
"""

import asyncio
from collections.abc import Callable

from storage.base import Bodies, BodyKey, Incoming, Removed, is_intact
from storage.errors import BodyDamaged, StorageError
from storage.ram import RamTier

Observer = Callable[[str], None]


class TieredBodies:
    """Implements `storage.base.Bodies` over a lower tier.

    Args:
        observe: Told `ram`, `ssd` or `shared` for every read: where it was answered from.
    """

    def __init__(self, ram: RamTier, lower: Bodies, observe: Observer) -> None:
        self._ram = ram
        self._lower = lower
        self._observe = observe
        self._reads: dict[BodyKey, asyncio.Task[bytes]] = {}
        self._removing: tuple[str, int | None] | None = None

    async def write(self, key: BodyKey, body: bytes) -> None:
        """Store below first: what is in RAM is always on SSD, too."""
        await self._lower.write(key, body)
        self._ram.put(key, body)

    def incoming(self) -> Incoming:
        """Return a body that comes in below."""
        return self._lower.incoming()

    async def adopt(self, incoming: Incoming, key: BodyKey, body: bytes) -> None:
        """Store below first, as `write` does."""
        await self._lower.adopt(incoming, key, body)
        self._ram.put(key, body)

    def read_now(self, key: BodyKey) -> bytes | None:
        """Return the body if that takes no waiting, else None."""
        body = self._ram.get(key)
        if body is not None:
            self._observe("ram")
        return body

    async def read(self, key: BodyKey) -> bytes:
        """Return the whole body. A reader that is cancelled leaves the shared read to the others."""
        body = self.read_now(key)
        if body is not None:
            return body
        reading = self._reads.get(key)
        if reading is None:
            self._observe("ssd")
            reading = asyncio.create_task(self._read_below(key))
            # Whether or not a reader is left to see a fault, it has been noticed.
            reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._reads[key] = reading
        else:
            self._observe("shared")
        return await asyncio.shield(reading)

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
        try:
            body = await self._lower.read(key)
            if not await asyncio.to_thread(is_intact, key, body):
                if await self._lower.set_aside(key):
                    raise BodyDamaged("body-read", "the bytes are not those that were stored")
                raise StorageError("body-read", "the bytes were not those that are stored; read it again")
            self._ram.put(key, body)
            return body
        finally:
            del self._reads[key]
