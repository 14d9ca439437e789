"""The journal's files: when the next one begins, when old ones are dropped, and what is said again before that."""

import errno
import os
from pathlib import Path

import pytest

import storage.journal
from selection.model import Choice, Mask, Rule
from storage.base import SEGMENTS_PER_BUCKET
from storage.catalog import MemoryCatalog
from storage.errors import StorageError
from storage.journal import ROLL_MS, FileJournal, read_journal
from storage.journal_files import Replay
from storage.records import (
    Chosen,
    Collected,
    Entry,
    Lost,
    Manifest,
    ManifestPublished,
    Masked,
    Published,
    Record,
    Standing,
    Unmasked,
)
from tests.benchmarks import recovery
from tests.storage.disks import fail_with
from tests.storage.journals import (
    RECORDS,
    append_all,
    files_in,
    masks_told,
    node,
    only_file,
    opened,
    publish_bucket,
    published,
    write_lines,
)
from tests.support.events import candidate, make_key

INIT = make_key(None)
MASK = Mask("m1", "a", 7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def state(catalog: MemoryCatalog) -> dict[str, object]:
    """Return everything that a catalog says of what a test here records."""
    keys = [INIT, *(make_key(bucket * SEGMENTS_PER_BUCKET) for bucket in range(4))]
    return {
        "events": list(catalog.event_ids()),
        "copies": [list(catalog.candidates(key)) for key in keys],
        "choices": [catalog.choice(key) for key in keys],
        "lost": [catalog.has_lost_choice(key) for key in keys],
        "undecided": set(catalog.undecided()),
        "masks": list(catalog.masks("derby")),
        "manifests": list(catalog.manifests("derby", "live.mpd")),
        "buckets": catalog.buckets("derby"),
        "standing": list(catalog.standing()),
    }


# -- Rolling


def test_a_new_file_begins_after_some_minutes(folder: Path) -> None:
    with opened(folder) as (journal, told, _):
        append_all(journal, RECORDS[:2], now_ms=1_000)
        append_all(journal, RECORDS[2:3], now_ms=999 + ROLL_MS)
        assert len(files_in(folder)) == 1
        append_all(journal, RECORDS[3:4], now_ms=1_000 + ROLL_MS)
        append_all(journal, RECORDS[4:], now_ms=1_000 + ROLL_MS)
        assert [path.name for path in files_in(folder)] == [f"{1:016d}.log", f"{5:016d}.log"]
        assert [len(path.read_bytes().splitlines()) for path in files_in(folder)] == [4, 1]
    with opened(folder) as (journal, replayed, replay):
        assert replayed == told
        assert replay == Replay(5, files_count=2)
        assert journal.next_moment(0).sequence == 6


def test_a_new_file_begins_when_one_is_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.journal, "ROLL_BYTES", 90)
    with opened(folder) as (journal, _, _):
        append_all(journal, RECORDS)
        sizes = [path.stat().st_size for path in files_in(folder)]
    assert len(sizes) > 2
    assert all(90 <= size_bytes < 150 for size_bytes in sizes[:-1])


def test_a_file_that_cannot_begin_leaves_the_present_one_going_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder) as (journal, _, _):
        append_all(journal, RECORDS[:1], now_ms=0)
        with monkeypatch.context() as broken:
            broken.setattr(os, "open", fail_with(errno.ENOSPC))
            append_all(journal, RECORDS[1:3], now_ms=ROLL_MS)
        assert len(files_in(folder)) == 1
        append_all(journal, RECORDS[3:], now_ms=ROLL_MS)
        assert len(files_in(folder)) == 2
    with opened(folder) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5"]
        assert replay == Replay(5, files_count=2)


# -- Dropping


def test_files_go_with_the_last_bucket_they_speak_of_oldest_first(folder: Path) -> None:
    with node(folder) as (journal, catalog):
        for bucket in range(3):
            publish_bucket(journal, bucket)
        first, second, third, present = files_in(folder)
        append_all(journal, [Collected("derby", 1)])
        assert files_in(folder) == [first, second, third, present], "only the oldest ones are dropped"
        append_all(journal, [Collected("derby", 0)])
        assert files_in(folder) == [third, present]
        append_all(journal, [Collected("oaks", None), Collected("derby", 2)])
        assert files_in(folder) == [present], "never the present one"
        assert dict(catalog.buckets("derby")) == {}
    with node(folder) as (_, catalog):
        assert dict(catalog.buckets("derby")) == {}


