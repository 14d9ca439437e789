"""A disk that fails under the journal leaves no trace of the record; one that is slow is waited for once."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.errors import StorageError, StorageFull
from storage.journal import ROLL_MS, FileJournal, read_journal
from storage.journal_files import Replay
from storage.records import Entry
from tests.storage.disks import fail_with, files_of_at_most
from tests.storage.journals import RECORDS, append_all, files_in, masks_told, only_file, opened, write_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


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
        before, moment = only_file(path).read_bytes(), journal.next_moment(1_000)
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", write)
            with pytest.raises(StorageError) as caught:
                journal.append(RECORDS[2], moment)
        assert type(caught.value) is fault
        assert caught.value.operation == "journal-append"
        assert only_file(path).read_bytes() == before
        assert masks_told(told) == ["m1", "m2"]
        assert journal.next_moment(1_000) == moment
        append_all(journal, RECORDS[3:4])
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m4"]
        assert replay == Replay(entries_count=3, files_count=1)


@pytest.mark.parametrize("left_bytes", [0, 1, 40])
def test_a_file_that_cannot_grow_takes_no_half_record(path: Path, left_bytes: int) -> None:
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS[:2])
        before = only_file(path).read_bytes()
        with files_of_at_most(len(before) + left_bytes), pytest.raises(StorageError, match="journal-append"):
            append_all(journal, RECORDS[2:3])
        assert only_file(path).read_bytes() == before
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
        assert replay == Replay(entries_count=3, files_count=1)


def test_a_journal_that_cannot_be_opened_is_a_fault(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "missing" / "journal", fsync=False)
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


class FailingFsync:
    """Fails so many times, and then does what it is for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        self._really_fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, descriptor: int) -> None:
        if self.left:
            self.left -= 1
            raise OSError(errno.EIO, "Input/output error")
        self._really_fsync(descriptor)


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


async def test_what_a_flush_could_not_write_is_written_again_to_a_new_file(
    durable: FileJournal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a flush that failed the kernel may have dropped it, and the next flush would succeed all the same."""
    append_all(durable, RECORDS[:1])
    await durable.sync()
    append_all(durable, RECORDS[1:3])
    failing = FailingFsync(monkeypatch, times=1)
    await asyncio.gather(*(durable.sync() for _ in range(3)))
    assert failing.left == 0
    first, second = files_in(path)
    assert second.read_bytes() == b"".join(first.read_bytes().splitlines(keepends=True)[1:])
    append_all(durable, RECORDS[3:4])
    await durable.sync()
    first.write_bytes(first.read_bytes()[:100])  # a power cut
    told: list[Entry] = []
    assert read_journal(path, told.append) == Replay(4, files_count=2)
    assert masks_told(told) == ["m1", "m2", "m3", "m4"]


async def test_while_nothing_can_be_flushed_nothing_is_recorded_and_then_it_goes_on(
    durable: FileJournal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS[:2])
    with monkeypatch.context() as patch:
        FailingFsync(patch, times=1_000)
        results = await asyncio.gather(*(durable.sync() for _ in range(3)), return_exceptions=True)
        assert [str(result) for result in results] == ["journal-sync: Input/output error"] * 3
        assert all(isinstance(result, StorageError) for result in results)
        for _ in range(3):
            with pytest.raises(StorageError, match="journal-sync: what was recorded last is not flushed yet"):
                append_all(durable, RECORDS[2:3])
            with pytest.raises(StorageError, match="journal-sync: Input/output error"):
                await durable.sync()
        assert not any(isinstance(result, StorageFull) for result in results)
        assert len(files_in(path)) == 1, "what could not be flushed is not left behind"
    with pytest.raises(StorageError, match="not flushed yet"):
        append_all(durable, RECORDS[2:3])
    await durable.sync()  # the attempt above began it
    append_all(durable, RECORDS[3:4])
    await durable.sync()
    told: list[Entry] = []
    assert read_journal(path, told.append) == Replay(3, files_count=2)
    assert masks_told(told) == ["m1", "m2", "m4"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_flush_that_lacks_space_says_so_and_so_does_what_is_refused_meanwhile(
    durable: FileJournal, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Or nobody would free any."""
    append_all(durable, RECORDS[:2])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_with(number))
        with pytest.raises(StorageFull, match="journal-sync"):
            await durable.sync()
        with pytest.raises(StorageFull, match="journal-sync: what was recorded last is not flushed yet"):
            append_all(durable, RECORDS[2:3])
        with pytest.raises(StorageFull, match="journal-sync"):
            await durable.sync()
    await durable.sync()


async def test_a_record_of_the_time_of_the_flush_that_fails_is_written_again_with_the_others(
    durable: FileJournal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS[:1])
    with monkeypatch.context() as patch:
        fsync = SlowFsync(patch)
        fsync.failing = True
        first = asyncio.create_task(durable.sync())
        await fsync.reached()
        append_all(durable, RECORDS[1:2])
        late = asyncio.create_task(durable.sync())
        fsync.let_one_end()
        await fsync.reached()
        fsync.failing = False
        for _ in range(2):  # the new file, and its name
            fsync.let_one_end()
        await asyncio.gather(first, late)
    _, second = files_in(path)
    assert len(second.read_bytes().splitlines()) == 2


async def test_a_file_that_rolled_before_it_was_flushed_is_flushed_with_its_name(
    durable: FileJournal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(durable, RECORDS[:1], now_ms=1_000)
    append_all(durable, RECORDS[1:2], now_ms=1_000 + ROLL_MS)
    append_all(durable, RECORDS[2:3], now_ms=1_000 + ROLL_MS)
    flushed: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
        await durable.sync()
        await durable.sync()
        append_all(durable, RECORDS[3:4])
        await durable.sync()
    first, second = map(str, files_in(path))
    assert flushed == [first, second, str(path), second]


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
            assert flushed == [str(only_file(path)), str(path), str(path.parent)]
        write_lines(path)
        flushed.clear()
        with opened(path, fsync=True):
            assert flushed == [str(only_file(path)), str(path), str(path.parent)]
