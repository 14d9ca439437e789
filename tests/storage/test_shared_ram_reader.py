"""A reader serves what a publisher wrote, maps no more than it may, and believes nothing that could end it."""

import errno
import fcntl
import mmap
import os
import tempfile
from collections.abc import Callable
from threading import Thread

import pytest

from storage.arenas import SEALS, Arena
from storage.shared_ram import SharedRam
from storage.shared_ram_reader import BadAnnouncement, SharedRamReader
from tests.storage.test_ram import key, place_of, span
from tests.storage.test_shared_ram import CAPACITY_BYTES, PAGE, body_of, fill
from tests.support.shared_memory import descriptors_count, mappings_count, read, tell, view_of


def make_pair(generation: str = "r", reader: SharedRamReader | None = None) -> tuple[SharedRam, SharedRamReader]:
    """Return a publisher and a reader that hears all of it."""
    heard = reader or SharedRamReader(CAPACITY_BYTES)
    return SharedRam(CAPACITY_BYTES, place_of, lambda told: tell(heard, told), generation=generation), heard


def attach(reader: SharedRamReader, arena: Arena) -> None:
    reader.attach(arena.id, arena.size_bytes, os.dup(arena.fd))


def make_arena(arena_id: str = "a-1", pages_count: int = 4) -> Arena:
    arena = Arena(arena_id, pages_count * PAGE, is_lasting=False)
    arena.write(b"abc")
    return arena


def test_what_was_announced_is_read_without_a_copy() -> None:
    publisher, reader = make_pair()
    fill(publisher, "v-1", "init")
    view = view_of(reader, "v-1")
    assert view == body_of("v-1")
    assert view.readonly
    assert isinstance(view.obj, mmap.mmap)
    assert read(reader, "init") == body_of("init")
    assert read(reader, "v-2") is None
    publisher.close()


def test_a_reader_keeps_exactly_what_its_publisher_keeps() -> None:
    publisher, reader = make_pair()
    names = [*span("v", 1, 100), "init"]
    fill(publisher, *names)
    for name in names:
        assert read(reader, name) == read(publisher, name)
    assert reader.arena_ids() == [arena.id for arena in publisher.arenas()]
    assert reader.used_bytes == sum(arena.size_bytes for arena in publisher.arenas()) <= reader.capacity_bytes
    assert (reader.evictions_count, reader.refusals_count) == (0, 0)
    publisher.close()
    assert (reader.used_bytes, reader.arena_ids(), read(reader, "v-100")) == (0, [], None)


def test_mappings_and_descriptors_go_with_their_arenas() -> None:
    open_before = descriptors_count()
    publisher, _ = make_pair("mapped")
    fill(publisher, *span("v", 1, 200))
    assert mappings_count("mapped") == 2 * len(publisher.arenas())
    publisher.close()
    assert (mappings_count("mapped"), descriptors_count()) == (0, open_before)


def test_a_view_stays_right_after_its_arena_has_gone_everywhere_and_then_the_memory_is_given_back() -> None:
    open_before = descriptors_count()
    publisher, reader = make_pair("kept")
    fill(publisher, *span("v", 1, 8))
    view = view_of(reader, "v-1")
    publisher.close()
    assert read(reader, "v-1") is None
    fill(publisher, *span("v", 20, 60))  # what is made later lies elsewhere
    publisher.close()
    assert view == body_of("v-1")
    assert mappings_count("kept") == 1
    part = memoryview(view)[10:20]
    del view
    assert part == body_of("v-1")[10:20]
    assert mappings_count("kept") == 1
    del part
    assert (mappings_count("kept"), descriptors_count()) == (0, open_before)


def test_memory_can_be_given_back_elsewhere() -> None:
    """In a thread, as the event loop has no time for it."""
    open_before = descriptors_count()
    works: list[Callable[[], None]] = []
    reader = SharedRamReader(CAPACITY_BYTES, works.append)
    publisher = SharedRam(CAPACITY_BYTES, place_of, lambda told: tell(reader, told), "later", works.append)
    fill(publisher, *span("v", 1, 4))
    view = view_of(reader, "v-1")
    publisher.close()
    assert read(reader, "v-1") is None
    assert (len(works), mappings_count("later")) == (2, 2)
    for work in works:
        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert view == body_of("v-1")
    assert mappings_count("later") == 1
    del view
    assert (mappings_count("later"), descriptors_count()) == (0, open_before)


def test_a_reader_puts_nothing() -> None:
    reader = SharedRamReader(CAPACITY_BYTES)
    reader.put(key("v-1"), b"abc")
    assert read(reader, "v-1") is None
    assert reader.used_bytes == 0


def test_bodies_can_be_forgotten() -> None:
    publisher, reader = make_pair()
    fill(publisher, *span("v", 1, 3), "init")
    reader.drop(key("v-2"))
    reader.drop(key("v-2"))
    assert [reader.get(key(name)) is not None for name in span("v", 1, 3)] == [True, False, True]
    reader.drop_bucket("derby", 0)
    assert [reader.get(key(name)) for name in span("v", 1, 3)] == [None] * 3
    publisher.close()


def test_a_body_that_was_placed_anew_does_not_go_with_its_former_arena() -> None:
    reader = SharedRamReader(CAPACITY_BYTES)
    first, second = make_arena("a-1"), make_arena("a-2")
    for arena in (first, second):
        attach(reader, arena)
        reader.place(key("v-1"), arena.id, 0, 3)
    reader.gone("a-1")
    assert read(reader, "v-1") == b"abc"
    reader.gone("a-2")
    assert read(reader, "v-1") is None
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("offset", "size_bytes"), [(0, 4 * PAGE + 1), (4 * PAGE, 1), (-1, 2), (1, -1), (2**63, 1), (-4 * PAGE, 4 * PAGE)]
)
def test_a_body_beyond_its_arena_is_refused(offset: int, size_bytes: int) -> None:
    reader, arena = SharedRamReader(CAPACITY_BYTES), make_arena()
    attach(reader, arena)
    reader.place(key("v-1"), arena.id, 0, 3)
    with pytest.raises(BadAnnouncement, match="not within arena a-1"):
        reader.place(key("v-1"), arena.id, offset, size_bytes)
    assert read(reader, "v-1") == b"abc"
    arena.close()


