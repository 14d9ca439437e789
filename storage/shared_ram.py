"""The RAM tier of a node: bodies are written once, into memory that other processes map and read.

Bodies lie one behind the other in arenas (`arenas`). Room is made by letting whole arenas go, those with the
oldest media first, so a body that is still being sent stays whole.

What has no media time (init segments, manifests) is kept apart in small arenas: it would keep an arena of
media for a few kilobytes.
"""

import mmap
import secrets
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Final, NamedTuple

from storage.arenas import Announcement, Arena, ArenaGone, ArenaId, ArenaMade, BodyPlaced, Runner, page_ceiling, run_now
from storage.base import Body, BodyKey
from storage.eviction import EvictionOrder, MediaPlace
from storage.ram import PlaceOf, keys_of_bucket

# About a second of an event with ten renditions: few mappings, and little goes at once.
ARENA_BYTES: Final = 16 * 1024 * 1024
# A small tier has this many at least, so that the oldest can go without most of the rest; a large one at most so
# many of full size, as each is a file descriptor in every process.
_ARENAS_COUNT_MIN: Final = 16
_ARENAS_COUNT_MAX: Final = 512
# A body larger than this part of an arena has one of its own. So at most as much is left empty at an arena's end.
_OWN_ARENA_PART: Final = 4
# Arenas without media are smaller by this.
_LASTING_PART: Final = 16

# How late something goes: its kind, then the end of its media in ms; compare storage.eviction. The lowest goes first.
_Rank = tuple[int, int]
_EMPTY, _LOOSE, _LASTING, _PROTECTED = range(4)


