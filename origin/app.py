"""The composition root: what an origin is made of, and the order in which it starts and stops."""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from config.model import Address, Settings
from origin.admin import Admin, Insight
from origin.background import run_in_thread
from origin.clock import Clock, SystemClock
from origin.collector import Collector
from origin.decider import Decider
from origin.deliver_side import DeliverSide, Shared, connection_limits, watch_connections
from origin.desync import DesyncWatch
from origin.disk_watch import DiskWatch
from origin.health import Health, State
from origin.intake import Intake
from origin.logs import fields
from origin.metrics import Metrics
from origin.publish import Publisher, PublishLimits
from origin.recovery import sweep
from origin.routes import admin_edge, publish_edge
from origin.server import OriginServer
from origin.target import Programmes
from origin.time_watch import TimeWatch
from origin.upload_lane import UploadLaneServer
from origin.workers_desk import WorkersDesk
from selection.capacity import CapacityLevel
from storage.base import Stores
from storage.bodies import FileBodies
from storage.catalog import MemoryCatalog
from storage.errors import StorageError
from storage.journal import FileJournal
from storage.media_places import media_place
from storage.ram import Ram, RamTier
from storage.records import Chosen, Entry
from storage.shared_ram import SharedRam

log = logging.getLogger(__name__)

BACKLOG: Final = 1024
# Uploads have been waited for when their connections are shut down; what is left then is to be cut.
CUT_AFTER_MS: Final = 500
# How often a recovery that takes long is told of in the log.
PROGRESS_S: Final = 1.0
# How much of a packager's next request is taken while the one before it is still being stored, in bytes: twice
# this. A packager that leaves takes back what has not been read by then; with aiohttp's own 256 KiB, that was
# every second of two 1 MB segments in a row. 8 MiB hold the segments of 30 Mbit/s.
UPLOAD_BUFFER_BYTES: Final = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Apart:
    """The sockets of an origin whose deliver listener is in other processes.

    Args:
        names: Of these processes.
    """

    publish: Sequence[socket.socket]
    admin: Sequence[socket.socket]
    feed: socket.socket
    names: Sequence[str]


