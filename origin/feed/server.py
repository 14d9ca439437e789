"""The publish process's end of the feed: every deliver process gets what exists, then each record as it is made.

A snapshot is taken when a deliver process joins, and is sent as fast as that reads it. What happens meanwhile is
kept for it and sent after it. Nothing here waits for a deliver process: one that is too slow is cut off, and comes
back.

What happens in one turn of the loop goes out together: the places of bodies in memory, then records, so that a body
is placed before the record that speaks of it is told. Everything else that is sent keeps its place among them.
"""

import asyncio
import logging
import secrets
import socket
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

from origin.clock import Clock
from origin.feed.channel import BUFFER_BYTES_MAX, Channel, close_all
from origin.feed.hooks import MemoryNews, ServerHooks, Worker
from origin.feed.wire import (
    BATCH_BYTES,
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
    encode_frame,
    encode_message,
    encode_records,
)
from origin.logs import fields
from storage.base import Journal
from storage.catalog import MemoryCatalog
from storage.catalog_snapshot import CatalogSnapshot
from storage.records import Entry

log = logging.getLogger(__name__)

HEARTBEAT_MS: Final = 100
SESSIONS_MAX: Final = 256
# Losses that one deliver process has looked into at the same time; each may read a body.
REPORTS_AT_ONCE: Final = 16


class _Session:
    """One connection, from its acceptance to its end."""

    def __init__(self, server: "FeedServer", connection: socket.socket, buffer_bytes_max: int) -> None:
        self._server = server
        self._buffer_bytes_max = buffer_bytes_max
        self.channel = Channel(connection, self._take, self._end, buffer_bytes_max)
        self.worker: Worker | None = None
        self.is_live = False
        self._waiting: list[bytes] = []  # frames of records, until the snapshot is sent
        self._waiting_bytes = 0
        self._snapshot: CatalogSnapshot | None = None
        self._sending: asyncio.Task[None] | None = None
        self._looking = asyncio.Semaphore(REPORTS_AT_ONCE)
        self._reports: set[asyncio.Task[None]] = set()

    @property
    def has_joined(self) -> bool:
        return self.worker is not None and not self.channel.is_closed

    def tell(self, places: bytes, records: bytes) -> None:
        """Send the frames of a turn; those of records are kept until the snapshot is sent."""
        if self.is_live:
            self.channel.send_now(places + records)
            return
        if places:
            self.channel.send_encoded(places)
        if records:
            self._waiting.append(records)
        self._waiting_bytes += len(records)
        if self._waiting_bytes > self._buffer_bytes_max:
            self.channel.close("too slow")

    def _take(self, kind: FrameType, payload: bytes, descriptors: tuple[int, ...]) -> None:
        close_all(descriptors)  # nobody has reason to send any
        worker = self.worker
        if worker is None:
            if kind is not FrameType.JOIN:
                raise FeedFault("spoke before it joined")
            self._join(decode_message(Join, payload))
        elif kind is FrameType.STATUS:
            self._note_status(worker, decode_message(Status, payload))
        elif kind is FrameType.LOST:
            task = asyncio.create_task(self._look_into(decode_message(Lost, payload)))
            self._reports.add(task)
            task.add_done_callback(self._reports.discard)
        elif kind is FrameType.METRICS:
            self._server.hooks.on_metrics(worker, payload)
        else:
            raise FeedFault(f"{kind.name} from a deliver process")

    def _join(self, join: Join) -> None:
        if join.version != VERSION:
            raise FeedFault(f"speaks version {join.version} of the feed, not {VERSION}")
        server = self._server
        server.flush()  # what is to be sent now happened before the snapshot
        self.worker = Worker(join.name, join.process_id, 0, 0, server.clock.now_ms())
        sequence = server.sequence
        self.channel.send(FrameType.HELLO, encode_message(Hello(server.generation, sequence)))
        for news in server.hooks.memory():
            self.channel.send(news.kind, news.payload, () if news.descriptor is None else (news.descriptor,))
        # Taken here and now: what is recorded before the task has its first turn is kept for after it.
        self._snapshot = server.catalog.snapshot()
        self._sending = asyncio.create_task(self._send_snapshot(self._snapshot, sequence))
        log.info("deliver process joined", extra=fields(worker=join.name, process=join.process_id, sequence=sequence))

    async def _send_snapshot(self, snapshot: CatalogSnapshot, sequence: int) -> None:
        checksum = 0
        for texts in snapshot:
            for payload in _payloads(texts):
                checksum = zlib.crc32(payload, checksum)
                self.channel.send(FrameType.SNAPSHOT, payload)
            await self.channel.drain()
            await asyncio.sleep(0)
        self.channel.send(FrameType.SNAPSHOT_END, encode_message(SnapshotEnd(sequence, checksum)))
        for frame in self._waiting:
            self.channel.send_encoded(frame)
        self._waiting.clear()
        self.is_live = True

    def _note_status(self, worker: Worker, status: Status) -> None:
        lag_ms = max(self._server.clock.monotonic_ms() - status.sent_ms, 0)
        self.worker = Worker(worker.name, worker.process_id, status.sequence, lag_ms, worker.connected_ms)
        self._server.hooks.on_status(self.worker, status.sequence)

    async def _look_into(self, lost: Lost) -> None:
        try:
            async with self._looking:
                await self._server.hooks.on_lost(lost.key, lost.pipeline_id, lost.digest)
        except Exception:  # the deliver process goes on after a while, too, and asks again
            log.exception("report of a lost body failed")
        self._server.flush()
        self.channel.send(FrameType.LOST_DONE, encode_message(LostDone(lost.report_id)))

    def _end(self, reason: str) -> None:
        for task in (*self._reports, *([] if self._sending is None else [self._sending])):
            task.cancel()
        if self._snapshot is not None:
            self._snapshot.close()
        self._waiting.clear()
        self._server.forget(self)
        worker = self.worker
        if worker is not None:
            log.info("deliver process left", extra=fields(worker=worker.name, process=worker.process_id, reason=reason))
            self._server.hooks.on_left(worker)


