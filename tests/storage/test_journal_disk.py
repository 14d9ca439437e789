"""A disk that fails under the journal leaves no trace of the record; one that is slow is waited for once."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.errors import StorageError, StorageFull
from storage.journal import FileJournal, Replay
from tests.storage.disks import fail_with, files_of_at_most
from tests.storage.journals import RECORDS, append_all, masks_told, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


def write_half(descriptor: int, data: bytes) -> int:
    return os_write(descriptor, data[: len(data) // 2])


os_write = os.write

WRITE_FAULTS = [
    ("no-space", fail_with(errno.ENOSPC), StorageFull),
    ("no-quota", fail_with(errno.EDQUOT), StorageFull),
    ("broken-disk", fail_with(errno.EIO), StorageError),
    ("half-a-line", write_half, StorageFull),
]


@pytest.mark.parametrize(
    ("write", "fault"), [case[1:] for case in WRITE_FAULTS], ids=[case[0] for case in WRITE_FAULTS]
)
def test_a_record_that_cannot_be_written_leaves_no_trace(
    path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., int], fault: type[StorageError]
) -> None:
    with opened(path) as (journal, told, _):
        append_all(journal, RECORDS[:2])
        before, moment = path.read_bytes(), journal.next_moment(1_000)
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", write)
            with pytest.raises(StorageError) as caught:
                journal.append(RECORDS[2], moment)
        assert type(caught.value) is fault
        assert caught.value.operation == "journal-append"
        assert path.read_bytes() == before
        assert masks_told(told) == ["m1", "m2"]
        assert journal.next_moment(1_000) == moment
        append_all(journal, RECORDS[3:4])
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m4"]
        assert replay == Replay(entries_count=3, damaged_count=0, torn_bytes=0)


@pytest.mark.parametrize("left_bytes", [0, 1, 40])
def test_a_file_that_cannot_grow_takes_no_half_record(path: Path, left_bytes: int) -> None:
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS[:2])
        before = path.read_bytes()
        with files_of_at_most(len(before) + left_bytes), pytest.raises(StorageError, match="journal-append"):
            append_all(journal, RECORDS[2:3])
        assert path.read_bytes() == before
        append_all(journal, RECORDS[3:4])
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m4"]
        assert replay.damaged_count == 0


def test_half_a_line_that_cannot_be_taken_back_is_taken_back_before_the_next_record(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path) as (journal, told, _):
        append_all(journal, RECORDS[:2])
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", write_half)
            broken.setattr(os, "ftruncate", fail_with(errno.EIO))
            with pytest.raises(StorageError):
                append_all(journal, RECORDS[2:3])
            broken.setattr(os, "write", os_write)
            with pytest.raises(StorageError, match="journal-append: Input/output error"):
                append_all(journal, RECORDS[2:3])
        assert masks_told(told) == ["m1", "m2"]
        append_all(journal, RECORDS[3:4])
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m4"]
        assert replay == Replay(entries_count=3, damaged_count=0, torn_bytes=0)


def test_a_journal_that_cannot_be_opened_is_a_fault(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "missing" / "journal.log", fsync=False)
    with pytest.raises(StorageError, match="journal-open: No such file or directory") as caught:
        journal.open()
    assert str(tmp_path) not in str(caught.value)
    journal.close()


def test_a_journal_belongs_to_one_process_at_a_time(path: Path) -> None:
    with opened(path) as (journal, _, _):
        second = FileJournal(path, fsync=False)
        with pytest.raises(StorageError, match="journal-open: another origin uses this folder"):
            second.open()
        second.close()
        append_all(journal, RECORDS[:1])
    with opened(path) as (_, told, _):
        assert masks_told(told) == ["m1"]


def test_a_journal_can_be_closed_twice(path: Path) -> None:
    with opened(path) as (journal, _, _):
        journal.close()


# -- Durability


class SlowFsync:
    """Stops the thread that flushes, and counts the flushes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.failing = False
        self._go_on = threading.Semaphore(0)
        self._reached = threading.Semaphore(0)
        monkeypatch.setattr(os, "fsync", self._fsync)

    async def reached(self) -> None:
        """Wait until one more flush has begun."""
        assert await asyncio.to_thread(self._reached.acquire, timeout=10)

    def let_one_end(self) -> None:
        self._go_on.release()

    def _fsync(self, _: int) -> None:
        self.count += 1
        self._reached.release()
        assert self._go_on.acquire(timeout=10)
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def durable(path: Path) -> Iterator[FileJournal]:
    with opened(path, fsync=True) as (journal, _, _):
        yield journal


