"""The RAM tier: bodies by key within a budget of bytes, oldest out first.

At the live edge age is what counts: a segment is asked for by everyone once and then hardly again. So the
first in is the first out, and how often a body is asked for keeps it no longer.
"""

from cachetools import FIFOCache

from storage.base import BodyKey


class RamTier:
    """Bodies by key. Not for threads: the event loop owns it.

    Args:
        capacity_bytes: Sum of body sizes that is never exceeded.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._cache: FIFOCache[BodyKey, bytes] = FIFOCache(capacity_bytes, getsizeof=len)

    @property
    def used_bytes(self) -> int:
        """Sum of the sizes of the bodies held."""
        return int(self._cache.currsize)

    @property
    def capacity_bytes(self) -> int:
        return int(self._cache.maxsize)

    def get(self, key: BodyKey) -> bytes | None:
        """Return a body, or None."""
        return self._cache.get(key)

    def put(self, key: BodyKey, body: bytes) -> None:
        """Keep a body, dropping the oldest until it fits; one larger than the whole tier is not kept."""
        if len(body) <= self._cache.maxsize:
            self._cache[key] = body

    def drop(self, key: BodyKey) -> None:
        """Forget a body; one that is not there is no error."""
        self._cache.pop(key, None)
