"""Group commit: what is written at the same time is flushed together, and promised to nobody before that."""

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.bodies import FileBodies
from storage.errors import BodyMissing, StorageError, StorageFull
from tests.storage.contract import key_of, make_body
from tests.storage.disks import Disk, fail_with, files_below

BODIES_COUNT = 64
TEXTS = [make_body(seed, 10_000) for seed in range(BODIES_COUNT)]


@pytest.fixture
def bodies(tmp_path: Path) -> Iterator[FileBodies]:
    files = FileBodies(tmp_path / "bodies", fsync=True)
    files.open()
    yield files
    files.close()


class SlowFlush:
    """Stops every flush of a file until it is told to go on, and lets those whose bytes begin so fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.failing: dict[bytes, BaseException] = {}
        self._reached = threading.Event()
        monkeypatch.setattr(os, "fdatasync", self._flush)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 10)

    def _flush(self, descriptor: int) -> None:
        self._reached.set()
        assert self.go_on.wait(10)
        content = Path(f"/proc/self/fd/{descriptor}").read_bytes()
        for beginning, fault in self.failing.items():
            if content.startswith(beginning):
                raise fault


@pytest.fixture
def flush(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowFlush]:
    slow = SlowFlush(monkeypatch)
    yield slow
    slow.go_on.set()


async def gathered(bodies: FileBodies, count: int) -> None:
    """Wait until so many bodies stand behind the batch that is being flushed."""
    assert bodies._commits is not None
    async with asyncio.timeout(10):
        while len(bodies._commits._gathered) < count:
            await asyncio.to_thread(int)


async def write_behind_a_flush(
    bodies: FileBodies, flush: SlowFlush, texts: list[bytes]
) -> tuple["asyncio.Task[None]", list["asyncio.Task[None]"]]:
    """Return one write that is being flushed, and those that have gathered behind it."""
    first = asyncio.create_task(bodies.write(key_of(b"first"), b"first"))
    await flush.reached()
    others = [asyncio.create_task(bodies.write(key_of(text), text)) for text in texts]
    await gathered(bodies, len(texts))
    return first, others


async def test_what_gathers_while_a_batch_is_flushed_is_one_batch(bodies: FileBodies, flush: SlowFlush) -> None:
    first, others = await write_behind_a_flush(bodies, flush, TEXTS)
    flush.go_on.set()
    await asyncio.gather(first, *others)
    assert bodies.commits_count == 2
    for text in TEXTS:
        assert await bodies.read(key_of(text)) == text


async def test_a_folder_is_flushed_once_a_batch(
    bodies: FileBodies, flush: SlowFlush, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(*_let_through(flush, bodies, [(b"one", 0), (b"one", 32)]))
    flush.go_on.clear()
    flush._reached.clear()
    first, others = await write_behind_a_flush(bodies, flush, [])
    writes = [asyncio.create_task(bodies.write(key_of(text, number), text)) for text in TEXTS for number in (1, 33)]
    await gathered(bodies, len(writes))
    disk = Disk(monkeypatch)
    flush.go_on.set()
    await asyncio.gather(first, *others, *writes)
    assert disk.calls.count("sync 1") == 1
    assert disk.calls.count("sync 0") <= 2  # the first batch has its own
    assert disk.calls.count("rename") == len(writes) + 1


def _let_through(flush: SlowFlush, bodies: FileBodies, copies: list[tuple[bytes, int]]) -> list["asyncio.Task[None]"]:
    flush.go_on.set()
    return [asyncio.create_task(bodies.write(key_of(text, number), text)) for text, number in copies]


async def test_a_body_is_promised_only_once_its_batch_is_flushed(
    bodies: FileBodies, flush: SlowFlush, tmp_path: Path
) -> None:
    first, others = await write_behind_a_flush(bodies, flush, TEXTS)
    assert not any(write.done() for write in (first, *others))
    assert not [name for name in files_below(tmp_path / "bodies") if name.startswith("derby")]
    flush.go_on.set()
    await asyncio.gather(first, *others)


@pytest.mark.parametrize(("number", "fault"), [(errno.EIO, StorageError), (errno.ENOSPC, StorageFull)])
async def test_a_flush_that_fails_fails_its_batch_and_no_other(
    bodies: FileBodies, flush: SlowFlush, tmp_path: Path, number: int, fault: type[StorageError]
) -> None:
    first, others = await write_behind_a_flush(bodies, flush, TEXTS)
    flush.failing[TEXTS[5]] = OSError(number, os.strerror(number))
    flush.go_on.set()
    await first
    for result in await asyncio.gather(*others, return_exceptions=True):
        assert type(result) is fault
        assert str(result) == f"body-write: {os.strerror(number)}"
    assert files_below(tmp_path / "bodies") == [key_of(b"first")]
    flush.failing.clear()
    await asyncio.gather(*(bodies.write(key_of(text), text) for text in TEXTS))
    assert len(files_below(tmp_path / "bodies")) == BODIES_COUNT + 1


async def test_a_folder_that_cannot_be_flushed_leaves_of_its_batch_what_was_there_before(
    bodies: FileBodies, flush: SlowFlush, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes sent again are written again: a record may speak of the file that is there."""
    await asyncio.gather(*_let_through(flush, bodies, [(TEXTS[0], 10)]))
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail_with(errno.EIO))
        writes = [bodies.write(key_of(text), text) for text in TEXTS]
        for result in await asyncio.gather(*writes, return_exceptions=True):
            assert isinstance(result, StorageError)
    assert files_below(tmp_path / "bodies") == [key_of(TEXTS[0])]
    assert await bodies.read(key_of(TEXTS[0])) == TEXTS[0]