def test_gaps_where_older_files_were_are_no_damage(folder: Path) -> None:
    with node(folder) as (journal, _):
        publish_bucket(journal, 0)
        append_all(journal, [Collected("derby", 0)])
    assert only_file(folder).name != f"{1:016d}.log"
    assert read_journal(folder, lambda entry: None) == Replay(1, files_count=1)


def test_files_of_an_event_go_with_it(folder: Path) -> None:
    with node(folder) as (journal, _):
        publish_bucket(journal, 0)
        publish_bucket(journal, 0, "oaks")
        publish_bucket(journal, 1)
        append_all(journal, [Collected("derby", None)])
        assert len(files_in(folder)) == 3
        append_all(journal, [Collected("oaks", None)])
        assert len(files_in(folder)) == 1


def test_what_a_kill_kept_from_being_dropped_goes_at_the_next_start(folder: Path) -> None:
    with node(folder) as (journal, _):
        publish_bucket(journal, 0)
        append_all(journal, [RECORDS[0]])
    with opened(folder) as (journal, _, _):
        (first, _) = files_in(folder)
        kept = first.read_bytes()
        append_all(journal, [Collected("derby", 0)])
    first.write_bytes(kept)
    with node(folder):
        assert first not in files_in(folder)


def test_a_file_that_cannot_be_removed_is_removed_the_next_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with node(folder) as (journal, _):
        publish_bucket(journal, 0)
        with monkeypatch.context() as broken:
            broken.setattr(Path, "unlink", fail_with(errno.EIO))
            append_all(journal, [Collected("derby", 0)])
        assert len(files_in(folder)) == 2
        append_all(journal, [Collected("derby", 1)])
        assert len(files_in(folder)) == 1


# -- Standing


def test_an_init_segment_that_is_chosen_and_was_sent_again_outlives_its_file(folder: Path) -> None:
    """Its choice is said to stand behind records of the copy that replaced it, in a file that is still needed."""
    with node(folder) as (journal, catalog):
        append_all(journal, [published(INIT)])
        append_all(journal, [Chosen.of(INIT, Choice(catalog.candidates(INIT)[0], Rule.FIRST_IN_ORDER, 1_000))])
        publish_bucket(journal, 0)
        append_all(journal, [Published(INIT, candidate("a", digest="f" * 32))], journal.next_moment(0).ms)
        publish_bucket(journal, 1)
        append_all(journal, [Collected("derby", 0)])
        assert len(files_in(folder)) == 2
        before, bodies = state(catalog), catalog.expected_bodies("derby", None)
        assert len(bodies) == 2
    with node(folder) as (_, catalog):
        assert state(catalog) == before
        assert catalog.choice(INIT) is not None
        assert catalog.expected_bodies("derby", None) == bodies


def record_all(journal: FileJournal) -> None:
    """Record one of everything that outlives a time bucket, in the first file."""
    moment = journal.next_moment(1_000)
    copy = candidate("a", moment.ms, sequence=moment.sequence)
    replaced = candidate("a", digest="f" * 32)
    records: list[Record] = [
        Published(INIT, copy),
        Chosen.of(INIT, Choice(copy, Rule.FIRST_IN_ORDER, 1_000)),
        published(INIT, "b"),
        Published(INIT, replaced),
        published(make_key(None, "a128")),
        Masked("derby", MASK),
        Masked("derby", Mask("m2", "b", 1, 2, "v720")),
        Unmasked("derby", "m2"),
        ManifestPublished("derby", "live.mpd", Manifest("a", "0" * 32, 100, 0, 0)),
    ]
    append_all(journal, records)
    publish_bucket(journal, 0)