class FeedServer:
    """Tells deliver processes what happens. To be made when the journal is open and followed by the catalog.

    Args:
        journal, catalog: What is told. The catalog must follow the journal.
        buffer_bytes_max: What may wait for one deliver process.
    """

    def __init__(
        self,
        journal: Journal,
        catalog: MemoryCatalog,
        clock: Clock,
        hooks: ServerHooks,
        buffer_bytes_max: int = BUFFER_BYTES_MAX,
    ) -> None:
        self.catalog = catalog
        self.clock = clock
        self.hooks = hooks
        self.generation = secrets.token_hex(8)
        self.sequence = journal.next_moment(0).sequence - 1
        self._buffer_bytes_max = buffer_bytes_max
        self._sessions: set[_Session] = set()
        # Of this turn of the loop: frames of places in memory, texts of records, and what they take.
        self._places: list[bytes] = []
        self._batch: list[str] = []
        self._batch_bytes = 0
        self._flushing: asyncio.Handle | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._listener: socket.socket | None = None
        self._emptied = asyncio.Event()
        journal.follow(self._on_entry)

    @property
    def workers(self) -> Sequence[Worker]:
        """Return who follows."""
        return [session.worker for session in self._sessions if session.has_joined and session.worker is not None]

    def start(self, listener: socket.socket) -> None:
        """Let deliver processes in that come to a listening UNIX socket. It stays the caller's, who outlives this."""
        listener.setblocking(False)
        self._listener = listener
        self._listen()
        self._beat()

    async def close(self) -> None:
        """Let nobody in any more, and end all connections."""
        loop = asyncio.get_running_loop()
        if self._listener is not None:
            loop.remove_reader(self._listener.fileno())
        self._listener = None
        for handle in (self._beating, self._flushing):
            if handle is not None:
                handle.cancel()
        self._beating = self._flushing = None
        for session in self._sessions:
            session.channel.close("the publish process is stopping")
        self._emptied.clear()
        if self._sessions:
            await self._emptied.wait()

    def tell_memory(self, news: MemoryNews) -> None:
        """Tell everybody something about shared memory, before what is recorded from now on."""
        if not self._sessions:
            return
        if news.kind is FrameType.PLACED:  # nearly always; it may also come before records that do not speak of it
            frame = encode_frame(news.kind, news.payload)
            self._places.append(frame)
            self._count(len(frame))
            return
        self.flush()
        descriptors = () if news.descriptor is None else (news.descriptor,)
        for session in list(self._sessions):
            if session.has_joined:
                session.channel.send(news.kind, news.payload, descriptors)

    def flush(self) -> None:
        """Hand over what waits for the end of this turn of the loop."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._batch_bytes:
            return
        places = b"".join(self._places)
        records = encode_frame(FrameType.ENTRIES, encode_records(self._batch)) if self._batch else b""
        self._places.clear()
        self._batch.clear()
        self._batch_bytes = 0
        for session in list(self._sessions):
            if session.has_joined:
                session.tell(places, records)

    def forget(self, session: _Session) -> None:
        """Take a session out that has ended; only for sessions."""
        self._sessions.discard(session)
        if not self._sessions:
            self._emptied.set()

    def _on_entry(self, entry: Entry) -> None:
        self.sequence = entry.sequence
        if not self._sessions:
            return
        self._batch.append(entry.text)
        self._count(len(entry.text))

    def _count(self, size_bytes: int) -> None:
        """Take in that so much more waits for the end of this turn."""
        self._batch_bytes += size_bytes
        if self._batch_bytes >= BATCH_BYTES:
            self.flush()
        elif self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self.flush)

    def _beat(self) -> None:
        self.flush()
        payload = encode_message(Heartbeat(self.sequence, self.clock.monotonic_ms()))
        for session in list(self._sessions):
            if session.is_live:
                session.channel.send(FrameType.HEARTBEAT, payload)
        self._beating = asyncio.get_running_loop().call_later(HEARTBEAT_MS / 1000, self._beat)

    def _listen(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as exc:  # no descriptors: the socket stays readable, and is left alone for a moment
            log.warning("deliver process not let in", extra=fields(error=exc.strerror))
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener.fileno())
            loop.call_later(HEARTBEAT_MS / 1000, self._listen)
            return
        if len(self._sessions) >= SESSIONS_MAX:
            connection.close()
            return
        self._sessions.add(_Session(self, connection, self._buffer_bytes_max))


def _payloads(texts: Sequence[str]) -> Iterable[bytes]:
    """Yield a batch in frames of about BATCH_BYTES."""
    part: list[str] = []
    size_bytes = 0
    for text in texts:
        part.append(text)
        size_bytes += len(text)
        if size_bytes >= BATCH_BYTES:
            yield encode_records(part)
            part, size_bytes = [], 0
    if part:
        yield encode_records(part)
