"""The journal on disk: in order, checked, whole lines only, and durable once it said so."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.model import Moment
from storage.journal import FileJournal
from storage.journal_files import Replay
from storage.records import Collected, Entry, Record
from tests.storage.journals import RECORDS, append_all, only_file, opened, write_lines
from tests.storage.strategies import milliseconds, records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_an_empty_journal_replays_nothing(path: Path) -> None:
    with opened(path) as (_, told, replay):
        assert replay == Replay()
        assert told == []


def test_what_was_appended_is_replayed_in_order(path: Path) -> None:
    with opened(path) as (journal, told, _):
        entries = append_all(journal, RECORDS)
        assert told == entries
    with opened(path) as (_, told, replay):
        assert told == entries
        assert replay == Replay(entries_count=5, files_count=1)


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
    path = tmp_path_factory.mktemp("journal") / "journal"
    with opened(path) as (journal, first, _):
        for record, now_ms in steps:
            append_all(journal, [record], now_ms)
    with opened(path) as (_, second, _):
        assert second == first[len(first) - len(second) :]
        assert [entry.record for entry in second] == [entry.record for entry in first[len(first) - len(second) :]]
    if not any(isinstance(record, Collected) for record, _ in steps):  # then nothing is dropped
        assert len(second) == len(first) == len(steps)


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
        journal.follow(lambda _: sizes.append(only_file(path).stat().st_size))
        append_all(journal, RECORDS[:2])
    assert 0 < sizes[0] < sizes[1] == only_file(path).stat().st_size


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
    path = tmp_path_factory.mktemp("journal") / "journal"
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
