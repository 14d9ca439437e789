"""The journal on disk: an append-only file of checked lines.

A line is the CRC-32 of the JSON in eight hex digits, a space, the JSON, and a line feed. JSON in ASCII holds
no raw line feed, so after damage reading goes on at the next line, and an operator can read it with `less`.

What a crash can leave is a torn last line: it is cut off. A damaged line in the middle is left out and
counted; everything else is kept.
"""

import asyncio
import errno
import fcntl
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from selection.model import Moment
from storage.base import Follower
from storage.errors import StorageError, StorageFull
from storage.folders import sync_folder
from storage.records import Entry, Record, decode, encode

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Replay:
    """What reading the journal found.

    Args:
        entries_count: Records replayed.
        damaged_count: Lines left out because their checksum or content was wrong.
        torn_bytes: Length of the unfinished last line that was cut off.
    """

    entries_count: int
    damaged_count: int
    torn_bytes: int


class FileJournal:
    """Implements `storage.base.Journal` with one file.

    `append` writes to the page cache before it returns, which survives a kill of the process. With
    `fsync`, `sync` makes it survive a power cut; callers that wait together share one flush.

    Args:
        path: The file; its folder must exist.
        fsync: Whether `sync` flushes to the device.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._fsync = fsync
        self._followers: list[Follower] = []
        self._descriptor = -1
        self._last = Moment(0, 0)
        self._written_bytes = 0
        self._synced_bytes = 0
        self._has_half_line = False
        self._flush: asyncio.Task[None] | None = None

    def open(self) -> Replay:
        """Open for appending after telling the followers everything that is recorded; blocks.

        Raises:
            StorageError: The file cannot be read or written, or another origin has it open: two writers would
                give the same place in the journal to different records.
        """
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            replay, whole_bytes = self._replay()
            if replay.torn_bytes:
                os.ftruncate(self._descriptor, whole_bytes)
            if self._fsync:
                os.fsync(self._descriptor)  # the last run may have been killed before it did
                sync_folder(self._path.parent)
        except BlockingIOError as exc:
            detail = "another origin uses this folder; stop it, or give this one another storage.path"
            raise StorageError("journal-open", detail) from exc
        except OSError as exc:
            raise StorageError("journal-open", exc.strerror or str(exc)) from exc
        self._written_bytes = self._synced_bytes = whole_bytes
        return replay

    def close(self) -> None:
        """Flush and close; nothing may be appended afterwards.

        Raises:
            StorageError: The flush failed; the file is closed all the same.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.fsync(descriptor)
        except OSError as exc:
            raise StorageError("journal-close", exc.strerror or str(exc)) from exc
        finally:
            os.close(descriptor)

    def next_moment(self, now_ms: int) -> Moment:
        """Return the moment the next record will have: `now_ms`, or the last record's if the clock went back."""
        return Moment(max(now_ms, self._last.ms), self._last.sequence + 1)

    def append(self, record: Record, moment: Moment) -> Entry:
        """Write one record and tell every follower. `moment` comes from `next_moment`, with no append between."""
        assert moment.sequence == self._last.sequence + 1, "a moment is used once, and at once"
        entry = Entry(moment, record)
        text = encode(entry)
        self._write(b"%08x %b\n" % (zlib.crc32(text), text))
        self._last = moment
        for follower in self._followers:
            follower(entry)
        return entry

    async def sync(self) -> None:
        """Return once everything appended so far is as durable as configured.

        Cancelling a caller leaves the flush running for the others.
        """
        if not self._fsync:
            return
        target_bytes = self._written_bytes
        while self._synced_bytes < target_bytes:
            if self._flush is None:
                self._flush = asyncio.create_task(self._flush_once())
                self._flush.add_done_callback(lambda task: task.cancelled() or task.exception())
            await asyncio.shield(self._flush)

    def follow(self, follower: Follower) -> None:
        """Call `follower` with every entry from now on; before `open`, with every entry there is."""
        self._followers.append(follower)

    async def _flush_once(self) -> None:
        written_bytes = self._written_bytes
        try:
            await asyncio.to_thread(os.fsync, self._descriptor)
            self._synced_bytes = written_bytes
        except OSError as exc:
            raise StorageError("journal-sync", exc.strerror or str(exc)) from exc
        finally:
            self._flush = None

    def _write(self, line: bytes) -> None:
        try:
            self._take_half_line_back()
            self._has_half_line = True
            written = os.write(self._descriptor, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, f"wrote {written} of {len(line)} bytes")
        except OSError as exc:
            with suppress(OSError):  # then it is tried again before the next record
                self._take_half_line_back()
            fault = StorageFull if exc.errno in _FULL else StorageError
            raise fault("journal-append", exc.strerror or str(exc)) from exc
        self._has_half_line = False
        self._written_bytes += len(line)

    def _take_half_line_back(self) -> None:
        """Cut off what a failed write left, or the next record would be glued to it and lost with it."""
        if self._has_half_line:
            os.ftruncate(self._descriptor, self._written_bytes)
            self._has_half_line = False

    def _replay(self) -> tuple[Replay, int]:
        entries_count = damaged_count = whole_bytes = torn_bytes = 0
        with open(self._path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    torn_bytes = len(line)
                    break
                whole_bytes += len(line)
                entry = _parse(line)
                if entry is None:
                    damaged_count += 1
                    continue
                entries_count += 1
                self._last = max(self._last, entry.moment, key=lambda moment: moment.sequence)
                for follower in self._followers:
                    follower(entry)
        return Replay(entries_count, damaged_count, torn_bytes), whole_bytes


def _parse(line: bytes) -> Entry | None:
    """Return the entry of a line, or None for a damaged one."""
    text = line[9:-1]
    try:
        if int(line[:8], 16) != zlib.crc32(text):
            return None
        return decode(text)
    except ValueError:
        return None
