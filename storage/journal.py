"""The journal on disk: append-only files of checked lines, of which the oldest are dropped once nobody needs them.

A new file begins every few minutes. When a time bucket is collected, the oldest files that speak of no segment
any more are dropped. What they said of other things, such as masks and init segments, is said again before
that in the file that is written (`storage.records.Standing`).

`storage.journal_files` tells how files are read, and what a crash or damage costs.
"""

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from selection.model import Moment
from storage.base import Follower
from storage.errors import StorageError, translate
from storage.folders import sync_folder
from storage.journal_files import JournalFile, JournalReader, Progress, Replay, list_files, note_collected, to_line
from storage.records import Entry, Record, Standing

# When the next file begins. A file is dropped as a whole, so short files are dropped soon after what they speak
# of; and there are few enough of them to list. A busy origin writes 16 MiB in an hour or so.
ROLL_MS: Final = 300_000
ROLL_BYTES: Final = 16 * 1024**2

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_MODE: Final = 0o640


def read_journal(folder: Path, follower: Follower) -> Replay:
    """Tell a follower everything that is recorded, without changing or locking anything; blocks.

    The journal may be that of an origin that runs. What it appends or drops meanwhile may be told or not.

    Raises:
        StorageError: The folder or a file cannot be read.
    """
    try:
        return JournalReader(list_files(folder), [follower]).read()
    except OSError as exc:
        raise StorageError("journal-read", exc.strerror or str(exc)) from exc


