"""Arenas: files in memory (memfd) of fixed size that one process fills and others map and read.

An arena is filled from front to back and never written twice, so what was announced stays what it is; it takes
memory only as far as it is filled. The memory is given back when the last process that maps it has let go.

Readers cannot write: what they are given is open for reading only, and sealed against new writable mappings
(F_SEAL_FUTURE_WRITE, Linux 5.1). Nor can the file be cut under their mappings (F_SEAL_SHRINK).
"""

import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from storage.base import Body, BodyKey

_FUTURE_WRITE_SEAL: Final = 0x10  # F_SEAL_FUTURE_WRITE of linux/fcntl.h; Python has no name for it
SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE of linux/mman.h, Linux 5.14

ArenaId = str


class ArenaMade(NamedTuple):
    """There is a new arena.

    Args:
        id: Never used twice, by another publisher either.
        fd: Open for reading only. It is the tier's, and open until the arena is gone: to keep it, duplicate it.
    """

    id: ArenaId
    size_bytes: int
    fd: int


class BodyPlaced(NamedTuple):
    """A body lies whole in an arena, and stays there as long as the arena does."""

    key: BodyKey
    arena_id: ArenaId
    offset: int
    size_bytes: int


class ArenaGone(NamedTuple):
    """An arena is no longer held, with all bodies in it."""

    id: ArenaId


Announcement = ArenaMade | BodyPlaced | ArenaGone

# Runs what it is given, now or in a thread. To unmap and free 16 MiB takes the kernel 3 ms, which is long for a loop.
Runner = Callable[[Callable[[], None]], object]


def run_now(work: Callable[[], None]) -> None:
    """Be the runner of those who have the time."""
    work()


def page_ceiling(size_bytes: int) -> int:
    """Return the bytes of the memory pages that hold so many.

    >>> page_ceiling(1) == page_ceiling(mmap.PAGESIZE) == mmap.PAGESIZE
    True
    """
    return -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


class Arena:
    """One file in memory, mapped for writing, and what lies in it."""

    __slots__ = ("_mapping", "fd", "filled_bytes", "id", "is_lasting", "keys", "newest_ms", "size_bytes", "view")

    def __init__(self, arena_id: ArenaId, size_bytes: int, *, is_lasting: bool) -> None:
        """Make it.

        Raises:
            OSError: Too many files are open, or mappings made. Nothing is left.
        """
        self.id = arena_id
        self.is_lasting = is_lasting  # holds what has no media time
        self.size_bytes = size_bytes
        self.filled_bytes = 0
        self.keys: set[BodyKey] = set()
        self.newest_ms: int | None = None  # None: to be looked up anew
        self.fd = -1
        fd = os.memfd_create(f"live-origin-{arena_id}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size_bytes)
            self._mapping = mmap.mmap(fd, size_bytes)
            _seal(fd)
            self.fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(fd)  # the mapping has a descriptor of its own
        self.view = memoryview(self._mapping).toreadonly()

    def has_room(self, size_bytes: int) -> bool:
        return self.filled_bytes + size_bytes <= self.size_bytes

    def write(self, body: Body) -> int:
        """Write behind what is there; returns where.

        Raises:
            OSError: The system has no memory for it. What is there already is untouched.
        """
        begin, end = self.filled_bytes, self.filled_bytes + len(body)
        if body:
            # Without memory, touching a page would be the end of the process (SIGBUS); and one call is a quarter
            # faster than a page fault for each.
            first_page = begin // mmap.PAGESIZE * mmap.PAGESIZE
            try:
                self._mapping.madvise(_POPULATE_WRITE, first_page, page_ceiling(end) - first_page)
            except OSError as exc:
                if exc.errno != errno.EINVAL:  # Linux before 5.14 does not know it
                    raise
            self._mapping[begin:end] = body
        self.filled_bytes = end
        return begin

    def close(self) -> None:
        """Give up what is ours, from any thread. Views keep the mapping, which goes with the last of them."""
        del self.view, self._mapping
        os.close(self.fd)
        self.fd = -1


def _seal(fd: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS | _FUTURE_WRITE_SEAL)
    except OSError:  # Linux before 5.1: readers are still given a descriptor for reading only
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
