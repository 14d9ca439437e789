"""The files of a journal: how they are named, and how they are read back.

A journal is a folder of files. Each is named for the place of its first record, so that names sort as records
do. A line is the CRC-32 of its text in eight hex digits, a space, the text (`storage.records`), and a line feed.
A text holds no raw line feed, so after damage reading goes on at the next line.

What a crash can leave is a torn last line in the last file: it is no record, since nobody was told of it. Other
lines that are damaged are left out and counted, and so are the places that are missing between the others.

After a flush that failed, a file begins with records that the one before has, too, perhaps damaged and in part.
The newer file is believed; what it does not have, be it that writing it was cut short, is taken from the older.
"""

import heapq
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from selection.model import Moment
from storage.base import SEGMENTS_PER_BUCKET, Follower
from storage.records import ALL, Entry, decode

Progress = Callable[[int, int], None]

# How many lines are read between two calls of `Progress`: about a quarter of a second.
PROGRESS_LINES: Final = 65_536
_NAME: Final = re.compile(r"(\d{16})\.log")
_READ_BYTES: Final = 1024**2
_LINE_FEED: Final = 10


@dataclass(frozen=True, slots=True)
class Replay:
    """What reading a journal found.

    Args:
        entries_count: Records replayed.
        damaged_count: Lines left out because their checksum or content was wrong.
        missing_count: Places in the journal whose records were not found: what the damage has cost.
        torn_bytes: Length of the unfinished last line.
        files_count: Files read. Older ones are dropped with what they spoke of, which is no damage.
    """

    entries_count: int = 0
    damaged_count: int = 0
    missing_count: int = 0
    torn_bytes: int = 0
    files_count: int = 0


@dataclass(slots=True)
class JournalFile:
    """One file of a journal.

    Args:
        needed_by: Event and time bucket of every segment that its records speak of and that is not collected.
    """

    path: Path
    needed_by: set[tuple[str, int]] = field(default_factory=set)

    @classmethod
    def beginning_at(cls, folder: Path, sequence: int) -> "JournalFile":
        """Return a file that is to begin with the record at this place."""
        return cls(folder / f"{sequence:016d}.log")

    @property
    def first_sequence(self) -> int:
        return int(self.path.stem)

    def note(self, entry: Entry) -> None:
        """Take in that a record is in this file."""
        number = entry.number
        if number is not None:
            self.needed_by.add((entry.words[3], number // SEGMENTS_PER_BUCKET))


def note_collected(files: Sequence[JournalFile], entry: Entry) -> None:
    """Take in that what a `collected` entry is about is gone, whichever file speaks of it."""
    event_id, bucket = entry.words[3], entry.words[4]
    for file in files:
        if bucket == ALL:
            file.needed_by = {place for place in file.needed_by if place[0] != event_id}
        else:
            file.needed_by.discard((event_id, int(bucket)))


def list_files(folder: Path) -> list[JournalFile]:
    """Return the files of a journal, oldest first."""
    return [JournalFile(path) for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name)]


def to_line(entry: Entry) -> bytes:
    """Return the line of an entry."""
    text = entry.text.encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(text), text)


def of_line(line: bytes) -> Entry | None:
    """Return the entry of a line, or None for a damaged one."""
    text = line[9:-1]
    try:
        if int(line[:8], 16) != zlib.crc32(text) or line[-1] != _LINE_FEED:
            return None
        return decode(text.decode("ascii"))
    except ValueError:
        return None


class JournalReader:
    """Reads files of a journal, once, and completes what is known of them.

    After `read`, `last` is the moment after which the journal goes on, `torn_bytes` the length of the unfinished
    line at the end of the last file, and `has_collected` tells whether files may have become needless.
    """

    def __init__(self, files: Sequence[JournalFile], followers: Sequence[Follower], progress: Progress | None = None):
        self._files = files
        self._followers = followers
        self._progress = progress
        self._total_bytes = sum(_size_of(file.path) for file in files)
        self._read_bytes = self._lines_count = self._entries_count = self._damaged_count = self._missing_count = 0
        self._trailing_damaged_count = 0
        self._expected_sequence = files[0].first_sequence if files else 1
        self._last_entry: Entry | None = None
        # Records that a newer file should have, too: by place, the one that was read last before others of it.
        self._held: list[tuple[int, int, JournalFile, Entry]] = []
        self.has_collected = False
        self.torn_bytes = 0

    @property
    def last(self) -> Moment:
        """The moment of the last record; its place is the last one that may have been given away."""
        # A line that cannot be read at the end had a place, which nobody else is to get.
        sequence = self._expected_sequence - 1 + self._trailing_damaged_count
        if self._files:
            sequence = max(sequence, self._files[-1].first_sequence - 1)
        return Moment(0 if self._last_entry is None else self._last_entry.moment.ms, sequence)

    def read(self) -> Replay:
        """Tell the followers every record. Raises OSError."""
        for file, limit in zip(self._files, _limits(self._files), strict=True):
            try:
                self._read_file(file, limit)
            except FileNotFoundError:  # dropped since the folder was listed, by the origin whose journal this is
                continue
        self._take_held(sys.maxsize)
        return Replay(self._entries_count, self._damaged_count, self._missing_count, self.torn_bytes, len(self._files))

    def _read_file(self, file: JournalFile, limit: int) -> None:
        """Read a file, of which newer ones have again what comes from the place `limit` on."""
        with file.path.open("rb", buffering=_READ_BYTES) as lines:
            for line in lines:
                self._read_bytes += len(line)
                self._lines_count += 1
                if self._lines_count % PROGRESS_LINES == 0 and self._progress is not None:
                    self._progress(self._read_bytes, self._total_bytes)
                entry = of_line(line)
                if entry is not None:
                    if entry.sequence < limit:
                        self._take(file, entry)
                    else:
                        heapq.heappush(self._held, (entry.sequence, -self._lines_count, file, entry))
                elif line[-1] != _LINE_FEED and file is self._files[-1]:
                    self.torn_bytes = len(line)
                elif self._expected_sequence < limit:
                    self._damaged_count += 1
                    self._trailing_damaged_count += 1

    def _take(self, file: JournalFile, entry: Entry) -> None:
        sequence = entry.sequence
        if self._held:
            self._take_held(sequence)
        if sequence != self._expected_sequence:
            if sequence < self._expected_sequence and self._last_entry is not None:
                return  # written a second time, after a flush that failed
            self._missing_count += max(sequence - self._expected_sequence, 0)
        self._expected_sequence = sequence + 1
        self._trailing_damaged_count = 0
        self._last_entry = entry
        self._entries_count += 1
        file.note(entry)
        if entry.kind == "collected":
            self.has_collected = True
            note_collected(self._files, entry)
        for follower in self._followers:
            follower(entry)

    def _take_held(self, before: int) -> None:
        while self._held and self._held[0][0] < before:
            _, _, file, entry = heapq.heappop(self._held)
            held, self._held = self._held, []
            self._take(file, entry)
            self._held = held


def _limits(files: Sequence[JournalFile]) -> list[int]:
    """Return for each file the first place that a newer one begins at."""
    limits = [sys.maxsize]
    for file in files[:0:-1]:
        limits.append(min(limits[-1], _first_place_in(file)))
    return limits[: len(files)][::-1]


def _first_place_in(file: JournalFile) -> int:
    """Return the place of a file's first record; if that is damaged, none that could be reached."""
    try:
        with file.path.open("rb") as lines:
            entry = of_line(lines.readline())
    except FileNotFoundError:
        return sys.maxsize
    return sys.maxsize if entry is None else entry.sequence


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