class Origin:
    """One origin in one process, or the publish process of one in several.

    Args:
        settings: Checked configuration.
        clock: The wall clock; tests bring their own.
        registry: Where metrics are made; a new one by default.
        apart: Where to listen if deliver processes run apart.

    After `start`, `publish_address`, `deliver_address` and `admin_address` tell the (host, port) in use.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
        apart: Apart | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.health = Health()
        self.programmes = Programmes(settings.to_events())
        self.catalog = MemoryCatalog()
        self.metrics = Metrics(
            registry or CollectorRegistry(),
            self.programmes.events.values(),
            self.clock.now_ms,
            self.catalog.newest_number,
        )
        root, fsync = Path(settings.storage.path), settings.storage.acknowledge == "fsync"
        self._root = root
        self._files = FileBodies(root / "bodies", fsync=fsync)
        self.journal = FileJournal(root / "journal", fsync=fsync, standing=self.catalog.standing)
        self._apart = apart
        self._desk = None if apart is None else WorkersDesk(apart.feed, apart.names, self.clock)
        self._ram, self._shared_ram = self._make_ram()
        shared = self._shared = Shared(settings, self.programmes, self.clock, self.metrics, connection_limits(settings))
        self._deliver = DeliverSide(shared, self._ram, self._files)
        self.waiters = self._deliver.waiters
        self.stores = Stores(self._deliver.bodies, self.journal, self.catalog)
        self._decider = Decider(self.programmes.events, self.stores, self.clock, self.metrics.observe_fault)
        self._intake = Intake(
            self.programmes.events, self.stores, self._decider, self.clock, on_fault=self.metrics.observe_fault
        )
        self._disk = DiskWatch(root, settings.storage, lambda: self.catalog.used_bytes, self.clock)
        self._time = TimeWatch(self.programmes.events, self.clock, root / "clock-in-doubt")
        self._collecting: asyncio.Task[None] | None = None
        self._runners: dict[str, web.ServerRunner] = {}  # by listener
        self._upload_server: UploadLaneServer | None = None
        self._publisher: Publisher | None = None
        self._publish_metrics()

    async def start(self) -> None:
        """Recover what was recorded, then open the listeners: admin first, publish and deliver when ready.

        Raises:
            StorageError: The disk cannot be used. OSError: An address is in use.
        """
        try:
            admin = OriginServer(admin_edge(self._admin()).handle)
            apart = self._apart
            self.admin_address = await self._listen("admin", admin, None if apart is None else apart.admin)
            self.health.state = State.RECOVERING
            await asyncio.to_thread(self._recover)  # probes are answered meanwhile
            await self._open_deliver()
            self._upload_server = self._publish_server()
            self.publish_address = await self._listen(
                "publish", self._upload_server, None if apart is None else apart.publish, patience_ms=CUT_AFTER_MS
            )
        except BaseException:
            await self.stop()
            raise
        self._decider.resume()
        self._collecting = asyncio.create_task(self._collector().run())
        self.health.state = State.READY
        if self._apart is not None:
            log.info("publishing", extra=fields(sequence=self.journal.next_moment(0).sequence - 1))
            return
        log.info(
            "ready",
            extra=fields(
                publish=url_of(self.publish_address),
                deliver=url_of(self.deliver_address),
                admin=url_of(self.admin_address),
                events=self.programmes.ids,
            ),
        )

    async def stop(self) -> None:
        """Stop being ready, answer held requests, let requests in progress end, then close the storage."""
        if self.health.state is State.STOPPING:
            return
        self.health.state = State.STOPPING
        log.info("stopping", extra=fields(held=self.waiters.count))
        await self.waiters.close()
        await asyncio.gather(self._clean_up("deliver"), self._finish_uploads())
        self._decider.stop()
        if self._desk is not None:
            await self._desk.close()
        self._deliver.close()
        if self._collecting is not None:
            self._collecting.cancel()
            await asyncio.gather(self._collecting, return_exceptions=True)
        await asyncio.to_thread(self._files.close)
        try:
            await asyncio.to_thread(self.journal.close)
        except StorageError as exc:
            log.error("journal not flushed at the end", extra=fields(error=str(exc)))
        await self._clean_up("admin")
        log.info("stopped")

    async def _clean_up(self, listener: str) -> None:
        """End a listener, if it was opened."""
        if listener in self._runners:
            await self._runners[listener].cleanup()

    async def _finish_uploads(self) -> None:
        """Take no new connection, let uploads in progress end, then cut what is left.

        Before aiohttp's own clean-up, which stops reading at once: the body of an upload would be lost.
        """
        runner = self._runners.get("publish")
        if runner is None:
            return
        await asyncio.gather(*(site.stop() for site in runner.sites))
        if self._publisher is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.stop_timeout_ms / 1000):
                    await self._publisher.finish()
        await self._clean_up("publish")
        if self._upload_server is not None:
            await self._upload_server.drain()

    def _recover(self) -> None:
        """Fold the journal into the catalog; only then do metrics and waiting requests follow it."""
        self._root.mkdir(parents=True, exist_ok=True)
        self.journal.follow(self.catalog.apply)
        begun_s = time.monotonic()
        replay = self.journal.open(_Progress(self.health))  # first: it is refused when another origin has this folder
        newest_ms = self.journal.next_moment(0).ms or None  # before anything is recorded at the time in question
        leftovers_count = self._files.open(self.catalog.used_bytes)
        is_complete = bool(replay.entries_count) and not (replay.damaged_count or replay.missing_count)
        swept = sweep(self._files, self.stores, self.clock, is_complete=is_complete)
        self.health.progress = 1.0
        self._time.compare_with_records(newest_ms)
        self._disk.look()
        self.journal.follow(self._wake)
        self.journal.follow(self._time.observe_entry)
        self.journal.follow(DesyncWatch(self.programmes, self.catalog, self.metrics).observe)
        self.journal.follow(self.metrics.observe_entry)
        log.info(
            "recovered",
            extra=fields(
                entries=replay.entries_count,
                damaged=replay.damaged_count,
                missing=replay.missing_count,
                torn_bytes=replay.torn_bytes,
                files=replay.files_count,
                seconds=round(time.monotonic() - begun_s, 3),
                unfinished_bodies=leftovers_count,
                unrecorded_bodies=swept.unrecorded_count,
                lost_bodies=swept.lost_count,
            ),
        )
        if replay.damaged_count or replay.missing_count:
            self.metrics.observe_fault(StorageError("journal-damage", f"{replay.missing_count} records"))

    def _wake(self, entry: Entry) -> None:
        """Catalog before wake: who is woken looks there."""
        if isinstance(entry.record, Chosen):
            self.waiters.wake(entry.record.key)

    def _make_ram(self) -> tuple[Ram, SharedRam | None]:
        """Return the memory for bodies: in one process its own, else shared with the deliver processes."""
        capacity_bytes, place_of = self.settings.storage.ram_bytes, partial(media_place, self.programmes.events)
        if self._desk is None:
            return RamTier(capacity_bytes, place_of), None
        shared = SharedRam(capacity_bytes, place_of, self._desk.announce, run=run_in_thread)
        return shared, shared

    async def _open_deliver(self) -> None:
        """Open the deliver listener, or let the processes in that have it."""
        if self._desk is None:
            server = self._deliver.open(self.catalog, self._intake.check_lost)
            self.deliver_address = await self._listen("deliver", server)
        else:
            assert self._shared_ram is not None, "made together with the desk"
            self._desk.open(self.journal, self.catalog, self._shared_ram, self._intake.check_lost)

    def _admin(self) -> Admin:
        insight = Insight(self.programmes, self.catalog, self.clock, self._time, self._disk)
        registry, desk = self.metrics.registry, self._desk
        if desk is None:
            return Admin(partial(generate_latest, registry), self.health, insight)
        return Admin(partial(desk.render, registry), self.health, insight, desk.status)

    def _collector(self) -> Collector:
        return Collector(self.programmes.events, self.stores, self.clock, self._time, self._disk, self.metrics)

    def _publish_server(self) -> UploadLaneServer:
        settings = self.settings
        self._publisher = Publisher(
            self.programmes,
            self._intake,
            self.catalog,
            self.clock,
            self.metrics,
            PublishLimits(
                segment_bytes=settings.limits.segment_bytes,
                manifest_bytes=settings.limits.manifest_bytes,
                body_idle_ms=settings.limits.body_idle_ms,
                uploads_count=settings.limits.uploads,
                has_space=self._disk.has_space,
            ),
        )
        edge = publish_edge(self._publisher, self.metrics, log_lines=settings.log.lines_per_second)
        # A refused body is read to its end and dropped: closing a persistent connection would kill ffmpeg.
        linger_s = settings.limits.body_idle_ms / 1000
        server = UploadLaneServer(
            self._publisher,
            edge,
            lingering_time=linger_s,
            read_bufsize=UPLOAD_BUFFER_BYTES,
            limits=self._shared.connections,
            observe=self.metrics.refusal_observer("publish"),
        )
        watch_connections(self.metrics, "publish", server)
        return server

    async def _listen(
        self,
        listener: str,
        server: OriginServer,
        sockets: Sequence[socket.socket] | None = None,
        patience_ms: int | None = None,
    ) -> tuple[str, int]:
        """Open a listener, at its address in the settings or with sockets that listen already.

        At the end it waits for requests in progress, by default for the stop timeout.
        """
        if patience_ms is None:
            patience_ms = max(self.settings.stop_timeout_ms, 1)  # for aiohttp 0 means for ever
        runner = web.ServerRunner(server, shutdown_timeout=patience_ms / 1000)
        await runner.setup()
        self._runners[listener] = runner
        if sockets is None:
            address: Address = getattr(self.settings.listen, listener)
            await web.TCPSite(runner, address.host, address.port, backlog=BACKLOG).start()
        for each in sockets or ():
            await web.SockSite(runner, each, backlog=BACKLOG).start()
        host, port = runner.addresses[0][:2]
        return host, port

    def _publish_metrics(self) -> None:
        limits = self.settings.limits
        self.metrics.set_limits(
            {
                "holds": limits.holds,
                "holds_per_event": limits.holds_per_event,
                "holds_per_segment": limits.holds_per_segment,
                "connections": self._shared.connections.connections_count,
                "connections_per_address": self._shared.connections.connections_per_address,
                "reads": limits.reads,
                "unsent_bytes": limits.unsent_bytes,
                "uploads": limits.uploads,
                "segment_bytes": limits.segment_bytes,
                "ram_bytes": self.settings.storage.ram_bytes,
                "ssd_bytes": self.settings.storage.ssd_bytes,
            }
        )
        self.metrics.ram_used.set_function(partial(getattr, self._ram, "used_bytes"))
        self.metrics.ram_evictions.set_function(partial(getattr, self._ram, "evictions_count"))
        self.metrics.ram_refusals.set_function(partial(getattr, self._ram, "refusals_count"))
        self.metrics.ssd_used.set_function(lambda: float(self.catalog.used_bytes))
        for level in CapacityLevel:
            self.metrics.disk_level.labels(level.value).set_function(partial(self._is_at, level))
        self.metrics.clock_trusted.set_function(lambda: float(self._time.is_trusted))
        self.metrics.ready.set_function(lambda: float(self.health.is_ready))

    def _is_at(self, level: CapacityLevel) -> float:
        return float(self._disk.level is level)


class _Progress:
    """Tells how far the replay of the journal is: probes always, the log about once a second."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._told_s = time.monotonic()

    def __call__(self, read_bytes: int, total_bytes: int) -> None:
        self._health.progress = read_bytes / max(total_bytes, 1)
        if time.monotonic() - self._told_s >= PROGRESS_S:
            self._told_s = time.monotonic()
            log.info("recovering", extra=fields(progress=round(self._health.progress, 3), read_bytes=read_bytes))


def url_of(address: tuple[str, int]) -> str:
    """Return the URL of a listener."""
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
