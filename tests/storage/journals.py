"""A journal to write to and to look at, for the tests of `storage.journal`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storage.journal import FileJournal, Replay
from storage.records import Entry, Record, Unmasked

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
