"""The order in which bodies leave memory: by the age of their media, the live edge last.

Three kinds of bodies go in this order, the oldest of each kind first:

1. segments that are not among the newest of their rendition;
2. what has no media time: init segments and manifests, first in first out;
3. the newest `PROTECTED_SEGMENTS` numbers of each rendition, in all their copies.

What is protected is looked at anew with every body that comes or goes: a newer number takes the protection
from the oldest, and one that is dropped hands it on to the next older one that is held.
"""

from bisect import insort
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Generic, NamedTuple, TypeVar

from storage.base import BodyKey

# The live edge of a rendition: the segment that requests are held for, the three that HLS and DASH players
# keep behind it, and as many again for caches that ask late and for players that have fallen behind.
PROTECTED_SEGMENTS: Final = 8

# Removed entries are cleared away once they outnumber the others by this.
_STALE_COUNT_MAX: Final = 64

Item = TypeVar("Item")
# Compared element by element; ends with what no two items share.
Rank = tuple[int, ...]


class MediaPlace(NamedTuple):
    """Where a segment stands in time.

    Args:
        rendition: Event and rendition, whose newest segments are protected; None if nothing shall be.
        end_ms: When its media ends, in ms of the wall clock.
    """

    rendition: str | None
    number: int
    end_ms: int


class Queue(Generic[Item]):
    """Items by rank, lowest first, and removal from anywhere: O(log n) amortised each.

    A heap in which removed items stay until they come up, or until they outnumber the others.
    """

    __slots__ = ("_heap", "_ranks")

    def __init__(self) -> None:
        self._heap: list[tuple[Rank, Item]] = []
        self._ranks: dict[Item, Rank] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, item: Item) -> bool:
        return item in self._ranks

    def __iter__(self) -> Iterator[Item]:
        """Yield the items in no particular order."""
        return iter(self._ranks)

    def add(self, item: Item, rank: Rank) -> None:
        """Add an item that is not in the queue."""
        assert item not in self._ranks, "an item has one place"
        self._ranks[item] = rank
        heappush(self._heap, (rank, item))

    def remove(self, item: Item) -> Rank:
        """Remove an item that is in the queue, and return its rank."""
        rank = self._ranks.pop(item)
        if len(self._heap) > 2 * len(self._ranks) + _STALE_COUNT_MAX:
            self._heap = [(each_rank, each) for each, each_rank in self._ranks.items()]
            heapify(self._heap)
        return rank

    def take(self) -> tuple[Item, Rank]:
        """Remove and return the item with the lowest rank; there is one."""
        while True:
            rank, item = heappop(self._heap)
            if self._ranks.get(item) == rank:
                del self._ranks[item]
                return item, rank


class _Rendition:
    """The numbers of one rendition that are held: the newest, ascending, and the others, newest first."""

    __slots__ = ("keys", "newest", "older")

    def __init__(self) -> None:
        self.newest: list[int] = []
        self.older: Queue[int] = Queue()
        self.keys: dict[int, set[BodyKey]] = {}


class EvictionOrder:
    """Which bodies go next. Holds no bodies; adding and removing one is O(log n) amortised."""

    def __init__(self) -> None:
        self._places: dict[BodyKey, MediaPlace | None] = {}
        self._loose: Queue[BodyKey] = Queue()
        self._protected: Queue[BodyKey] = Queue()
        self._renditions: dict[str, _Rendition] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._places)

    def is_protected(self, key: BodyKey) -> bool:
        """Tell whether a body that is held goes last."""
        return key in self._protected

    def protected(self) -> Iterator[BodyKey]:
        """Yield the bodies that go last, in no particular order."""
        return iter(self._protected)

    def add(self, key: BodyKey, place: MediaPlace | None) -> None:
        """Add a body that is not held; None for one without media time."""
        self._serial += 1
        self._places[key] = place
        # Of equal age, first in is first out.
        rank = (1, self._serial) if place is None else (0, place.end_ms, self._serial)
        if place is None or place.rendition is None:
            self._loose.add(key, rank)
            return
        rendition = self._renditions.get(place.rendition)
        if rendition is None:
            rendition = self._renditions[place.rendition] = _Rendition()
        keys = rendition.keys.get(place.number)
        if keys is None:
            keys = rendition.keys[place.number] = set()
            self._protect(rendition, place.number)
        keys.add(key)
        (self._protected if place.number in rendition.newest else self._loose).add(key, rank)

    def remove(self, key: BodyKey) -> None:
        """Remove a body that is held."""
        place = self._places.pop(key)
        if place is None or place.rendition is None:
            self._loose.remove(key)
            return
        rendition = self._renditions[place.rendition]
        (self._protected if place.number in rendition.newest else self._loose).remove(key)
        rendition.keys[place.number].remove(key)
        if not rendition.keys[place.number]:
            del rendition.keys[place.number]
            self._unprotect(rendition, place.number)
        if not rendition.keys:
            del self._renditions[place.rendition]

    def victims(
        self, needed_bytes: int, size_bytes: Callable[[BodyKey], int], newcomer: BodyKey
    ) -> list[BodyKey] | None:
        """Return the bodies that go first and free enough, or None if `newcomer` is among them. Changes nothing.

        All victims but the last are together smaller than what is needed, so this costs little beside making
        the body they go for.
        """
        found: list[BodyKey] = []
        for queue in (self._loose, self._protected):
            taken = []
            while needed_bytes > 0 and len(queue):
                key, rank = queue.take()
                taken.append((key, rank))
                found.append(key)
                needed_bytes = 0 if key == newcomer else needed_bytes - size_bytes(key)
            for key, rank in taken:
                queue.add(key, rank)
        return None if newcomer in found else found

    def _protect(self, rendition: _Rendition, number: int) -> None:
        """Take a number in; the oldest of the newest loses its protection, if there are enough newer ones."""
        insort(rendition.newest, number)
        if len(rendition.newest) > PROTECTED_SEGMENTS:
            oldest = rendition.newest.pop(0)
            rendition.older.add(oldest, (-oldest,))
            for key in rendition.keys[oldest]:
                self._loose.add(key, self._protected.remove(key))

    def _unprotect(self, rendition: _Rendition, number: int) -> None:
        """Forget a number; the newest of the older ones takes its protection."""
        if number not in rendition.newest:
            rendition.older.remove(number)
            return
        rendition.newest.remove(number)
        if len(rendition.older):
            next_number, _ = rendition.older.take()
            rendition.newest.insert(0, next_number)
            for key in rendition.keys[next_number]:
                self._protected.add(key, self._loose.remove(key))
