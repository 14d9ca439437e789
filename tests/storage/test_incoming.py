"""A large body on its way to the disk: whole or gone, whatever the disk and the packager do."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.incoming import FileIncoming
from tests.storage.disks import Disk, files_below, files_of_at_most, no_more_descriptors

PIECE = b"0123456789" * 1_000


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "incoming").mkdir()
    return tmp_path / "incoming" / "0.tmp"


@pytest.fixture
def incoming(path: Path, threads: ThreadPoolExecutor) -> FileIncoming:
    return FileIncoming(path, fsync=False, threads=threads)


def descriptors_count() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_nothing_is_there_before_the_first_byte(incoming: FileIncoming, path: Path) -> None:
    assert files_below(path.parent) == []
    await incoming.write(b"x")
    assert files_below(path.parent) == ["0.tmp"]
    await incoming.discard()


async def test_what_is_finished_holds_no_descriptor(incoming: FileIncoming, path: Path) -> None:
    before = descriptors_count()
    await incoming.write(PIECE)
    assert descriptors_count() == before + 1
    await incoming.finish()
    assert descriptors_count() == before
    assert await incoming.read() == PIECE
    assert incoming.release() == path
    await incoming.discard()
    assert files_below(path.parent) == ["0.tmp"], "it is somebody else's now"


@pytest.mark.parametrize("is_finished", [False, True])
async def test_what_is_discarded_leaves_neither_file_nor_descriptor(
    incoming: FileIncoming, tmp_path: Path, is_finished: bool
) -> None:
    before = descriptors_count()
    await incoming.write(PIECE)
    if is_finished:
        await incoming.finish()
    await incoming.discard()
    assert files_below(tmp_path) == []
    assert descriptors_count() == before


@pytest.mark.parametrize("left_bytes", [0, 1, 9_999, 15_000])
async def test_a_disk_that_gives_out_is_a_fault_and_leaves_nothing(
    incoming: FileIncoming, tmp_path: Path, left_bytes: int
) -> None:
    with files_of_at_most(left_bytes), pytest.raises(StorageError, match="body-write: File too large"):
        await asyncio.gather(incoming.write(PIECE), incoming.write(PIECE))
    await incoming.discard()
    assert files_below(tmp_path) == []


async def test_without_descriptors_nothing_comes_in(incoming: FileIncoming, tmp_path: Path) -> None:
    await asyncio.to_thread(int)
    with no_more_descriptors(), pytest.raises(StorageError, match="body-write: Too many open files"):
        await incoming.write(PIECE)
    await incoming.discard()
    assert files_below(tmp_path) == []


async def test_a_body_that_vanished_cannot_be_read_and_is_no_missing_one(incoming: FileIncoming, path: Path) -> None:
    await incoming.write(PIECE)
    await incoming.finish()
    shutil.rmtree(path.parent)
    with pytest.raises(StorageError, match="body-write: No such file or directory") as caught:
        await incoming.read()
    assert type(caught.value) is StorageError
    await incoming.discard()


async def test_a_body_that_is_cut_on_the_disk_is_not_taken_for_whole(incoming: FileIncoming, path: Path) -> None:
    await incoming.write(PIECE)
    await incoming.finish()
    os.truncate(path, 10)
    with pytest.raises(StorageError, match="read 10 of 10000 bytes back"):
        await incoming.read()
    await incoming.discard()


@pytest.mark.parametrize("fsync", [False, True])
async def test_it_is_flushed_once_at_its_end_if_at_all(
    path: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, fsync: bool
) -> None:
    disk = Disk(monkeypatch)
    incoming = FileIncoming(path, fsync=fsync, threads=threads)
    for _ in range(3):
        await incoming.write(PIECE)
    assert disk.calls == []
    await incoming.finish()
    assert disk.calls == ["sync file"] * fsync
    await incoming.discard()


async def test_a_write_that_nobody_waits_for_ends_before_the_file_is_closed(tmp_path: Path, path: Path) -> None:
    """Closed under a write, its descriptor might be another file's when the write is made."""
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        incoming = FileIncoming(path, fsync=False, threads=threads)
        await incoming.write(PIECE)
        threads.submit(go_on.wait, 10)
        writing = asyncio.create_task(incoming.write(PIECE))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        discarding = asyncio.create_task(incoming.discard())
        await asyncio.to_thread(int)
        assert not discarding.done()
        go_on.set()
        await discarding
    assert files_below(tmp_path) == []


async def test_a_discard_that_nobody_waits_for_is_done_all_the_same(tmp_path: Path, path: Path) -> None:
    go_on = threading.Event()
    before = descriptors_count()
    with ThreadPoolExecutor(1) as threads:
        incoming = FileIncoming(path, fsync=False, threads=threads)
        await incoming.write(PIECE)
        threads.submit(go_on.wait, 10)
        discarding = asyncio.create_task(incoming.discard())
        await asyncio.sleep(0)
        discarding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await discarding
        go_on.set()
        async with asyncio.timeout(10):
            while files_below(tmp_path) or descriptors_count() > before:
                await asyncio.to_thread(int)
