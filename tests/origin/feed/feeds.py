"""A publish process's journal with its feed, and deliver processes that follow, all on one loop."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from origin.clock import Clock, SystemClock
from origin.feed.client import FeedClient
from origin.feed.hooks import ClientHooks, ServerHooks
from origin.feed.server import FeedServer
from selection.model import Rule, SegmentKey
from storage.catalog import MemoryCatalog
from storage.journal import FileJournal
from storage.records import Chosen, Entry, Published, Record
from tests.storage.strategies import recorded_at
from tests.support.events import candidate, make_key

PATIENCE_S = 20


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; fails when it takes very long."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  # what is looked at knows of no event
            await asyncio.sleep(0.001)


def descriptors_count() -> int:
    return len(os.listdir("/proc/self/fd"))


def listen(path: Path) -> socket.socket:
    """Return a listening UNIX socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(128)
    return listener


@dataclass
class Following:
    """What the hooks of a deliver process were told."""

    entries: list[Entry] = field(default_factory=list)
    watch: Callable[[Entry], None] = lambda entry: None
    waiting: list[SegmentKey] = field(default_factory=list)
    swapped: list[list[SegmentKey]] = field(default_factory=list)
    synced: list[bool] = field(default_factory=list)
    told: list[tuple[str, bytes]] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def hooks(self) -> ClientHooks:
        return ClientHooks(
            on_entry=self._on_entry,
            waiting=lambda: self.waiting,
            on_swapped=lambda keys: self.swapped.append(list(keys)),
            on_arena=self._on_arena,
            on_placed=lambda payload: self.told.append(("placed", payload)),
            on_gone=lambda payload: self.told.append(("gone", payload)),
            on_sync=lambda is_in_sync, reason: self.synced.append(is_in_sync),
        )

    def _on_entry(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.watch(entry)

    def _on_arena(self, payload: bytes, descriptor: int) -> None:
        self.told.append(("arena", payload))
        self.descriptors.append(descriptor)


class Node:
    """A journal, its catalog and its feed; `restart` is what a restart of the publish process is."""

    def __init__(self, folder: Path, listener: socket.socket, hooks: ServerHooks, clock: Clock) -> None:
        self.folder = folder
        self.listener = listener
        self.hooks = hooks
        self.clock = clock
        self.buffer_bytes_max = 64 * 1024**2
        self._open()

    @property
    def path(self) -> str:
        return str(self.listener.getsockname())

    def _open(self) -> None:
        self.catalog = MemoryCatalog()
        self.journal = FileJournal(self.folder, fsync=False, standing=self.catalog.standing)
        self.journal.follow(self.catalog.apply)
        self.journal.open()
        self.server = FeedServer(self.journal, self.catalog, self.clock, self.hooks, self.buffer_bytes_max)
        self.server.start(self.listener)

    async def close(self) -> None:
        await self.server.close()
        self.journal.close()

    async def restart(self) -> None:
        await self.close()
        self._open()

    def append(self, *records: Record) -> list[Entry]:
        entries = []
        for record in records:
            moment = self.journal.next_moment(1_000)
            entries.append(self.journal.append(recorded_at(record, moment), moment))
        return entries

    def publish(self, number: int, pipeline_id: str = "a") -> None:
        """Record a copy and its choice."""
        (copy,) = self.append(Published(make_key(number), candidate(pipeline_id)))
        self.append(Chosen(make_key(number), pipeline_id, copy.sequence, Rule.FIRST_IN_ORDER, 0))

    def is_followed_by(self, client: FeedClient) -> bool:
        """Tell whether a deliver process has everything; a different catalog at the same place is a mistake."""
        if not client.is_following or client.sequence != self.server.sequence:
            return False
        assert client.catalog.current.digest() == self.catalog.digest()
        return True


@asynccontextmanager
async def open_node(
    folder: Path, hooks: ServerHooks | None = None, clock: Clock | None = None, records: Sequence[Record] = ()
) -> AsyncIterator[Node]:
    listener = listen(folder / "feed.sock")
    node = Node(folder / "journal", listener, hooks or ServerHooks(), clock or SystemClock())
    try:
        node.append(*records)
        yield node
    finally:
        await node.close()
        listener.close()


@asynccontextmanager
async def following(
    path: str, told: Following | None = None, clock: Clock | None = None, name: str = "w0"
) -> AsyncIterator[FeedClient]:
    hooks = ClientHooks() if told is None else told.hooks()
    client = FeedClient(path, MemoryCatalog, hooks, clock or SystemClock(), name)
    client.start()
    try:
        yield client
    finally:
        await client.close()