async def test_without_fsync_nothing_waits_for_the_device(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail_with(errno.EIO))
            await journal.sync()


async def test_sync_returns_when_the_device_has_the_records(
    durable: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS[:1])
    with monkeypatch.context() as patch:
        fsync = SlowFsync(patch)
        syncing = asyncio.create_task(durable.sync())
        await fsync.reached()
        await turn()
        assert not syncing.done()
        fsync.let_one_end()
        await syncing
        assert fsync.count == 1


async def test_callers_that_wait_together_share_one_flush(
    durable: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS)
    with monkeypatch.context() as patch:
        fsync = SlowFsync(patch)
        syncing = [asyncio.create_task(durable.sync()) for _ in range(10)]
        await fsync.reached()
        fsync.let_one_end()
        await asyncio.gather(*syncing)
        assert fsync.count == 1


async def test_a_record_appended_during_a_flush_waits_for_the_next_one(
    durable: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS[:1])
    with monkeypatch.context() as patch:
        fsync = SlowFsync(patch)
        first = asyncio.create_task(durable.sync())
        await fsync.reached()
        append_all(durable, RECORDS[1:2])
        late = [asyncio.create_task(durable.sync()) for _ in range(3)]
        await turn()
        fsync.let_one_end()
        await first
        await fsync.reached()
        assert not any(task.done() for task in late)
        fsync.let_one_end()
        await asyncio.gather(*late)
        assert fsync.count == 2


async def test_what_is_durable_already_is_not_flushed_again(
    durable: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS)
    await durable.sync()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail_with(errno.EIO))
        await durable.sync()


async def test_a_flush_that_fails_is_reported_to_everyone_who_waits_and_tried_again_by_the_next(
    durable: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS[:1])
    with monkeypatch.context() as patch:
        fsync = SlowFsync(patch)
        fsync.failing = True
        syncing = [asyncio.create_task(durable.sync()) for _ in range(3)]
        await fsync.reached()
        fsync.let_one_end()
        results = await asyncio.gather(*syncing, return_exceptions=True)
        assert [str(result) for result in results] == ["journal-sync: Input/output error"] * 3
        assert all(isinstance(result, StorageError) for result in results)
        fsync.failing = False
        fsync.let_one_end()
        await durable.sync()
        assert fsync.count == 2


async def test_a_caller_that_is_cancelled_leaves_the_flush_to_the_others(
    durable: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS[:1])
    with monkeypatch.context() as patch:
        fsync = SlowFsync(patch)
        leaving, staying = asyncio.create_task(durable.sync()), asyncio.create_task(durable.sync())
        await fsync.reached()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not staying.done()
        fsync.let_one_end()
        await staying
        assert fsync.count == 1


def test_closing_flushes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    journal = FileJournal(path, fsync=False)
    journal.open()
    append_all(journal, RECORDS)
    monkeypatch.setattr(os, "fsync", flushed.append)
    journal.close()
    assert len(flushed) == 1


def test_a_last_flush_that_fails_is_a_fault_and_lets_go_of_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FileJournal(path, fsync=False)
    journal.open()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail_with(errno.EIO))
        with pytest.raises(StorageError, match="journal-close: Input/output error"):
            journal.close()
    with opened(path):
        pass


def test_with_fsync_what_the_last_run_left_and_the_journals_name_are_flushed_at_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
        with opened(path, fsync=True):
            assert flushed == [str(path), str(path.parent)]
