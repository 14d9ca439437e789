"""What is done on both ends of the feed for what it tells."""

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from origin.feed.wire import FrameType
from selection.model import SegmentKey
from storage.records import Entry


@dataclass(frozen=True, slots=True)
class Worker:
    """A deliver process that follows.

    Args:
        lag_ms: How long it took from the last heartbeat until it answered, when all before was applied.
        connected_ms: Since when, by the wall clock.
    """

    name: str
    process_id: int
    applied_sequence: int
    lag_ms: int
    connected_ms: int


class MemoryNews(NamedTuple):
    """Something about shared memory; what it says is a matter of those who share it.

    Args:
        kind: ARENA, PLACED or GONE.
        descriptor: Of an arena. It stays the caller's.
    """

    kind: FrameType
    payload: bytes
    descriptor: int | None = None


async def _nothing_lost(key: SegmentKey, pipeline_id: str, digest: str) -> None:
    """Take a loss as looked into."""


@dataclass(frozen=True, slots=True)
class ServerHooks:
    """What the publish process does for those who follow.

    Args:
        memory: Returns what a newcomer must be told of shared memory.
        on_lost: Looks into the loss of a body; on return it is recorded what follows.
        on_metrics: Given what a deliver process exports.
        on_status: Told how far it is, ten times a second.
        on_left: Told that its connection has ended.
    """

    memory: Callable[[], Iterable[MemoryNews]] = tuple
    on_lost: Callable[[SegmentKey, str, str], Awaitable[None]] = _nothing_lost
    on_metrics: Callable[[Worker, bytes], None] = lambda worker, payload: None
    on_status: Callable[[Worker, int], None] = lambda worker, sequence: None
    on_left: Callable[[Worker], None] = lambda worker: None


def _close_arena(payload: bytes, descriptor: int) -> None:
    os.close(descriptor)


@dataclass(frozen=True, slots=True)
class ClientHooks:
    """What follows the catalog in a deliver process.

    Args:
        on_entry: Told each record, when the catalog has it.
        waiting: Returns the keys that are waited for.
        on_swapped: Told, when another catalog has taken over, which of these have a choice in it.
        on_arena: Given an arena of shared memory, whose descriptor is the callee's to close.
        on_placed, on_gone: What is told of bodies in it, and of arenas that may be forgotten.
        on_sync: Told True when the catalog follows again, False when it does no more, with the reason.
    """

    on_entry: Callable[[Entry], None] = lambda entry: None
    waiting: Callable[[], Iterable[SegmentKey]] = tuple
    on_swapped: Callable[[Sequence[SegmentKey]], None] = lambda keys: None
    on_arena: Callable[[bytes, int], None] = _close_arena
    on_placed: Callable[[bytes], None] = lambda payload: None
    on_gone: Callable[[bytes], None] = lambda payload: None
    on_sync: Callable[[bool, str], None] = lambda is_in_sync, reason: None
