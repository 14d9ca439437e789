"""A deliver process's end of the feed: its catalog follows that of the publish process.

While the publish process is away, or has to be asked anew for everything, the catalog stays as it was: what was
chosen is delivered, and `is_in_sync` tells that there may be more.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from origin.clock import Clock
from origin.feed.channel import Channel, close_all
from origin.feed.following import FollowingCatalog
from origin.feed.hooks import ClientHooks
from origin.feed.replica import Replica
from origin.feed.wire import (
    VERSION,
    FeedFault,
    FrameType,
    Heartbeat,
    Hello,
    Join,
    Lost,
    LostDone,
    SnapshotEnd,
    Status,
    decode_message,
    encode_message,
)
from origin.logs import fields
from selection.model import Candidate, SegmentKey
from storage.catalog import MemoryCatalog
from storage.records import ALL, decode

log = logging.getLogger(__name__)

# Ten heartbeats: with fewer, a machine that is busy for a moment would look like a publish process that is gone.
LAG_MS_MAX: Final = 1_000
RETRY_MS: Final = 50
RETRY_MS_MAX: Final = 500
REPORT_MS_MAX: Final = 1_000
REPORTS_MAX: Final = 256

_ReportKey = tuple[SegmentKey, str, str]


class FeedClient:
    """Keeps a catalog that follows the publish process behind a UNIX socket.

    Args:
        path: Of the socket.
        make_catalog: Returns an empty catalog; called for every snapshot.
        name: Of this deliver process, as the publish process is to call it.

    After the first snapshot `catalog` is complete; `first_sync` tells when. `snapshots_count` and `faults_count` count
    how often it was made anew, and how often because something on the connection was missing or wrong.
    """

    def __init__(
        self,
        path: str,
        make_catalog: Callable[[], MemoryCatalog],
        hooks: ClientHooks,
        clock: Clock,
        name: str = "deliver",
    ) -> None:
        self._path = path
        self._make_catalog = make_catalog
        self._hooks = hooks
        self._clock = clock
        self._name = name
        self.catalog = FollowingCatalog(make_catalog())
        self.generation: str | None = None
        self.first_sync = asyncio.Event()
        self.snapshots_count = self.faults_count = 0
        self._replica = Replica(self.catalog, make_catalog)
        self._channel: Channel | None = None
        self._heard_ms = clock.monotonic_ms()
        self._applied_sequence = 0
        self._running: asyncio.Task[None] | None = None
        self._discarding: asyncio.Task[None] | None = None
        self._reports: dict[_ReportKey, asyncio.Future[None]] = {}
        self._report_ids: dict[int, asyncio.Future[None]] = {}
        self._last_report_id = 0

    # -- How far it is

    @property
    def is_following(self) -> bool:
        """Whether the catalog is complete and every record reaches it."""
        return self._channel is not None and not self._channel.is_closed and self._replica.is_complete

    @property
    def is_in_sync(self) -> bool:
        """Whether the catalog has everything up to a second ago; False also while the publish process is silent."""
        return self.is_following and self.lag_ms <= LAG_MS_MAX

    @property
    def lag_ms(self) -> int:
        """How old what the catalog has may be: the time since the last heartbeat, before which all is known."""
        return max(self._clock.monotonic_ms() - self._heard_ms, 0)

    @property
    def sequence(self) -> int:
        """The place in the journal of the last record that the catalog knows of."""
        return self._replica.sequence if self._replica.is_complete else self._applied_sequence

    # -- Life

    def start(self) -> None:
        """Begin to connect, again and again."""
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End the connection. The catalog stays as it is."""
        for task in (self._running, self._discarding):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._running = self._discarding = None

    async def report_lost(self, key: SegmentKey, candidate: Candidate) -> None:
        """Tell that a chosen body could not be read, and wait until it is known what follows, for a second at most.

        Returns at once while the publish process is away, or when very many are reported already. Who reports the
        same copy as somebody else waits with that.
        """
        about = (key, candidate.pipeline_id, candidate.digest)
        done = self._reports.get(about)
        if done is None:
            if not self.is_following or len(self._reports) >= REPORTS_MAX:
                return
            done = self._send_report(about)
        with suppress(TimeoutError):
            async with asyncio.timeout(REPORT_MS_MAX / 1000):
                await asyncio.shield(done)
        if not done.done():
            # No answer will be waited for any more; the next report asks again.
            done.set_result(None)

    def send_metrics(self, payload: bytes) -> None:
        """Send what the publish process is to show of this process; not sent while that is away."""
        if self._channel is not None:
            self._channel.send(FrameType.METRICS, payload)

    # -- Connections

    async def _run(self) -> None:
        retry_ms = RETRY_MS
        while True:
            retry_ms = RETRY_MS if await self._connect_once() else min(retry_ms * 2, RETRY_MS_MAX)
            await asyncio.sleep(retry_ms / 1000)

    async def _connect_once(self) -> bool:
        """Follow one connection to its end. Returns whether it brought a catalog."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            connection.connect(self._path)  # of a UNIX socket it is at once or not at all
        except OSError:  # nobody listens, or very many wait to be let in
            connection.close()
            return False
        self._applied_sequence = self.sequence
        self._replica = Replica(self.catalog, self._make_catalog)
        ended = asyncio.Event()
        self._channel = channel = Channel(connection, self._take, lambda reason: ended.set())
        channel.send(FrameType.JOIN, encode_message(Join(VERSION, self._name, os.getpid())))
        try:
            await ended.wait()
        finally:
            channel.close("stopping")
            self._leave(channel)
        return self._replica.is_complete

    def _leave(self, channel: Channel) -> None:
        self.faults_count += channel.is_faulty
        for done in self._report_ids.values():
            if not done.done():
                done.set_result(None)
        reason = channel.closed_by or ""
        if channel.is_faulty or self._replica.is_complete:
            log.warning("feed ended", extra=fields(reason=reason, sequence=self.sequence))
        if self._replica.is_complete:
            self._hooks.on_sync(False, reason)

    # -- Frames

    def _take(self, kind: FrameType, payload: bytes, descriptors: tuple[int, ...]) -> None:
        if kind is FrameType.ARENA and len(descriptors) == 1:
            self._hooks.on_arena(payload, descriptors[0])
            return
        close_all(descriptors)
        match kind:
            case FrameType.ENTRIES:
                for entry in self._replica.take_entries(payload):
                    self._hooks.on_entry(entry)
            case FrameType.PLACED:
                self._hooks.on_placed(payload)
            case FrameType.GONE:
                self._hooks.on_gone(payload)
            case FrameType.HEARTBEAT:
                self._take_heartbeat(decode_message(Heartbeat, payload))
            case FrameType.SNAPSHOT:
                self._replica.take_snapshot(payload)
            case FrameType.SNAPSHOT_END:
                self._take_over(decode_message(SnapshotEnd, payload))
            case FrameType.HELLO:
                hello = decode_message(Hello, payload)
                self._replica.begin(hello)
                self.generation = hello.generation
            case FrameType.LOST_DONE:
                done = self._report_ids.get(decode_message(LostDone, payload).report_id)
                if done is not None and not done.done():
                    done.set_result(None)
            case _:
                raise FeedFault(f"{kind.name} from the publish process")

    def _take_heartbeat(self, heartbeat: Heartbeat) -> None:
        self._replica.check(heartbeat)
        self._heard_ms = heartbeat.sent_ms
        assert self._channel is not None
        self._channel.send(FrameType.STATUS, encode_message(Status(heartbeat.sequence, heartbeat.sent_ms)))

    def _take_over(self, end: SnapshotEnd) -> None:
        former = self._replica.end_snapshot(end)
        self._heard_ms = self._clock.monotonic_ms()
        self.snapshots_count += 1
        self._discarding = asyncio.create_task(_discard(former, self._discarding))
        log.info("feed followed", extra=fields(sequence=self.sequence, generation=self.generation))
        self.first_sync.set()
        self._hooks.on_sync(True, "")
        # Of what was recorded before the snapshot nobody is told record by record.
        self._hooks.on_swapped([key for key in self._hooks.waiting() if self.catalog.choice(key) is not None])

    def _send_report(self, about: _ReportKey) -> "asyncio.Future[None]":
        key, pipeline_id, digest = about
        self._last_report_id = report_id = self._last_report_id + 1
        done = asyncio.get_running_loop().create_future()
        self._reports[about] = self._report_ids[report_id] = done

        def forget(_: "asyncio.Future[None]") -> None:
            del self._reports[about], self._report_ids[report_id]

        done.add_done_callback(forget)
        lost = Lost(report_id, key.event_id, key.rendition_id, key.number, pipeline_id, digest)
        assert self._channel is not None
        self._channel.send(FrameType.LOST, encode_message(lost))
        return done


async def _discard(catalog: MemoryCatalog, before: "asyncio.Task[None] | None") -> None:
    """Give the memory of a large catalog back a bucket at a time: all of a million copies at once takes long."""
    if before is not None:
        await before
    for event_id in catalog.event_ids():
        for bucket in sorted(catalog.bucket_numbers(event_id)):
            catalog.apply(decode(f"0 0 collected {event_id} {bucket}"))
            await asyncio.sleep(0)
        catalog.apply(decode(f"0 0 collected {event_id} {ALL}"))