@pytest.mark.parametrize(("offset", "size_bytes"), [(0, 4 * PAGE), (4 * PAGE, 0), (4 * PAGE - 1, 1)])
def test_a_body_up_to_the_end_of_its_arena_is_taken(offset: int, size_bytes: int) -> None:
    reader, arena = SharedRamReader(CAPACITY_BYTES), make_arena()
    attach(reader, arena)
    reader.place(key("v-1"), arena.id, offset, size_bytes)
    assert read(reader, "v-1") == bytes(arena.view[offset : offset + size_bytes])
    arena.close()


def file_on_disk() -> int:
    with tempfile.TemporaryFile() as file:
        file.truncate(PAGE)
        return os.dup(file.fileno())


def memory(size_bytes: int, seals: int) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size_bytes)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def memory_without_seals() -> int:
    return memory(PAGE, 0)


def memory_that_can_be_cut() -> int:
    return memory(PAGE, fcntl.F_SEAL_GROW)


def memory_that_was_cut() -> int:
    return memory(PAGE - 1, SEALS)


def end_of_a_pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


@pytest.mark.parametrize(
    "make", [file_on_disk, memory_without_seals, memory_that_can_be_cut, memory_that_was_cut, end_of_a_pipe]
)
def test_memory_that_could_end_this_process_is_refused(make: Callable[[], int]) -> None:
    open_before = descriptors_count()
    reader = SharedRamReader(CAPACITY_BYTES)
    with pytest.raises(BadAnnouncement, match="not a sealed file of 4096 bytes"):
        reader.attach("a-1", PAGE, make())
    assert (reader.arena_ids(), reader.used_bytes, descriptors_count()) == ([], 0, open_before)


@pytest.mark.parametrize("size_bytes", [0, -1, 4 * PAGE + 1])
def test_an_arena_of_an_absurd_size_is_refused(size_bytes: int) -> None:
    arena = make_arena()
    open_before = descriptors_count()
    with pytest.raises(BadAnnouncement):
        SharedRamReader(CAPACITY_BYTES).attach("a-1", size_bytes, os.dup(arena.fd))
    assert descriptors_count() == open_before
    arena.close()


def test_an_arena_that_is_told_again_stays_as_it_is() -> None:
    reader, arena, other = SharedRamReader(CAPACITY_BYTES), make_arena(), make_arena("a-2")
    attach(reader, arena)
    reader.place(key("v-1"), arena.id, 0, 3)
    attach(reader, other)
    open_before = descriptors_count()
    attach(reader, arena)
    assert read(reader, "v-1") == b"abc"
    assert (reader.arena_ids(), reader.used_bytes) == (["a-2", "a-1"], 8 * PAGE)
    with pytest.raises(BadAnnouncement, match="had 16384 bytes, not 1"):
        reader.attach(arena.id, 1, os.dup(arena.fd))
    assert read(reader, "v-1") == b"abc"
    assert descriptors_count() == open_before
    arena.close()
    other.close()


def test_an_arena_larger_than_the_tier_is_left_out_with_what_is_in_it() -> None:
    reader, arena = SharedRamReader(3 * PAGE), make_arena()
    open_before = descriptors_count()
    attach(reader, arena)
    reader.place(key("v-1"), arena.id, 0, 3)
    reader.gone(arena.id)
    assert (read(reader, "v-1"), reader.arena_ids(), descriptors_count()) == (None, [], open_before)
    arena.close()


def test_where_nothing_more_can_be_mapped_nothing_is_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, arena = SharedRamReader(CAPACITY_BYTES), make_arena()
    open_before = descriptors_count()

    def fail(*_: object) -> mmap.mmap:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with monkeypatch.context() as patch:
        patch.setattr(mmap, "mmap", fail)
        with pytest.raises(OSError, match="Cannot allocate"):
            attach(reader, arena)
    assert (reader.arena_ids(), reader.used_bytes, descriptors_count()) == ([], 0, open_before)
    attach(reader, arena)
    assert reader.used_bytes == 4 * PAGE
    arena.close()


def test_arenas_of_a_publisher_that_was_killed_serve_until_newer_ones_need_the_room() -> None:
    """A restarted publisher knows nothing of them, so nobody says that they are gone."""
    reader = SharedRamReader(CAPACITY_BYTES)
    killed, _ = make_pair("former", reader)
    fill(killed, *span("v", 1, 64))
    killed._announce = lambda _: None
    killed.close()
    assert [name for name in span("v", 1, 64) if read(reader, name) != body_of(name)] == []
    publisher, _ = make_pair("newer", reader)
    fill(publisher, *span("v", 65, 68))
    assert reader.used_bytes == CAPACITY_BYTES + 4 * PAGE
    assert read(reader, "v-1") == body_of("v-1")
    fill(publisher, "v-69")
    assert [name for name in span("v", 1, 69) if read(reader, name) is None] == span("v", 1, 4)
    fill(publisher, *span("v", 70, 140))
    assert mappings_count("former") == 1
    assert reader.used_bytes <= CAPACITY_BYTES + 4 * PAGE
    for name in span("v", 90, 140):
        assert read(reader, name) == body_of(name)
    publisher.close()
