"""The deliver listener in a process of its own: a catalog that follows the publish process, bodies in shared memory."""

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from config.model import Settings
from origin.background import run_in_thread
from origin.children import ChildContext
from origin.clock import Clock, SystemClock
from origin.deliver_side import DeliverSide, Shared, connection_limits
from origin.feed.client import FeedClient
from origin.feed.hooks import ClientHooks
from origin.logs import LogWriter, fields
from origin.memory_news import MemoryFollower
from origin.metrics import Metrics
from origin.metrics_merge import export
from origin.target import Programmes
from origin.workers_desk import BASELINE, CURRENT, metrics_payload
from selection.model import SegmentKey
from storage.bodies import FileBodies
from storage.catalog import MemoryCatalog
from storage.records import Entry
from storage.shared_ram_reader import SharedRamReader

log = logging.getLogger(__name__)

METRICS_INTERVAL_S: Final = 1.0
# Told by the supervisor when a successor takes requests: end, but answer those who are held with what they wait for.
DRAIN: Final = signal.SIGUSR1
# How much of the stop timeout those have, in hundredths; the rest is for telling those who waited in vain.
DRAIN_PERCENT: Final = 90
# Bounds of all deliver processes together.
SHARED_LIMITS: Final = (
    "holds",
    "holds_per_event",
    "holds_per_segment",
    "connections",
    "connections_per_address",
    "reads",
    "unsent_bytes",
)


def share_of(settings: Settings, workers: int) -> Settings:
    """Return the settings of one of so many deliver processes: bounds on all of them together are shared out."""
    limits = settings.limits
    shares = {name: -(-getattr(limits, name) // workers) for name in SHARED_LIMITS}
    return settings.model_copy(update={"limits": limits.model_copy(update=shares)})


class DeliverProcess:
    """One of several deliver processes of a node.

    Args:
        settings: Of all of them together.
        feed_path: Where the publish process tells what happens.
    """

    def __init__(self, settings: Settings, name: str, feed_path: str, clock: Clock | None = None) -> None:
        own = share_of(settings, max(settings.workers, 1))
        self._settings = own
        self._clock = clock or SystemClock()
        self._process_id = time.time_ns()
        self._registry = CollectorRegistry()
        programmes = Programmes(own.to_events())
        ram = SharedRamReader(settings.storage.ram_bytes, run=run_in_thread)
        memory = MemoryFollower(ram)
        hooks = ClientHooks(
            on_entry=self._wake,
            waiting=lambda: self.side.waiters.keys,
            on_swapped=self._wake_all,
            on_arena=memory.on_arena,
            on_placed=memory.on_placed,
            on_gone=memory.on_gone,
            on_sync=self._note_sync,
        )
        self.client = FeedClient(feed_path, MemoryCatalog, hooks, self._clock, name)
        metrics = Metrics(self._registry, (), self._clock.now_ms, self.client.catalog.newest_number)
        shared = Shared(own, programmes, self._clock, metrics, connection_limits(own))
        self._files = FileBodies(Path(own.storage.path) / "bodies", fsync=False)
        self.side = DeliverSide(shared, ram, self._files)
        self._told: bytes | None = None
        self._generation: str | None = None
        self._telling: asyncio.Task[None] | None = None
        self._runner: web.ServerRunner | None = None
        self._cleaning: asyncio.Task[None] | None = None

    async def start(self, context: ChildContext, socket_name: str) -> None:
        """Follow the publish process, then take requests; connections made before wait."""
        self.client.start()
        await self.client.first_sync.wait()
        server = self.side.open(self.client.catalog, self.client.report_lost)
        stop_s = max(self._settings.stop_timeout_ms, 1) / 1000
        self._runner = web.ServerRunner(server, shutdown_timeout=stop_s)
        await self._runner.setup()
        for listener in context.sockets[socket_name]:
            await web.SockSite(self._runner, listener).start()
        self._telling = asyncio.create_task(self._tell_metrics())
        log.info("delivering", extra=fields(worker=context.name, sequence=self.client.sequence))

    async def drain(self, hurry: asyncio.Event) -> None:
        """Take no new requests, and wait until nobody is held any more, or for most of the stop timeout.

        Connections without a request are closed at once: what comes on them would not be answered here.

        Args:
            hurry: Set when there is no time for that any more.
        """
        if self._runner is None:
            return
        log.info("draining", extra=fields(held=self.side.waiters.count))
        self._cleaning = asyncio.create_task(self._runner.cleanup())
        hurrying = asyncio.create_task(hurry.wait())
        drain_s = self._settings.stop_timeout_ms * DRAIN_PERCENT / 100_000
        await asyncio.wait((self._cleaning, hurrying), timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()

    async def stop(self) -> None:
        """Answer held requests, let requests in progress end, then end."""
        await self.side.waiters.close()
        if self._cleaning is not None:
            await self._cleaning
        elif self._runner is not None:
            await self._runner.cleanup()
        self.side.close()
        if self._telling is not None:
            self._telling.cancel()
            with suppress(asyncio.CancelledError):
                await self._telling
            self._send_metrics()
            await asyncio.sleep(0)  # the turn of the loop in which it is sent
        await self.client.close()
        await asyncio.to_thread(self._files.close)

    def _wake(self, entry: Entry) -> None:
        if entry.kind == "chosen":
            self.side.waiters.wake(entry.key)

    def _wake_all(self, keys: Sequence[SegmentKey]) -> None:
        for key in keys:
            self.side.waiters.wake(key)

    def _note_sync(self, is_in_sync: bool, reason: str) -> None:
        log.info("following" if is_in_sync else "behind", extra=fields(reason=reason, sequence=self.client.sequence))

    async def _tell_metrics(self) -> None:
        while True:
            self._send_metrics()
            await asyncio.sleep(METRICS_INTERVAL_S)

    def _send_metrics(self) -> None:
        """Send all counts. To another publish process than last time, first what its predecessor had been told."""
        if not self.client.is_following:
            return
        if self._generation is not None and self._generation != self.client.generation and self._told is not None:
            self.client.send_metrics(metrics_payload(BASELINE, self._process_id, self._told))
        self._generation = self.client.generation
        self._told = export(self._registry)
        self.client.send_metrics(metrics_payload(CURRENT, self._process_id, self._told))


def run_deliver(settings: Settings, feed_path: str, context: ChildContext) -> int:
    """Be a deliver process until SIGTERM or `DRAIN`; returns the exit status."""
    writer = LogWriter(settings.log.level)
    writer.start()
    try:
        uvloop.run(_deliver(settings, feed_path, context))
    finally:
        writer.stop()
    return 0


async def _deliver(settings: Settings, feed_path: str, context: ChildContext) -> None:
    hurry, leave = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        hurry.set()
        leave.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    asyncio.get_running_loop().add_signal_handler(DRAIN, leave.set)
    process = DeliverProcess(settings, context.name, feed_path)
    starting = asyncio.create_task(process.start(context, context.name))
    stopping = asyncio.create_task(leave.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        context.ready()
        await stopping
    else:
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
    if not hurry.is_set():
        await process.drain(hurry)
    await process.stop()
