"""Deletes what has aged out, by the events' clock, in small timed steps: whole time buckets, then whole events.

The record comes first: from then on nothing speaks of the bucket any more, and a crash while its files go leaves
files without a record, which the next start removes. Only where no record can be written, because the disk is full,
do the files go first, to make the space for it; nobody is served from a bucket that has left the window.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from origin.clock import Clock
from origin.disk_watch import DiskWatch
from origin.logs import fields
from origin.metrics import Metrics
from origin.time_watch import TimeWatch
from selection.model import Event
from selection.retention import collectable, event_is_over
from storage.base import SEGMENTS_PER_BUCKET, Catalog, Stores
from storage.errors import StorageError, StorageFull
from storage.records import Collected

log = logging.getLogger(__name__)

# How often it is asked what has aged out; a bucket lasts about a minute.
INTERVAL_S: Final = 1.0
# Files removed in one go, and the pause before the next: a few ms of the disk, then others have their turn.
STEP_FILES: Final = 64
STEP_PAUSE_S: Final = 0.02

# A bucket of an event; None for all of it that has no number.
Bucket = tuple[str, int | None]


def due_buckets(events: Mapping[str, Event], catalog: Catalog, disk: DiskWatch, now_ms: int) -> Iterator[Bucket]:
    """Yield what has aged out, the oldest of each event first."""
    known = set(catalog.event_ids())
    for event in events.values():
        if event.id not in known:
            continue
        buckets, retention_ms = catalog.bucket_numbers(event.id), disk.retention_ms(event)
        if event_is_over(event, now_ms, retention_ms):
            yield from ((event.id, bucket) for bucket in sorted(buckets))
            yield event.id, None
        elif buckets and _collectable(event, [min(buckets)], now_ms, retention_ms):  # else none is: asked every second
            yield from ((event.id, bucket) for bucket in _collectable(event, buckets, now_ms, retention_ms))


def _collectable(event: Event, buckets: Sequence[int], now_ms: int, retention_ms: int) -> list[int]:
    return collectable(event, buckets, now_ms, retention_ms, segments_per_bucket=SEGMENTS_PER_BUCKET)


class Collector:
    """Collects what has aged out on one node."""

    def __init__(
        self,
        events: Mapping[str, Event],
        stores: Stores,
        clock: Clock,
        time: TimeWatch,
        disk: DiskWatch,
        metrics: Metrics,
    ) -> None:
        self._events = events
        self._stores = stores
        self._clock = clock
        self._time = time
        self._disk = disk
        self._metrics = metrics
        self._unfinished: set[Bucket] = set()  # recorded, and still with files

    async def run(self) -> None:
        """Watch and collect until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.collect()
            except StorageError as exc:
                self._metrics.observe_fault(exc)
                log.error("not collected, trying again", extra=fields(error=str(exc)))
            except Exception:  # a mistake of ours must not fill the disk
                log.exception("not collected, trying again")

    async def collect(self) -> int:
        """Look at clocks and disk, then collect everything that is due; returns how many buckets went.

        Raises:
            StorageError: Some may be left.
        """
        self._time.look()
        await asyncio.to_thread(self._disk.look)
        unfinished = list(self._unfinished)
        buckets_count = 0
        for event_id, bucket in list(due_buckets(self._events, self._stores.catalog, self._disk, self._clock.now_ms())):
            self._time.look()
            if not self._time.is_trusted:
                break  # a step since the last bucket
            await self._collect_bucket(event_id, bucket)
            buckets_count += 1
        for event_id, bucket in unfinished:  # the disk failed in the middle of it; last, as it may fail again
            if not self._is_known_again(event_id, bucket):
                await self._remove(event_id, bucket)
            self._unfinished.discard((event_id, bucket))
        return buckets_count

    async def _collect_bucket(self, event_id: str, bucket: int | None) -> None:
        try:
            self._record(event_id, bucket)
        except StorageFull:
            await self._remove(event_id, bucket)
            self._record(event_id, bucket)
            return
        self._unfinished.add((event_id, bucket))
        await self._remove(event_id, bucket)
        self._unfinished.discard((event_id, bucket))

    def _is_known_again(self, event_id: str, bucket: int | None) -> bool:
        """Tell whether something was published into a bucket since it was recorded as collected."""
        return bool(self._stores.catalog.expected_bodies(event_id, bucket))

    async def _remove(self, event_id: str, bucket: int | None) -> None:
        files_count = size_bytes = 0
        while True:
            removed = await self._stores.bodies.remove_bucket(event_id, bucket, STEP_FILES)
            files_count += removed.files_count
            size_bytes += removed.size_bytes
            if removed.is_done:
                break
            await asyncio.sleep(STEP_PAUSE_S)
        self._metrics.observe_collected(event_id, size_bytes)
        log.info("collected", extra=fields(event=event_id, bucket=bucket, files=files_count, bytes=size_bytes))

    def _record(self, event_id: str, bucket: int | None) -> None:
        moment = self._stores.journal.next_moment(self._clock.now_ms())
        self._stores.journal.append(Collected(event_id, bucket), moment)
