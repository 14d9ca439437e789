"""A journal to write to and to look at, for the tests of `storage.journal`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selection.model import SegmentKey
from storage.base import SEGMENTS_PER_BUCKET
from storage.catalog import MemoryCatalog
from storage.journal import ROLL_MS, FileJournal
from storage.journal_files import Replay
from storage.records import Entry, Published, Record, Unmasked
from tests.storage.strategies import recorded_at
from tests.support.events import candidate, make_key

RECORDS = [Unmasked("derby", f"m{number}") for number in range(1, 6)]


@contextmanager
def opened(folder: Path, *, fsync: bool = False) -> Iterator[tuple[FileJournal, list[Entry], Replay]]:
    """Yield an open journal, the list of what its follower was told, and what its replay found."""
    journal, told = FileJournal(folder, fsync=fsync), list[Entry]()
    journal.follow(told.append)
    try:
        yield journal, told, journal.open()
    finally:
        journal.close()


@contextmanager
def node(folder: Path, *, fsync: bool = False) -> Iterator[tuple[FileJournal, MemoryCatalog]]:
    """Yield a journal and the catalog it is folded into."""
    catalog = MemoryCatalog()
    journal = FileJournal(folder, fsync=fsync, standing=catalog.standing)
    journal.follow(catalog.apply)
    try:
        journal.open()
        yield journal, catalog
    finally:
        journal.close()


def append_all(journal: FileJournal, to_append: Sequence[Record], now_ms: int = 1_000) -> list[Entry]:
    """Append records as if they happened now."""
    entries = []
    for record in to_append:
        moment = journal.next_moment(now_ms)
        entries.append(journal.append(recorded_at(record, moment), moment))
    return entries


def files_in(folder: Path) -> list[Path]:
    """Return the files of a journal, oldest first."""
    return sorted(folder.glob("*.log"))


def only_file(folder: Path) -> Path:
    """Return the one file of a journal that has not rolled."""
    (path,) = files_in(folder)
    return path


def write_lines(folder: Path) -> list[bytes]:
    """Write `RECORDS` to a new journal and return its lines."""
    with opened(folder) as (journal, _, _):
        append_all(journal, RECORDS)
    return only_file(folder).read_bytes().splitlines(keepends=True)


def masks_told(told: Sequence[Entry]) -> list[str]:
    return [entry.record.mask_id for entry in told if isinstance(entry.record, Unmasked)]


def published(key: SegmentKey, pipeline_id: str = "a") -> Published:
    return Published(key, candidate(pipeline_id))


def publish_bucket(journal: FileJournal, bucket: int, event_id: str = "derby") -> None:
    """Record a copy of one segment of a bucket, as the first thing in a file that is full after it."""
    now_ms = journal.next_moment(0).ms
    key = make_key(bucket * SEGMENTS_PER_BUCKET, event_id=event_id)
    append_all(journal, [published(key)], now_ms)
    append_all(journal, [published(key, "b")], now_ms + ROLL_MS)
