"""The journal on disk: in order, checked, whole lines only, and durable once it said so."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.model import Moment
from storage.errors import StorageError, StorageFull
from storage.journal import FileJournal, Replay
from storage.records import Entry, Record, Unmasked
from tests.storage.strategies import milliseconds, records

RECORDS = [Unmasked("derby", f"m{number}") for number in range(1, 6)]


@contextmanager
def opened(path: Path, *, fsync: bool = False) -> Iterator[tuple[FileJournal, list[Entry], Replay]]:
    """Yield an open journal, the list of what its follower was told, and what its replay found."""
    journal, told = FileJournal(path, fsync=fsync), list[Entry]()
    journal.follow(told.append)
    try:
        yield journal, told, journal.open()
    finally:
        journal.close()


def append_all(journal: FileJournal, to_append: Sequence[Record], now_ms: int = 1_000) -> list[Entry]:
    return [journal.append(record, journal.next_moment(now_ms)) for record in to_append]


def write_lines(path: Path) -> list[bytes]:
    """Write `RECORDS` to a new journal and return its lines."""
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS)
    return path.read_bytes().splitlines(keepends=True)


def masks_told(told: Sequence[Entry]) -> list[str]:
    return [entry.record.mask_id for entry in told if isinstance(entry.record, Unmasked)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


def test_an_empty_journal_replays_nothing(path: Path) -> None:
    with opened(path) as (_, told, replay):
        assert replay == Replay(entries_count=0, damaged_count=0, torn_bytes=0)
        assert told == []


def test_what_was_appended_is_replayed_in_order(path: Path) -> None:
    with opened(path) as (journal, told, _):
        entries = append_all(journal, RECORDS)
        assert told == entries
    with opened(path) as (_, told, replay):
        assert told == entries
        assert replay == Replay(entries_count=5, damaged_count=0, torn_bytes=0)


def test_appending_goes_on_after_a_restart(path: Path) -> None:
    entries: list[Entry] = []
    for record in RECORDS:
        with opened(path) as (journal, told, _):
            assert told == entries
            entries += append_all(journal, [record])
    assert [entry.moment.sequence for entry in entries] == [1, 2, 3, 4, 5]


@given(st.lists(st.tuples(records, milliseconds), max_size=8))
def test_any_sequence_of_records_is_replayed_as_it_was_told(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Record, int]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    with opened(path) as (journal, first, _):
        for record, now_ms in steps:
            journal.append(record, journal.next_moment(now_ms))
    with opened(path) as (_, second, _):
        assert second == first
    assert [entry.record for entry in first] == [record for record, _ in steps]


def test_every_follower_is_told_in_the_order_of_registration(path: Path) -> None:
    told: list[tuple[str, int]] = []

    def follower(name: str) -> Callable[[Entry], None]:
        return lambda entry: told.append((name, entry.moment.sequence))

    journal = FileJournal(path, fsync=False)
    journal.follow(follower("catalog"))
    journal.follow(follower("waiters"))
    journal.open()
    append_all(journal, RECORDS[:2])
    assert told == [("catalog", 1), ("waiters", 1), ("catalog", 2), ("waiters", 2)]
    journal.close()


def test_a_follower_that_comes_after_the_replay_hears_only_what_is_new(path: Path) -> None:
    write_lines(path)
    with opened(path) as (journal, _, _):
        late: list[Entry] = []
        journal.follow(late.append)
        assert late == []
        assert append_all(journal, RECORDS[:1]) == late


def test_a_follower_finds_the_record_written_when_it_is_told(path: Path) -> None:
    sizes: list[int] = []
    with opened(path) as (journal, _, _):
        journal.follow(lambda _: sizes.append(path.stat().st_size))
        append_all(journal, RECORDS[:2])
    assert 0 < sizes[0] < sizes[1] == path.stat().st_size


# -- Moments


def test_a_moment_is_the_clocks_with_the_next_place_in_the_journal(path: Path) -> None:
    with opened(path) as (journal, _, _):
        assert journal.next_moment(1_000) == Moment(1_000, 1)
        assert journal.next_moment(1_000) == Moment(1_000, 1)
        append_all(journal, RECORDS[:1], now_ms=1_000)
        assert journal.next_moment(1_000) == Moment(1_000, 2)
        assert journal.next_moment(1_500) == Moment(1_500, 2)


def test_a_moment_never_goes_back_when_the_clock_does(path: Path) -> None:
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS[:1], now_ms=5_000)
        assert journal.next_moment(4_000) == Moment(5_000, 2)
        append_all(journal, RECORDS[:1], now_ms=4_000)
        assert journal.next_moment(3_000) == Moment(5_000, 3)


def test_a_moment_never_goes_back_over_a_restart(path: Path) -> None:
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS[:2], now_ms=5_000)
    with opened(path) as (journal, _, _):
        assert journal.next_moment(4_000) == Moment(5_000, 3)


@given(st.lists(milliseconds, max_size=20))
def test_moments_only_grow(tmp_path_factory: pytest.TempPathFactory, clock: list[int]) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    with opened(path) as (journal, told, _):
        for now_ms in clock:
            append_all(journal, RECORDS[:1], now_ms)
    moments = [entry.moment for entry in told]
    assert moments == sorted(moments)
    assert [moment.sequence for moment in moments] == list(range(1, len(clock) + 1))


def test_a_moment_that_was_used_already_is_a_programmers_error(path: Path) -> None:
    with opened(path) as (journal, _, _):
        moment = journal.next_moment(1_000)
        journal.append(RECORDS[0], moment)
        with pytest.raises(AssertionError, match="a moment is used once"):
            journal.append(RECORDS[1], moment)


# -- Damage


def test_a_torn_tail_is_cut_off_and_reported_wherever_it_was_torn(path: Path) -> None:
    lines = write_lines(path)
    whole, last = b"".join(lines[:-1]), lines[-1]
    for torn_bytes in range(1, len(last)):
        path.write_bytes(whole + last[:torn_bytes])
        with opened(path) as (_, told, replay):
            assert replay == Replay(entries_count=4, damaged_count=0, torn_bytes=torn_bytes)
            assert masks_told(told) == ["m1", "m2", "m3", "m4"]
        assert path.read_bytes() == whole


def test_a_record_after_a_torn_tail_is_kept(path: Path) -> None:
    lines = write_lines(path)
    path.write_bytes(b"".join(lines)[:-5])
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS[:1])
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m1"]
        assert replay == Replay(entries_count=5, damaged_count=0, torn_bytes=0)


def test_a_damaged_byte_in_the_middle_costs_one_record_wherever_it_is(path: Path) -> None:
    lines = write_lines(path)
    separator = 8  # carries nothing: that it is a space is not checked
    for position in set(range(len(lines[2]) - 1)) - {separator}:
        damaged = bytearray(lines[2])
        damaged[position] ^= 0x01
        path.write_bytes(b"".join([*lines[:2], damaged, *lines[3:]]))
        with opened(path) as (_, told, replay):
            assert masks_told(told) == ["m1", "m2", "m4", "m5"]
            assert replay == Replay(entries_count=4, damaged_count=1, torn_bytes=0)


DAMAGED_LINES = [
    ("empty", b"\n"),
    ("short", b"12\n"),
    ("zeros", b"\0" * 40 + b"\n"),
    ("not-hex", b"zzzzzzzz {}\n"),
    ("unknown-type", b'8f2e8a0c {"sequence":3,"at_ms":1,"type":"notified"}\n'),
    ("not-ascii", b"\xff\xfe\xfd\n"),
]


@pytest.mark.parametrize("line", [case[1] for case in DAMAGED_LINES], ids=[case[0] for case in DAMAGED_LINES])
def test_a_line_that_is_no_record_is_left_out_and_counted(path: Path, line: bytes) -> None:
    lines = write_lines(path)
    path.write_bytes(b"".join([*lines[:3], line, *lines[3:]]))
    with opened(path) as (journal, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5"]
        assert replay == Replay(entries_count=5, damaged_count=1, torn_bytes=0)
        assert journal.next_moment(0).sequence == 6
    assert line in path.read_bytes(), "damage is left for whoever wants to look at it"


def test_a_lost_line_feed_costs_the_two_records_beside_it(path: Path) -> None:
    lines = write_lines(path)
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b"\n", b"\x0b"), *lines[3:]]))
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m5"]
        assert replay.damaged_count == 1


def test_places_in_the_journal_are_not_given_twice_after_damage(path: Path) -> None:
    lines = write_lines(path)
    path.write_bytes(b"".join([b"damage\n", *lines[1:4], b"damage\n"]))
    with opened(path) as (journal, told, _):
        assert journal.next_moment(0).sequence > max(entry.moment.sequence for entry in told)


# -- A disk that fails


def fail_with(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


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
        with pytest.raises(StorageError, match="journal-open: another origin uses it"):
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