class FileJournal:
    """Implements `storage.base.Journal` with a folder of files.

    `append` writes to the page cache before it returns, which survives a kill of the process. With
    `fsync`, `sync` makes it survive a power cut; callers that wait together share one flush.

    When a flush fails, the kernel may have thrown away what it could not write, and a later flush that succeeds
    says nothing of it. So what was not flushed before is written again, to a new file, and that is flushed. For as
    long as that fails, too, nothing more is recorded; each attempt to record something tries again.

    Args:
        folder: Where the files lie; made if it is not there, in a folder that is.
        fsync: Whether `sync` flushes to the device.
        standing: Returns what must be said again before old files are dropped.
    """

    def __init__(self, folder: Path, *, fsync: bool, standing: Callable[[], Sequence[Standing]] = tuple) -> None:
        self._folder = folder
        self._fsync = fsync
        self._standing = standing
        self._followers: list[Follower] = []
        self._lock = self._descriptor = -1
        self._files: list[JournalFile] = []
        self._has_collected = False
        self._last = Moment(0, 0)
        # Of the file that is written.
        self._written_bytes = 0
        self._has_half_line = False
        self._begun_ms: int | None = None
        self._stood_at: int | None = None  # place of the last record that says what stands, once all of it is said
        # Of what is not flushed: its place, its records, the files before the present one that hold some of it.
        self._synced = 0
        self._unsynced: list[Entry] = []
        self._former: list[int] = []
        self._is_new_name = False
        self._suspect: OSError | None = None  # why what is not flushed must be written again
        self._flush: asyncio.Task[None] | None = None
        self._drop: asyncio.Task[None] | None = None

    def open(self, progress: Progress | None = None) -> Replay:
        """Open for appending after telling the followers everything that is recorded; blocks.

        Args:
            progress: Called now and then with the number of bytes read, and that of all.
        Raises:
            StorageError: The files cannot be read or written, or another origin has them open: two writers would
                give the same place in the journal to different records.
        """
        try:
            self._folder.mkdir(exist_ok=True)
            self._lock = os.open(self._folder / "lock", _FLAGS, _MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._files = list_files(self._folder)
            reader = JournalReader(self._files, self._followers, progress)
            replay = reader.read()
            self._last, self._has_collected = reader.last, reader.has_collected
            self._open_last_file(reader.torn_bytes)
            if self._fsync:
                self._sync_all()
        except BlockingIOError as exc:
            detail = "another origin uses this folder; stop it, or give this one another storage.path"
            raise StorageError("journal-open", detail) from exc
        except OSError as exc:
            raise StorageError("journal-open", exc.strerror or str(exc)) from exc
        self._synced = self._last.sequence
        self._unsynced.clear()
        self._drop_files()
        return replay

    def close(self) -> None:
        """Flush and close; nothing may be appended afterwards.

        Raises:
            StorageError: The flush failed; everything is closed all the same.
        """
        descriptors = [descriptor for descriptor in (*self._former, self._descriptor) if descriptor >= 0]
        lock, self._lock, self._descriptor = self._lock, -1, -1
        self._former.clear()
        try:
            for descriptor in descriptors:
                os.fsync(descriptor)
        except OSError as exc:
            raise StorageError("journal-close", exc.strerror or str(exc)) from exc
        finally:
            for descriptor in (*descriptors, lock):
                if descriptor >= 0:
                    os.close(descriptor)

    def next_moment(self, now_ms: int) -> Moment:
        """Return the moment the next record will have: `now_ms`, or the last record's if the clock went back."""
        return Moment(max(now_ms, self._last.ms), self._last.sequence + 1)

    def append(self, record: Record, moment: Moment) -> Entry:
        """Write one record and tell every follower. `moment` comes from `next_moment`, with no append between."""
        assert moment.sequence == self._last.sequence + 1, "a moment is used once, and at once"
        if self._suspect is not None:
            self._begin_flush()
            fault = OSError(self._suspect.errno, "what was recorded last is not flushed yet")
            raise translate("journal-sync", fault) from self._suspect
        entry = Entry(moment, record)
        self._append(entry, moment)
        if entry.kind == "collected":
            self._has_collected = True
            note_collected(self._files, entry)
            self._drop_files()
        if self._is_full(moment.ms):
            with suppress(OSError):  # then the present file goes on, and the next record tries again
                self._roll()
        return entry

    async def sync(self) -> None:
        """Return once everything appended so far is as durable as configured.

        Cancelling a caller leaves the flush running for the others.

        Raises:
            StorageError: It may not survive a power cut.
        """
        if not self._fsync:
            return
        target = self._last.sequence
        while self._synced < target:
            await asyncio.shield(self._begin_flush())

    def follow(self, follower: Follower) -> None:
        """Call `follower` with every entry from now on; before `open`, with every entry there is."""
        self._followers.append(follower)

    # -- Appending

    def _append(self, entry: Entry, moment: Moment) -> None:
        self._write(to_line(entry))
        self._last = moment
        if self._begun_ms is None:
            self._begun_ms = moment.ms
        self._files[-1].note(entry)
        if self._fsync:
            self._unsynced.append(entry)
        for follower in self._followers:
            follower(entry)

    def _write(self, line: bytes) -> None:
        try:
            self._take_half_line_back()
            self._has_half_line = True
            _write_all(self._descriptor, line)
        except OSError as exc:
            with suppress(OSError):  # then it is tried again before the next record
                self._take_half_line_back()
            raise translate("journal-append", exc) from exc
        self._has_half_line = False
        self._written_bytes += len(line)

    def _take_half_line_back(self) -> None:
        """Cut off what a failed write left, or the next record would be glued to it and lost with it."""
        if self._has_half_line:
            os.ftruncate(self._descriptor, self._written_bytes)
            self._has_half_line = False

    # -- Files

    def _open_last_file(self, torn_bytes: int) -> None:
        if not self._files:
            self._files.append(JournalFile.beginning_at(self._folder, self._last.sequence + 1))
        self._descriptor = os.open(self._files[-1].path, _FLAGS, _MODE)
        self._written_bytes = os.fstat(self._descriptor).st_size - torn_bytes
        if torn_bytes:
            os.ftruncate(self._descriptor, self._written_bytes)

    def _sync_all(self) -> None:
        """Flush what the last run may have been killed before it did, and the names of the files."""
        for file in self._files:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(self._folder)
        sync_folder(self._folder.parent)

    def _is_full(self, now_ms: int) -> bool:
        is_old = self._begun_ms is not None and now_ms - self._begun_ms >= ROLL_MS
        return is_old or self._written_bytes >= ROLL_BYTES

    def _roll(self) -> None:
        """Go on in a new file. Raises OSError with nothing changed."""
        self._take_half_line_back()
        file = JournalFile.beginning_at(self._folder, self._last.sequence + 1)
        descriptor = os.open(file.path, _FLAGS | os.O_TRUNC, _MODE)
        if self._fsync:
            self._former.append(self._descriptor)
        else:
            os.close(self._descriptor)
        self._begin(file, descriptor, 0)

    def _begin(self, file: JournalFile, descriptor: int, written_bytes: int) -> None:
        self._files.append(file)
        self._descriptor = descriptor
        self._written_bytes = written_bytes
        self._has_half_line = False
        self._begun_ms = self._stood_at = None
        self._is_new_name = True

    def _drop_files(self) -> None:
        """Remove the oldest files that nobody needs, once what stands is said after them, and flushed.

        Also without `fsync`: what is dropped is flushed since long, and a power cut must not cost both. What fails
        here is tried again the next time: a file that stays costs space and nothing else.
        """
        if not self._has_collected:
            return
        count = next((index for index, file in enumerate(self._files) if file.needed_by), len(self._files))
        files = self._files[: min(count, len(self._files) - 1)]
        if not files or self._drop is not None:
            return
        if self._stood_at is None:
            with suppress(StorageError):
                for order in self._standing():
                    self._append(Entry(moment := self.next_moment(self._last.ms), order), moment)
                self._stood_at = self._last.sequence
        if self._stood_at is None:
            return
        if self._fsync:
            if self._synced >= self._stood_at:
                self._unlink(files)
        elif _has_loop():
            self._drop = asyncio.create_task(self._flush_and_unlink(files))
        else:
            try:
                _flush([self._descriptor], self._folder)
            except OSError:
                self._stood_at = None
            else:
                self._unlink(files)

    async def _flush_and_unlink(self, files: Sequence[JournalFile]) -> None:
        try:
            # A copy, as the present file may be full and be closed meanwhile.
            await asyncio.to_thread(_flush_and_close, os.dup(self._descriptor), self._folder)
        except OSError:  # the kernel may have thrown away what stands: it is said again before the next attempt
            self._stood_at = None
        else:
            if self._lock >= 0:  # not closed meanwhile
                self._unlink(files)
        finally:
            self._drop = None
        if self._lock >= 0 and files[-1] not in self._files:
            self._drop_files()  # those that nobody needs by now

    def _unlink(self, files: Sequence[JournalFile]) -> None:
        with suppress(OSError):
            for file in files:
                file.path.unlink(missing_ok=True)
                self._files.remove(file)

    # -- Flushing

    def _begin_flush(self) -> "asyncio.Task[None]":
        if self._flush is None:
            self._flush = asyncio.create_task(self._flush_once())
            self._flush.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._flush

    async def _flush_once(self) -> None:
        """Flush all that is written. Nobody but the one flush at a time changes what is noted of it."""
        target, entries_count, former_count = self._last.sequence, len(self._unsynced), len(self._former)
        descriptors, is_new_name = [*self._former, self._descriptor], self._is_new_name
        try:
            if self._suspect is None:
                try:
                    await asyncio.to_thread(_flush, descriptors, self._folder if is_new_name else None)
                except OSError as exc:
                    self._suspect = exc
            if self._suspect is not None:
                target, entries_count, former_count = await self._write_again()
            elif self._descriptor == descriptors[-1]:
                self._is_new_name = False
        except OSError as exc:
            self._suspect = exc
            raise translate("journal-sync", exc) from exc
        finally:
            self._flush = None
        self._synced = target
        del self._unsynced[:entries_count]
        for descriptor in self._former[:former_count]:
            os.close(descriptor)
        del self._former[:former_count]
        self._drop_files()

    async def _write_again(self) -> tuple[int, int, int]:
        """Write all that is not flushed to a new file, flush it, and go on there; meanwhile nothing is appended.

        Returns how far everything is flushed now, how many records that were, and how many files are done with.
        """
        entries = list(self._unsynced)
        # A file of this name holds no record: it is the present one if that has none, or a former attempt's.
        file = JournalFile.beginning_at(self._folder, self._last.sequence + 1)
        lines = b"".join(map(to_line, entries))
        descriptor = await asyncio.to_thread(_write_file, file.path, lines)
        self._files = [other for other in self._files if other.path != file.path]
        for entry in entries:
            file.note(entry)
        self._former.append(self._descriptor)
        self._begin(file, descriptor, len(lines))
        self._is_new_name, self._suspect = False, None
        return self._last.sequence, len(entries), len(self._former)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all of it. Raises OSError if only a part was written: it is the caller's to take that back."""
    written = os.write(descriptor, data)
    if written < len(data):
        raise OSError(errno.ENOSPC, f"wrote {written} of {len(data)} bytes")


def _flush(descriptors: Sequence[int], folder: Path | None) -> None:
    """Flush files and, if one is given, the names in a folder."""
    for descriptor in descriptors:
        os.fsync(descriptor)
    if folder is not None:
        sync_folder(folder)


def _flush_and_close(descriptor: int, folder: Path) -> None:
    try:
        _flush([descriptor], folder)
    finally:
        os.close(descriptor)


def _has_loop() -> bool:
    """Tell whether an event loop runs here, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _write_file(path: Path, data: bytes) -> int:
    """Return the descriptor of a new file with these bytes in it, which are flushed with its name."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, _FLAGS | os.O_EXCL, _MODE)
    try:
        _write_all(descriptor, data)
        _flush([descriptor], path.parent)
    except OSError:
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()
        raise
    return descriptor