async def test_a_name_that_cannot_be_given_fails_only_its_body(
    bodies: FileBodies, flush: SlowFlush, tmp_path: Path
) -> None:
    (tmp_path / "bodies" / "derby").mkdir()
    (tmp_path / "bodies" / "derby" / "1").write_bytes(b"in place of a folder")
    first, others = await write_behind_a_flush(bodies, flush, TEXTS[:3])
    unlucky = asyncio.create_task(bodies.write(key_of(TEXTS[3], 40), TEXTS[3]))
    await gathered(bodies, 4)
    flush.go_on.set()
    await asyncio.gather(first, *others)
    with pytest.raises(StorageError, match="body-write"):
        await unlucky
    assert len(files_below(tmp_path / "bodies")) == 5


async def test_a_mistake_of_ours_is_told_and_the_next_batch_is_written(bodies: FileBodies, flush: SlowFlush) -> None:
    first, others = await write_behind_a_flush(bodies, flush, TEXTS[:2])
    flush.failing[TEXTS[1]] = ValueError("a mistake")
    flush.go_on.set()
    await first
    for result in await asyncio.gather(*others, return_exceptions=True):
        assert isinstance(result, ValueError)
    flush.failing.clear()
    await bodies.write(key_of(TEXTS[0]), TEXTS[0])


async def test_who_stops_waiting_leaves_the_batch_to_the_others(bodies: FileBodies, flush: SlowFlush) -> None:
    first, others = await write_behind_a_flush(bodies, flush, TEXTS[:3])
    for write in (first, others[0]):
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
    flush.go_on.set()
    await asyncio.gather(*others[1:])
    for text in TEXTS[:3]:
        assert await bodies.read(key_of(text)) == text


async def test_a_store_that_is_closed_commits_what_it_has_taken(bodies: FileBodies, flush: SlowFlush) -> None:
    first, others = await write_behind_a_flush(bodies, flush, TEXTS)
    closing = asyncio.create_task(asyncio.to_thread(bodies.close))
    flush.go_on.set()
    await asyncio.gather(closing, first, *others)


async def test_a_file_that_vanishes_before_it_has_its_name_is_a_fault(
    bodies: FileBodies, flush: SlowFlush, tmp_path: Path
) -> None:
    writing = asyncio.create_task(bodies.write(key_of(TEXTS[0]), TEXTS[0]))
    await flush.reached()
    for path in (tmp_path / "bodies").rglob("*.tmp"):
        path.unlink()
    flush.go_on.set()
    with pytest.raises(StorageError, match="body-write: No such file or directory") as caught:
        await writing
    assert not isinstance(caught.value, BodyMissing)
