"""An arena is written once, cannot be written or cut by those it is shown to, and says when there is no memory."""

import errno
import mmap
import os
from collections.abc import Iterator

import pytest

from storage import arenas
from storage.arenas import Arena, page_ceiling
from tests.support.shared_memory import descriptors_count, mappings_count

SIZE_BYTES = 4 * mmap.PAGESIZE


@pytest.fixture
def arena() -> Iterator[Arena]:
    made = Arena("t-1", SIZE_BYTES, is_lasting=False)
    yield made
    if made.fd != -1:
        made.close()


def test_bodies_lie_one_behind_the_other(arena: Arena) -> None:
    assert [arena.write(body) for body in (b"abc", b"", b"de")] == [0, 3, 3]
    assert (bytes(arena.view[:6]), arena.filled_bytes) == (b"abcde\0", 5)


def test_an_arena_has_room_up_to_its_last_byte(arena: Arena) -> None:
    arena.write(bytes(SIZE_BYTES - 2))
    assert arena.has_room(2)
    assert not arena.has_room(3)
    assert arena.write(b"xy") == SIZE_BYTES - 2
    assert bytes(arena.view[-2:]) == b"xy"


def test_an_arena_takes_memory_only_as_far_as_it_is_filled(arena: Arena) -> None:
    assert os.fstat(arena.fd).st_blocks == 0
    arena.write(b"a")
    assert os.fstat(arena.fd).st_blocks * 512 == mmap.PAGESIZE
    assert os.fstat(arena.fd).st_size == SIZE_BYTES


def test_who_is_given_the_descriptor_cannot_write(arena: Arena) -> None:
    with pytest.raises(PermissionError):
        mmap.mmap(arena.fd, SIZE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(arena.fd, b"a")
    with pytest.raises(TypeError):
        arena.view[0] = 1


@pytest.mark.parametrize("size_bytes", [0, SIZE_BYTES // 2, 2 * SIZE_BYTES])
def test_not_even_who_opens_it_anew_can_write_or_resize(arena: Arena, size_bytes: int) -> None:
    fd = os.open(f"/proc/self/fd/{arena.fd}", os.O_RDWR | os.O_CLOEXEC)
    try:
        with pytest.raises(PermissionError):
            mmap.mmap(fd, SIZE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        with pytest.raises(PermissionError):
            os.write(fd, b"a")
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size_bytes)
    finally:
        os.close(fd)


def test_the_arenas_own_writes_go_on_after_it_was_sealed(arena: Arena) -> None:
    with mmap.mmap(arena.fd, SIZE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
        arena.write(b"late")
        assert mapped[:4] == b"late"


def test_a_system_that_lacks_a_seal_and_an_advice_is_good_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arenas, "_FUTURE_WRITE_SEAL", 1 << 20)
    monkeypatch.setattr(arenas, "_POPULATE_WRITE", 1 << 20)
    arena = Arena("t-2", SIZE_BYTES, is_lasting=False)
    arena.write(b"abc")
    assert bytes(arena.view[:3]) == b"abc"
    with pytest.raises(PermissionError):
        mmap.mmap(arena.fd, SIZE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    arena.close()


class Exhausted:
    """A mapping on a system without memory."""

    def madvise(self, *_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_where_there_is_no_memory_nothing_is_written(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    arena.write(b"abc")
    with monkeypatch.context() as patch:
        patch.setattr(arena, "_mapping", Exhausted())
        with pytest.raises(OSError, match="Cannot allocate"):
            arena.write(b"de")
    assert arena.write(b"fg") == 3
    assert bytes(arena.view[:5]) == b"abcfg"


def test_of_an_arena_that_could_not_be_made_nothing_is_left() -> None:
    open_before = descriptors_count()
    with pytest.raises(OSError, match="Cannot allocate"):
        Arena("half", 1 << 48, is_lasting=False)  # more than can be mapped
    assert descriptors_count() == open_before
    assert mappings_count("half") == 0


def test_an_arena_that_was_closed_is_there_for_who_looks_at_it() -> None:
    open_before = descriptors_count()
    arena = Arena("seen-1", SIZE_BYTES, is_lasting=False)
    arena.write(b"abc")
    view = arena.view[0:3]
    arena.close()
    del arena
    assert mappings_count("seen") == 1
    assert bytes(view) == b"abc"
    del view
    assert mappings_count("seen") == 0
    assert descriptors_count() == open_before


def test_memory_comes_in_pages() -> None:
    page = mmap.PAGESIZE
    assert [page_ceiling(size) for size in (0, 1, page, page + 1)] == [0, page, page, 2 * page]
