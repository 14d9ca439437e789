"""The waiting list of held requests: bounded, answered in the order of arrival.

A request waits on the choice, not on storage: it costs one place in a list and one timer. Nothing may await
between looking a choice up and `join`, or a choice made in between would be missed.

Whoever waits for a segment is told in slices: the journal goes on at once, and between two slices uploads and
other requests have their turn.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from selection.model import SegmentKey

log = logging.getLogger(__name__)

Part = TypeVar("Part")

# Told in one go; at 30 us each (the answer of 100 KB is written right there) that is about 3 ms.
SLICE_PLACES: Final = 100
# An answer that begins later than this after its choice waited for something else, such as a read of the disk.
RELEASE_S_MAX: Final = 1.0


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """Bounds on held requests.

    Args:
        hold_ms_max: How long one request may be held, all its waits together.
        total, per_event, per_segment: How many may be held at once.
    """

    hold_ms_max: int
    total: int
    per_event: int
    per_segment: int


class Release:
    """Everybody who waited for one segment, being told that it is there.

    Args:
        observe: Told, once it is over, the seconds from the choice to the first byte written to the last of them.
    """

    def __init__(self, observe: Callable[[float], None], now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._begun_s = now_s()
        self._written_s: float | None = None
        self._observe = observe
        asyncio.get_running_loop().call_later(RELEASE_S_MAX, self._end)

    def note_written(self) -> None:
        """Say that the first byte of one's answer was handed to the connection just now."""
        self._written_s = self._now_s()

    def _end(self) -> None:
        if self._written_s is not None:
            self._observe(self._written_s - self._begun_s)


# Told why one's wait ended: what woke it, or None when the time ran out.
Told = Callable[[Release | None], None]


class Place:
    """One request's place in the list, until it is told or leaves."""

    __slots__ = ("_timer", "_told", "_waiters", "key")

    def __init__(self, waiters: "Waiters", key: SegmentKey, told: Told) -> None:
        self.key = key
        self._waiters: Waiters | None = waiters
        self._told = told
        self._timer: asyncio.TimerHandle | None = None

    def start(self, timer: asyncio.TimerHandle) -> None:
        """Let the time run."""
        self._timer = timer

    def leave(self) -> bool:
        """Free the place, at once. Returns False if it was free already."""
        waiters, self._waiters = self._waiters, None
        if waiters is None:
            return False
        if self._timer is not None:
            self._timer.cancel()
        waiters.forget(self)
        return True

    def tell(self, release: Release | None) -> None:
        """Free the place and tell why, unless it is free already."""
        if self.leave():
            self._told(release)


class Waiters:
    """Requests waiting for a segment to be chosen.

    Args:
        observe: Told the number of waiting requests whenever it changes.
        observe_release: Told the seconds from a choice to the first byte written to the last who waited for it.
        now_s: A clock that nobody sets. Not the loop's: uvloop's stands still while callbacks run.
    """

    def __init__(
        self,
        limits: HoldLimits,
        observe: Callable[[int], None] = lambda count: None,
        observe_release: Callable[[float], None] = lambda seconds: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._observe = observe
        self._observe_release = observe_release
        self._now_s = now_s
        self._waiting: dict[SegmentKey, dict[Place, None]] = {}
        self._per_event: Counter[str] = Counter()
        self._per_segment: Counter[SegmentKey] = Counter()
        self._count = 0
        self._closed = False
        self._emptied = asyncio.Event()

    @property
    def hold_ms_max(self) -> int:
        """How long one request may be held, all its waits together."""
        return self._limits.hold_ms_max

    @property
    def count(self) -> int:
        """How many requests wait now, those included that are about to be told."""
        return self._count

    @property
    def keys(self) -> Sequence[SegmentKey]:
        """What is waited for."""
        return tuple(self._waiting)

    @property
    def is_closed(self) -> bool:
        return self._closed

    def refusal(self, key: SegmentKey) -> str | None:
        """Return the setting whose bound leaves no place for one more request for `key`, or None."""
        if self._count >= self._limits.total:
            return "holds"
        if self._per_event[key.event_id] >= self._limits.per_event:
            return "holds_per_event"
        return "holds_per_segment" if self._per_segment[key] >= self._limits.per_segment else None

    def join(self, key: SegmentKey, timeout_ms: int, told: Told) -> Place:
        """Wait until `key` is woken or the time runs out; then `told` is called, once."""
        assert self.refusal(key) is None and not self._closed, "ask `refusal` and `is_closed` first"
        place = Place(self, key, told)
        self._waiting.setdefault(key, {})[place] = None
        self._per_event[key.event_id] += 1
        self._per_segment[key] += 1
        self._change(+1)
        place.start(asyncio.get_running_loop().call_later(timeout_ms / 1000, place.tell, None))
        return place

    async def wait(self, key: SegmentKey, timeout_ms: int) -> Release | None:
        """Wait until `key` is woken. Returns None when the time ran out; cancelling frees the place at once."""
        future: asyncio.Future[Release | None] = asyncio.get_running_loop().create_future()
        place = self.join(key, timeout_ms, lambda release: None if future.done() else future.set_result(release))
        try:
            return await future
        finally:
            place.leave()

    def wake(self, key: SegmentKey) -> int:
        """Let every request that waits for `key` go on, soon and in order; returns how many."""
        places = self._waiting.pop(key, None)
        if not places:
            return 0
        release = Release(self._observe_release, self._now_s)
        asyncio.get_running_loop().call_soon(self._tell, release, list(places), 0)
        return len(places)

    async def close(self) -> None:
        """Let everybody go on, and nobody wait any more: the server is stopping. Returns when all have been told."""
        self._closed = True
        for key in list(self._waiting):
            self.wake(key)
        if self._count:
            await self._emptied.wait()

    def forget(self, place: Place) -> None:
        """Take a place off the list; only for `Place`."""
        key = place.key
        queue = self._waiting.get(key)
        if queue is not None:
            queue.pop(place, None)
            if not queue:
                del self._waiting[key]
        _take_one(self._per_event, key.event_id)
        _take_one(self._per_segment, key)
        self._change(-1)

    def _tell(self, release: Release, places: list[Place], first: int) -> None:
        for place in places[first : first + SLICE_PLACES]:
            try:
                place.tell(release)
            except Exception:  # a mistake in one answer must not keep the others waiting
                log.exception("held request failed")
        if first + SLICE_PLACES < len(places):
            asyncio.get_running_loop().call_soon(self._tell, release, places, first + SLICE_PLACES)

    def _change(self, by: int) -> None:
        self._count += by
        self._observe(self._count)
        if self._closed and not self._count:
            self._emptied.set()


def _take_one(counter: "Counter[Part]", part: Part) -> None:
    """Count one less, and leave no zero behind: segments come and go for ever."""
    counter[part] -= 1
    if not counter[part]:
        del counter[part]