@pytest.mark.parametrize("rounds", [1, 3])
def test_what_stands_outlives_the_files_it_was_said_in(folder: Path, rounds: int) -> None:
    with node(folder) as (journal, catalog):
        record_all(journal)
        for bucket in range(rounds):
            publish_bucket(journal, bucket + 1)
            append_all(journal, [Collected("derby", bucket)])
        assert files_in(folder)[0].name > f"{10:016d}"
        before = state(catalog)
        assert before["masks"] == [MASK]
        assert catalog.choice(INIT) is not None
        assert INIT in catalog.undecided(), "the copy that came after the choice still has to be considered"
    for _ in range(2):
        with node(folder) as (_, catalog):
            assert state(catalog) == before


def test_a_choice_that_was_lost_stays_lost(folder: Path) -> None:
    with node(folder) as (journal, catalog):
        record_all(journal)
        choice = catalog.choice(INIT)
        assert choice is not None
        append_all(journal, [Lost(INIT, "a", choice.candidate.sequence), Collected("derby", 0)])
        assert catalog.has_lost_choice(INIT)
        before = state(catalog)
    with node(folder) as (_, catalog):
        assert state(catalog) == before


def test_what_stands_is_said_once_a_file_and_followers_hear_of_it(folder: Path) -> None:
    with node(folder) as (journal, _):
        told: list[Entry] = []
        journal.follow(told.append)
        append_all(journal, [Masked("derby", MASK)])
        publish_bucket(journal, 0)
        publish_bucket(journal, 1)
        append_all(journal, [Collected("derby", 0), Collected("derby", 1), Collected("derby", 2)])
        (standing,) = [entry.record for entry in told if isinstance(entry.record, Standing)]
        assert standing == Standing(Masked("derby", MASK), told[0].moment)
        assert [entry.sequence for entry in told] == list(range(1, len(told) + 1))


def test_nothing_is_dropped_while_what_stands_cannot_be_said_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with node(folder) as (journal, _):
        append_all(journal, [Masked("derby", MASK)])
        publish_bucket(journal, 0)
        write = os.write
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", lambda fd, data: -1 if b"standing" in data else write(fd, data))
            append_all(journal, [Collected("derby", 0)])
        assert len(files_in(folder)) == 2
        append_all(journal, [Collected("derby", 1)])
        assert len(files_in(folder)) == 1
    with node(folder) as (_, catalog):
        assert list(catalog.masks("derby")) == [MASK]


# -- Looking at the journal of an origin that runs


def test_a_journal_can_be_read_while_it_is_written(folder: Path) -> None:
    with opened(folder) as (journal, told, _):
        append_all(journal, RECORDS)
        read: list[Entry] = []
        assert read_journal(folder, read.append) == Replay(5, files_count=1)
        assert read == told
        append_all(journal, RECORDS[:1])


def test_reading_changes_nothing(folder: Path) -> None:
    lines = write_lines(folder)
    only_file(folder).write_bytes(b"".join(lines)[:-5])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert read_journal(folder, lambda entry: None) == Replay(4, torn_bytes=len(lines[-1]) - 5, files_count=1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_that_is_dropped_while_the_journal_is_read_is_passed_over(folder: Path) -> None:
    with node(folder) as (journal, _):
        for bucket in range(2):
            publish_bucket(journal, bucket)
        read: list[Entry] = []

        def follow(entry: Entry) -> None:
            if not read:
                files_in(folder)[1].unlink()
            read.append(entry)

        assert read_journal(folder, follow).entries_count == len(read) == 2


def test_a_journal_that_is_not_there_cannot_be_read(folder: Path) -> None:
    with pytest.raises(StorageError, match="journal-read: No such file or directory"):
        read_journal(folder, lambda entry: None)


# -- Progress


def test_progress_is_told_now_and_then(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = write_lines(folder)
    monkeypatch.setattr("storage.journal_files.PROGRESS_LINES", 2)
    told: list[tuple[int, int]] = []
    journal = FileJournal(folder, fsync=False)
    journal.open(lambda read_bytes, total_bytes: told.append((read_bytes, total_bytes)))
    journal.close()
    ends = [sum(map(len, lines[:count])) for count in (2, 4)]
    assert told == [(end, sum(map(len, lines))) for end in ends]


def test_the_benchmark_of_recovery_runs() -> None:
    figures = recovery.measure(1_200)
    assert figures["copies"] == 1_200
    assert figures["records"] > 1_800
