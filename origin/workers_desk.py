"""The publish process's side of the deliver processes: what they are told, what they tell, how they are."""

import logging
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry

from origin.clock import Clock
from origin.feed.hooks import ServerHooks, Worker
from origin.feed.server import FeedServer
from origin.logs import fields
from origin.memory_news import all_news, news_of
from origin.metrics_merge import MergedMetrics
from selection.model import Candidate, SegmentKey
from storage.arenas import Announcement
from storage.base import Journal
from storage.catalog import MemoryCatalog
from storage.shared_ram import SharedRam

log = logging.getLogger(__name__)

# Ten heartbeats, as `origin.feed.client` has it.
BEHIND_MS_MAX: Final = 1_000
# What the payload of metrics begins with: whether it is what another publish process was told before, and by whom.
BASELINE: Final = b"B"
CURRENT: Final = b"C"
PROCESS_BYTES: Final = 8


@dataclass(slots=True)
class _Seen:
    """A deliver process, as it was last heard of."""

    worker: Worker
    applied_sequence: int
    heard_ms: int


class WorkersDesk:
    """Keeps the feed, the deliver processes' metrics, and an eye on how far behind each is.

    Args:
        listener: The feed's UNIX socket.
        names: Of the deliver processes there are to be.
    """

    def __init__(self, listener: socket.socket, names: Sequence[str], clock: Clock) -> None:
        self._listener = listener
        self._names = tuple(names)
        self._clock = clock
        self._merged = MergedMetrics()
        # By name and process id, the latest to join last: while one replaces the other there are two of a name.
        self._seen: dict[str, dict[int, _Seen]] = {}
        self._feed: FeedServer | None = None
        # Pages are made in a thread, and half of a change on one would be a counter that goes back. The event loop
        # never waits for a page: what comes meanwhile is taken in after it.
        self._merging = threading.Lock()
        self._untaken: deque[Callable[[], None]] = deque()
        for name in self._names:
            self._merged.note(name, is_up=False)

    def announce(self, announcement: Announcement) -> None:
        """Tell all deliver processes of shared memory."""
        if self._feed is not None:
            self._feed.tell_memory(news_of(announcement))

    def open(
        self,
        journal: Journal,
        catalog: MemoryCatalog,
        ram: SharedRam,
        on_lost: Callable[[SegmentKey, Candidate], Awaitable[None]],
    ) -> None:
        """Let deliver processes in."""

        async def look_into(key: SegmentKey, pipeline_id: str, digest: str) -> None:
            choice = catalog.choice(key)
            if choice is not None and (choice.candidate.pipeline_id, choice.candidate.digest) == (pipeline_id, digest):
                await on_lost(key, choice.candidate)

        hooks = ServerHooks(
            memory=lambda: all_news(ram),
            on_lost=look_into,
            on_metrics=self._take_metrics,
            on_status=self._note_status,
            on_left=self._note_left,
        )
        self._feed = FeedServer(journal, catalog, self._clock, hooks)
        self._feed.start(self._listener)

    async def close(self) -> None:
        """End the feed; deliver processes go on with what they have."""
        if self._feed is not None:
            await self._feed.close()

    def status(self) -> list[dict[str, Any]]:
        """Return how each deliver process is, for `/readyz`."""
        return [self._status_of(name) for name in self._names]

    def render(self, registry: CollectorRegistry) -> bytes:
        """Return the page of all processes' metrics. May be called in any thread."""
        with self._merging:
            self._take_in()
            for name in self._names:
                status = self._status_of(name)
                self._merged.note(name, is_up=status["connected"], behind_ms=status.get("behind_ms"))
            return self._merged.merge(registry)

    def _change(self, change: Callable[[], None]) -> None:
        """Change what the next page shows: now, or after the page that is being made."""
        self._untaken.append(change)
        if self._merging.acquire(blocking=False):
            try:
                self._take_in()
            finally:
                self._merging.release()

    def _take_in(self) -> None:
        while self._untaken:
            try:
                self._untaken.popleft()()
            except ValueError as exc:
                log.warning("metrics of a deliver process not understood", extra=fields(error=str(exc)))

    def _status_of(self, name: str) -> dict[str, Any]:
        processes = list(self._seen.get(name, {}).values())
        if not processes:
            return {"worker": name, "connected": False, "in_sync": False}
        seen = processes[-1]
        behind_ms = max(self._clock.monotonic_ms() - seen.heard_ms, seen.worker.lag_ms)
        return {
            "worker": name,
            "connected": True,
            "in_sync": behind_ms <= BEHIND_MS_MAX,
            "behind_ms": behind_ms,
            "applied_sequence": seen.applied_sequence,
            "process_id": seen.worker.process_id,
        }

    def _note_status(self, worker: Worker, sequence: int) -> None:
        seen = _Seen(worker, sequence, self._clock.monotonic_ms())
        self._seen.setdefault(worker.name, {})[worker.process_id] = seen

    def _note_left(self, worker: Worker) -> None:
        processes = self._seen.get(worker.name, {})
        processes.pop(worker.process_id, None)
        if not processes:
            self._change(lambda: self._merged.forget(worker.name))

    def _take_metrics(self, worker: Worker, payload: bytes) -> None:
        if worker.name not in self._names:
            return
        kind, process, exported = payload[:1], payload[1 : 1 + PROCESS_BYTES], payload[1 + PROCESS_BYTES :]
        take = self._merged.leave_out if kind == BASELINE else self._merged.take
        self._change(lambda: take(worker.name, int.from_bytes(process), exported))


def metrics_payload(kind: bytes, process_id: int, exported: bytes) -> bytes:
    """Return what a deliver process sends of its metrics; `process_id` is never used again in its slot."""
    assert kind in (BASELINE, CURRENT)
    return kind + process_id.to_bytes(PROCESS_BYTES) + exported
