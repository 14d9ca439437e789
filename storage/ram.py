"""The RAM tier: bodies by key within a budget of bytes, those with the oldest media out first.

At the live edge age is what counts: a segment is asked for by everyone once and then hardly again. So how
often a body is asked for keeps it no longer, and neither does having been read lately: a viewer who goes back
an hour brings old segments in, and they must not push out what everyone is about to ask for.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from cachetools import Cache

from storage.base import Body, BodyKey, bucket_folders
from storage.eviction import EvictionOrder, MediaPlace

PlaceOf = Callable[[BodyKey], MediaPlace | None]


class Ram(Protocol):
    """Bodies by key in memory, as `TieredBodies` uses them. The event loop owns it; nothing of it waits.

    Here is one for one process; `shared_ram` holds the bodies of all processes of a node.
    """

    @property
    def used_bytes(self) -> int:
        """What the bodies held take; never more than the capacity."""

    @property
    def capacity_bytes(self) -> int: ...

    @property
    def evictions_count(self) -> int:
        """How many bodies have made room for newer ones so far."""

    @property
    def refusals_count(self) -> int:
        """How many bodies were not taken so far."""

    def __contains__(self, key: BodyKey) -> bool: ...

    def get(self, key: BodyKey) -> Body | None:
        """Return a body, or None. It stays as it is for whoever holds it, also when it is no longer held here."""

    def put(self, key: BodyKey, body: Body) -> None:
        """Keep a body, if it is to be kept."""

    def drop(self, key: BodyKey) -> None:
        """Forget a body; one that is not there is no error."""

    def drop_bucket(self, event_id: str, bucket: int | None) -> None:
        """Forget the bodies of a bucket; None for init segments and manifests."""


def keys_of_bucket(keys: Iterable[BodyKey], event_id: str, bucket: int | None) -> list[BodyKey]:
    """Return those of `keys` whose bodies belong to a bucket."""
    folders = tuple(f"{folder}/" for folder in bucket_folders(event_id, bucket))
    return [key for key in keys if key.startswith(folders)]


class RamTier:
    """Bodies by key. Not for threads: the event loop owns it.

    Args:
        capacity_bytes: Sum of body sizes that is never exceeded.
        place_of: Where a body stands in time; None for what has no media time, as init segments and manifests,
            which are never older than any segment.
    """

    def __init__(self, capacity_bytes: int, place_of: PlaceOf) -> None:
        self._cache: Cache[BodyKey, Body] = Cache(capacity_bytes, getsizeof=len)
        self._place_of = place_of
        self._order = EvictionOrder()
        self._evictions_count = 0
        self._refusals_count = 0

    @property
    def used_bytes(self) -> int:
        """Sum of the sizes of the bodies held."""
        return int(self._cache.currsize)

    @property
    def capacity_bytes(self) -> int:
        return int(self._cache.maxsize)

    @property
    def evictions_count(self) -> int:
        """How many bodies have made room for newer ones so far."""
        return self._evictions_count

    @property
    def refusals_count(self) -> int:
        """How many bodies were not taken so far: older than what would have had to go, or larger than the tier."""
        return self._refusals_count

    def __contains__(self, key: BodyKey) -> bool:
        return key in self._cache

    def get(self, key: BodyKey) -> Body | None:
        """Return a body, or None."""
        return self._cache.get(key)

    def put(self, key: BodyKey, body: Body) -> None:
        """Keep a body and drop others until it fits, or drop nothing if it would have to be among them."""
        self.drop(key)
        if len(body) > self.capacity_bytes:
            self._refusals_count += 1
            return
        self._order.add(key, self._place_of(key))
        needed_bytes = self.used_bytes + len(body) - self.capacity_bytes
        victims = self._order.victims(needed_bytes, self._size_bytes, key)
        if victims is None:
            self._order.remove(key)
            self._refusals_count += 1
            return
        for victim in victims:
            self.drop(victim)
        self._evictions_count += len(victims)
        self._cache[key] = body

    def drop(self, key: BodyKey) -> None:
        """Forget a body; one that is not there is no error."""
        if self._cache.pop(key, None) is not None:
            self._order.remove(key)

    def drop_bucket(self, event_id: str, bucket: int | None) -> None:
        """Forget the bodies of a bucket; None for init segments and manifests."""
        for key in keys_of_bucket(self._cache, event_id, bucket):
            self.drop(key)

    def _size_bytes(self, key: BodyKey) -> int:
        return len(self._cache[key])
