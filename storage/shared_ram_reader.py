"""The RAM tier of a process that reads what another one wrote into shared memory (`shared_ram`).

What it is told comes over a socket from a process that may be restarted, killed or newer than this one. So
nothing is believed that could end this process: a file that could be cut under the mapping, or a body beyond
its end, would be a SIGBUS in the middle of an answer.
"""

import fcntl
import mmap
import os
from typing import NamedTuple

from storage.arenas import SEALS, ArenaId, Runner, run_now
from storage.base import Body, BodyKey
from storage.ram import keys_of_bucket


class BadAnnouncement(Exception):
    """The publisher said something about its memory that cannot be so. What was there before is untouched."""


class _Mapped:
    """An arena mapped for reading. It is unmapped when nobody refers to it: neither this tier nor a view of a body."""

    __slots__ = ("keys", "size_bytes", "view")

    def __init__(self, size_bytes: int, fd: int) -> None:
        self.size_bytes = size_bytes
        self.keys: set[BodyKey] = set()
        # Never closed by hand: reference counting knows who still sends from it.
        self.view = memoryview(mmap.mmap(fd, size_bytes, mmap.MAP_SHARED, mmap.PROT_READ))

    def close(self) -> None:
        """Let go of it, from any thread."""
        del self.view


class _Place(NamedTuple):
    arena: _Mapped
    body: memoryview


class SharedRamReader:
    """Bodies by key, where another process has written them: implements `storage.ram.Ram`. The event loop owns it.

    Arenas of a publisher that was restarted stay usable, as bytes behind a key never change, until newer ones need
    their room.

    Args:
        capacity_bytes: As of the publisher. Mappings are never larger together than this and one arena more.
        run: Gives mappings back.
    """

    def __init__(self, capacity_bytes: int, run: Runner = run_now) -> None:
        self._run = run
        self._capacity_bytes = capacity_bytes
        self._arenas: dict[ArenaId, _Mapped] = {}  # those announced last at the end
        self._places: dict[BodyKey, _Place] = {}
        self._mapped_bytes = 0

    @property
    def used_bytes(self) -> int:
        """Sum of the sizes of what is mapped. No memory of this process: the publisher has it, once for all."""
        return self._mapped_bytes

    @property
    def capacity_bytes(self) -> int:
        return self._capacity_bytes

    @property
    def evictions_count(self) -> int:
        """Always 0: the publisher lets bodies go, and counts them."""
        return 0

    @property
    def refusals_count(self) -> int:
        """Always 0: the publisher refuses bodies, and counts them."""
        return 0

    def attach(self, arena_id: ArenaId, size_bytes: int, fd: int) -> None:
        """Map an arena. One that is mapped already counts as new again; one larger than the tier is left out.

        Args:
            fd: Belongs to this tier from now on; it is closed in any case.
        Raises:
            BadAnnouncement: Not memory of that size that keeps its size. OSError: It cannot be mapped.
        """
        try:
            if not 0 < size_bytes <= os.fstat(fd).st_size or not _keeps_its_size(fd):
                raise BadAnnouncement(f"arena {arena_id} is not a sealed file of {size_bytes} bytes")
            known = self._arenas.pop(arena_id, None)
            if known is not None:
                self._arenas[arena_id] = known
                if known.size_bytes != size_bytes:
                    raise BadAnnouncement(f"arena {arena_id} had {known.size_bytes} bytes, not {size_bytes}")
                return
            if size_bytes > self._capacity_bytes:
                return
            self._arenas[arena_id] = _Mapped(size_bytes, fd)
            self._mapped_bytes += size_bytes
        finally:
            os.close(fd)
        while self._mapped_bytes > self._capacity_bytes + size_bytes:
            self.gone(next(iter(self._arenas)))

    def place(self, key: BodyKey, arena_id: ArenaId, offset: int, size_bytes: int) -> None:
        """Note where a body lies. In an arena that is not mapped it is not looked for.

        Raises:
            BadAnnouncement: Not within its arena.
        """
        arena = self._arenas.get(arena_id)
        if arena is None:
            return
        if offset < 0 or size_bytes < 0 or offset + size_bytes > arena.size_bytes:
            raise BadAnnouncement(f"a body of {size_bytes} bytes at {offset} is not within arena {arena_id}")
        self.drop(key)
        self._places[key] = _Place(arena, arena.view[offset : offset + size_bytes])
        arena.keys.add(key)

    def gone(self, arena_id: ArenaId) -> None:
        """Forget an arena and all bodies in it; one that is not mapped is no error. Views of its bodies stay right."""
        arena = self._arenas.pop(arena_id, None)
        if arena is None:
            return
        self._mapped_bytes -= arena.size_bytes
        for key in arena.keys:
            del self._places[key]
        self._run(arena.close)

    def arena_ids(self) -> list[ArenaId]:
        """Return what is mapped, that announced last at the end."""
        return list(self._arenas)

    def __contains__(self, key: BodyKey) -> bool:
        return key in self._places

    def get(self, key: BodyKey) -> memoryview | None:
        """Return a body as a view for reading only, or None. Its bytes stay, whatever the publisher does."""
        place = self._places.get(key)
        return None if place is None else place.body

    def put(self, key: BodyKey, body: Body) -> None:
        """Keep nothing: what was read from SSD is in the page cache, once for all processes."""

    def drop(self, key: BodyKey) -> None:
        """Forget a body; one that is not there is no error."""
        place = self._places.pop(key, None)
        if place is not None:
            place.arena.keys.remove(key)

    def drop_bucket(self, event_id: str, bucket: int | None) -> None:
        """Forget the bodies of a bucket; None for init segments and manifests."""
        for key in keys_of_bucket(self._places, event_id, bucket):
            self.drop(key)


def _keeps_its_size(fd: int) -> bool:
    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS == SEALS
    except OSError:  # no file in memory
        return False