def arena_bytes(capacity_bytes: int) -> int:
    """Return the size of the arenas of a tier: whole pages.

    >>> [arena_bytes(mib * 2**20) // 2**20 for mib in (32, 256, 8 * 1024, 64 * 1024)]
    [2, 16, 16, 128]
    """
    largest = max(ARENA_BYTES, capacity_bytes // _ARENAS_COUNT_MAX)
    return max(min(largest, capacity_bytes // _ARENAS_COUNT_MIN) // mmap.PAGESIZE, 1) * mmap.PAGESIZE


class _Place(NamedTuple):
    arena: Arena
    offset: int
    size_bytes: int


class SharedRam:
    """The tier of the process that stores: implements `storage.ram.Ram`. Not for threads: the event loop owns it.

    Args:
        capacity_bytes: Sum of arena sizes that is never exceeded; what readers still send of arenas that have gone
            comes on top.
        place_of: Where a body stands in time; None for what has no media time, as for `RamTier`.
        announce: Told everything that comes and goes, in order. Must not fail, nor call back.
        generation: Tells this tier from those of earlier processes; random by default.
        run: Gives memory back.
    """

    def __init__(
        self,
        capacity_bytes: int,
        place_of: PlaceOf,
        announce: Callable[[Announcement], None] = lambda _: None,
        generation: str | None = None,
        run: Runner = run_now,
    ) -> None:
        self._capacity_bytes = capacity_bytes
        self._place_of = place_of
        self._announce = announce
        self._generation = generation or secrets.token_hex(4)
        self._run = run
        self._arena_bytes = arena_bytes(capacity_bytes)
        self._arenas: dict[ArenaId, Arena] = {}  # in the order in which they were made
        self._open: dict[bool, Arena] = {}  # being filled, by whether they are for what has no media time
        self._places: dict[BodyKey, _Place] = {}
        self._order = EvictionOrder()
        self._serial = 0
        self._sizes_bytes = 0
        self._evictions_count = 0
        self._refusals_count = 0

    @property
    def used_bytes(self) -> int:
        """How much of the arenas is written to, which is the memory they take, but for the rest of their last pages."""
        return sum(arena.filled_bytes for arena in list(self._arenas.values()))  # metrics ask from a thread

    @property
    def capacity_bytes(self) -> int:
        return self._capacity_bytes

    @property
    def evictions_count(self) -> int:
        """How many bodies have made room for newer ones so far."""
        return self._evictions_count

    @property
    def refusals_count(self) -> int:
        """How many bodies were not taken so far: older than what would have had to go, too large, or no memory."""
        return self._refusals_count

    def arenas(self) -> list[ArenaMade]:
        """Return the arenas that are there, oldest first, as they were announced: for a reader that comes later."""
        return [ArenaMade(arena.id, arena.size_bytes, arena.fd) for arena in self._arenas.values()]

    def places(self, arena_id: ArenaId | None = None) -> Iterator[BodyPlaced]:
        """Yield the bodies that are there, or those of one arena, which may have gone. To be used up at once."""
        if arena_id is None:
            keys: Iterable[BodyKey] = self._places
        else:
            keys = self._arenas[arena_id].keys if arena_id in self._arenas else ()
        for key in keys:
            arena, offset, size_bytes = self._places[key]
            yield BodyPlaced(key, arena.id, offset, size_bytes)

    def __contains__(self, key: BodyKey) -> bool:
        return key in self._places

    def get(self, key: BodyKey) -> memoryview | None:
        """Return a body as a view for reading only, or None. Its bytes stay, whatever happens here."""
        place = self._places.get(key)
        if place is None:
            return None
        arena, offset, size_bytes = place
        return arena.view[offset : offset + size_bytes]

    def put(self, key: BodyKey, body: Body) -> None:
        """Keep a body and let arenas go until it fits, or none if it is older than what would have to go."""
        held = self.get(key)
        if held is not None:
            if held == body:
                return  # to write it again would only take room
            self.drop(key)
        place = self._place_of(key)
        self._order.add(key, place)
        try:
            found = self._write(key, body, place)
        except OSError:  # no memory or no descriptor left; the disk has the body, so its upload has not failed
            found = None
        if found is None:
            self._order.remove(key)
            self._refusals_count += 1
            return
        arena, offset, size_bytes = found
        self._places[key] = found
        if place is not None and (not arena.keys or arena.newest_ms is not None):
            arena.newest_ms = place.end_ms if arena.newest_ms is None else max(arena.newest_ms, place.end_ms)
        arena.keys.add(key)
        self._announce(BodyPlaced(key, arena.id, offset, size_bytes))

    def drop(self, key: BodyKey) -> None:
        """Forget a body; one that is not there is no error. Its room is free once all of its arena goes.

        Readers are not told: they ask for what the catalog names, and bytes that are there are right.
        """
        place = self._places.pop(key, None)
        if place is None:
            return
        self._order.remove(key)
        arena = place.arena
        arena.keys.remove(key)
        arena.newest_ms = None
        if not arena.keys and self._open.get(arena.is_lasting) is not arena:
            self._let_go(arena)

    def drop_bucket(self, event_id: str, bucket: int | None) -> None:
        """Forget the bodies of a bucket; None for init segments and manifests."""
        for key in keys_of_bucket(self._places, event_id, bucket):
            self.drop(key)

    def close(self) -> None:
        """Let everything go."""
        for arena in list(self._arenas.values()):
            self._let_go(arena)

    def _write(self, key: BodyKey, body: Body, place: MediaPlace | None) -> _Place | None:
        """Write a body to an arena, which is made if needed; None if there is no room for it.

        Raises:
            OSError: No arena could be made, or not be filled.
        """
        arena = self._room_for(key, len(body), place)
        if arena is None:
            return None
        try:
            return _Place(arena, arena.write(body), len(body))
        except OSError:
            if not arena.keys:
                self._let_go(arena)
            raise

    def _room_for(self, key: BodyKey, size_bytes: int, place: MediaPlace | None) -> Arena | None:
        """Return the arena to write a body to; None if there is no room for it.

        Raises:
            OSError: No arena could be made.
        """
        is_lasting = place is None
        line_bytes = page_ceiling(self._arena_bytes // _LASTING_PART) if is_lasting else self._arena_bytes
        has_own = size_bytes > line_bytes // _OWN_ARENA_PART
        current = None if has_own else self._open.get(is_lasting)
        if current is not None and current.has_room(size_bytes):
            return current
        made_bytes = page_ceiling(size_bytes) if has_own else line_bytes
        victims = self._victims(made_bytes, key, place)
        if victims is None:
            return None
        for arena in victims:
            self._evictions_count += len(arena.keys)
            self._let_go(arena)
        made = self._make(made_bytes, is_lasting=is_lasting)
        if not has_own:
            closed = self._open.pop(is_lasting, None)
            self._open[is_lasting] = made
            if closed is not None and not closed.keys:
                self._let_go(closed)
        return made

    def _victims(self, made_bytes: int, newcomer: BodyKey, place: MediaPlace | None) -> list[Arena] | None:
        """Return the arenas that go first and make room for a new one, or None if `newcomer` would go before them."""
        needed_bytes = self._sizes_bytes + made_bytes - self._capacity_bytes
        if made_bytes > self._capacity_bytes:
            return None
        if needed_bytes <= 0:
            return []
        # A thousand renditions have some 20,000 protected bodies, 2 ms to look through; this is once for an arena.
        protected = {self._places[key].arena.id for key in self._order.protected() if key != newcomer}
        newcomer_rank = (_LASTING, 0)
        if place is not None:
            newcomer_rank = (_PROTECTED if self._order.is_protected(newcomer) else _LOOSE, place.end_ms)
        victims = []
        ranks = {arena.id: self._rank(arena, protected) for arena in self._arenas.values()}
        for arena in sorted(self._arenas.values(), key=lambda each: ranks[each.id]):  # of equal rank, the first made
            if needed_bytes <= 0:
                break
            if ranks[arena.id] > newcomer_rank:
                return None
            victims.append(arena)
            needed_bytes -= arena.size_bytes
        return victims

    def _rank(self, arena: Arena, protected: Set[ArenaId]) -> _Rank:
        if not arena.keys:
            return (_EMPTY, 0)
        if arena.is_lasting:
            return (_LASTING, 0)
        if arena.newest_ms is None:
            places = map(self._place_of, arena.keys)
            arena.newest_ms = max((place.end_ms for place in places if place is not None), default=0)
        return (_PROTECTED if arena.id in protected else _LOOSE, arena.newest_ms)

    def _make(self, size_bytes: int, *, is_lasting: bool) -> Arena:
        self._serial += 1
        arena = Arena(f"{self._generation}-{self._serial}", size_bytes, is_lasting=is_lasting)
        self._arenas[arena.id] = arena
        self._sizes_bytes += size_bytes
        self._announce(ArenaMade(arena.id, size_bytes, arena.fd))
        return arena

    def _let_go(self, arena: Arena) -> None:
        for key in arena.keys:
            del self._places[key]
            self._order.remove(key)
        arena.keys.clear()
        del self._arenas[arena.id]
        if self._open.get(arena.is_lasting) is arena:
            del self._open[arena.is_lasting]
        self._sizes_bytes -= arena.size_bytes
        self._announce(ArenaGone(arena.id))
        self._run(arena.close)
