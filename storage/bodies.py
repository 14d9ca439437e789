"""The SSD tier: one file a body, written under a temporary name and renamed.

A file with its final name is whole: a kill between write and rename leaves only a temporary file, in a folder of
its own that the next start empties. All file work runs in threads of its own, so that a slow disk never stops
the event loop, nor whatever else uses the default threads. Large bodies have theirs, so that they never stop
small ones; and reads have theirs, so that rewinds never stop uploads, nor uploads the live edge.
"""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from storage import buckets
from storage.base import Body, BodyKey, Incoming, Removed, bucket_folders, is_intact
from storage.errors import BodyMissing, StorageError, not_intact, translate
from storage.flush import GroupCommit, Written, give_name, remove_quietly
from storage.folders import sync_folder
from storage.hands import Hands
from storage.incoming import FileIncoming

_TEMPORARY: Final = ".tmp"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE: Final = 0o666  # of which the umask takes some
# One disk serves few calls at a time; more threads only lengthen its queue.
_THREADS: Final = 8
_THREADS_OF_LARGE: Final = 4
# An SSD wants several reads at a time. More threads would gain nothing: opening files and copying what was read
# into objects is done under the interpreter's lock.
_THREADS_OF_READS: Final = 4
_NICENESS_OF_READS: Final = 10
# What one thread writes at a time: about a millisecond of an SSD.
_PIECE_BYTES: Final = 1024 * 1024

Result = TypeVar("Result")


class FileBodies:
    """Implements `storage.base.Bodies` in a folder.

    Args:
        path: The folder; made by `open` if it is not there.
        fsync: Whether a body is flushed to the device before `write` returns.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._incoming_path = path / buckets.INCOMING_FOLDER
        self._serial = itertools.count()
        self._root, self._incoming_root = str(path), str(self._incoming_path)  # to join paths takes 5 us, texts none
        self._hands = Hands(_THREADS, "bodies")
        self._threads_of_large = ThreadPoolExecutor(_THREADS_OF_LARGE, thread_name_prefix="bodies-large")
        self._threads_of_reads = ThreadPoolExecutor(
            _THREADS_OF_READS, thread_name_prefix="bodies-read", initializer=_stand_back
        )
        self._commits = GroupCommit(path) if fsync else None

    @property
    def commits_count(self) -> int:
        """How many group commits there were so far; none if nothing is flushed."""
        return 0 if self._commits is None else self._commits.batches_count

    def open(self, expected_bytes: int = 0) -> int:
        """Make the folder and remove what a crash left half-written; blocks. Returns how many such files there were.

        The folder of what comes in is the mark of a folder in use. It is made here and never again: where it is gone,
        the disk is, and nothing may be stored, or be called missing, until it is back.

        Args:
            expected_bytes: What records say is here.
        Raises:
            StorageError: The folder cannot be made or read; or it is new, and records speak of bodies in it, which must
                not make everything count as lost.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            if not self._incoming_path.exists():
                if expected_bytes:
                    detail = (
                        f"the folder of bodies is empty, and the journal speaks of {expected_bytes} bytes in it:"
                        " mount its disk, or move the journal away to begin anew"
                    )
                    raise StorageError("bodies-open", detail)
                self._incoming_path.mkdir()
            if self._commits is not None:
                sync_folder(self._path.parent)
                sync_folder(self._path)
            leftovers = os.listdir(self._incoming_path)
            for leftover in leftovers:
                os.unlink(self._incoming_path / leftover)
        except OSError as exc:
            raise translate("bodies-open", exc) from exc
        return len(leftovers)

    def close(self) -> None:
        """Wait for the file work in progress."""
        self._threads_of_large.shutdown(wait=True)
        self._hands.close()
        self._threads_of_reads.shutdown(wait=True)
        if self._commits is not None:
            self._commits.close()

    async def write(self, key: BodyKey, body: Body) -> None:
        """Store `body` whole or not at all. A cancelled caller may leave it stored."""
        if len(body) <= _PIECE_BYTES:
            await self._store(lambda: self._write_whole(key, body))
            return
        incoming, view = self.incoming(), memoryview(body)  # of which parts are no copies
        try:
            for start in range(0, len(body), _PIECE_BYTES):
                await incoming.write(view[start : start + _PIECE_BYTES])
            await incoming.finish()
            await self.adopt(incoming, key, body)
        finally:
            await incoming.discard()

    def incoming(self) -> FileIncoming:
        """Return a body to be written piece by piece. Between two pieces its threads serve others."""
        return FileIncoming(self._temporary(), fsync=self._commits is not None, threads=self._threads_of_large)

    async def adopt(self, incoming: Incoming, key: BodyKey, body: Body) -> None:
        """Give what came in its final name. A cancelled caller may leave it stored."""
        assert isinstance(incoming, FileIncoming), "a store adopts its own"
        temporary = incoming.release()
        await self._store(lambda: self._settle(Written(str(temporary), f"{self._root}/{key}")))

    async def read(self, key: BodyKey) -> bytes:
        """Return the whole body, unchecked; one thread hop."""
        return await self._read((self._path / key).read_bytes)

    async def read_intact(self, key: BodyKey) -> bytes:
        """Return the body if its bytes are those that were stored, else set it aside; one thread hop for all of it."""
        return await self._read(lambda: self._read_checked(key))

    async def delete(self, key: BodyKey) -> None:
        """Remove one body; one that is not there is no error."""
        try:
            await self._hands.do(lambda: (self._path / key).unlink(missing_ok=True))
        except OSError as exc:
            raise translate("body-delete", exc) from exc

    async def set_aside(self, key: BodyKey) -> bool:
        """Move a damaged body to the folder of such bodies, of which the newest are kept."""
        return await self._hands.do(lambda: buckets.set_aside(self._path, key))

    async def remove_bucket(self, event_id: str, bucket: int | None, files_count_max: int) -> Removed:
        """Remove up to so many files, and the folders when these are empty."""
        folders = [self._path / folder for folder in bucket_folders(event_id, bucket)]
        if self._commits is not None:
            for folder in folders:
                self._commits.forget(folder)
        try:
            return await self._hands.do(lambda: buckets.remove_bucket(folders, files_count_max))
        except OSError as exc:
            raise translate("bucket-remove", exc) from exc

    def list_bodies(self) -> Iterator[tuple[str, list[str]]]:
        """Yield `{event}/{bucket}` and the names of the files in that folder, for every folder; blocks.

        Raises:
            StorageError: A folder cannot be read.
        """
        try:
            yield from buckets.list_bodies(self._path)
        except OSError as exc:
            raise translate("bodies-list", exc) from exc

    def remove_now(self, keys: Iterable[BodyKey]) -> int:
        """Remove bodies that no record speaks of; blocks. Returns how many went; what cannot be removed stays."""
        return buckets.remove_files(self._path, keys)

    def keep_apart_now(self, keys: Iterable[BodyKey]) -> int:
        """Move bodies that no record speaks of to a folder of their own; blocks. Returns how many were moved."""
        return buckets.keep_apart(self._path, keys)

    async def _read(self, work: Callable[[], bytes]) -> bytes:
        try:
            return await _run(self._threads_of_reads, work)
        except FileNotFoundError as exc:
            if not self._incoming_path.is_dir():
                raise StorageError("body-read", "the folder of bodies is gone: mount its disk again") from exc
            raise BodyMissing("body-read", exc.strerror or str(exc)) from exc
        except OSError as exc:
            raise translate("body-read", exc) from exc

    def _read_checked(self, key: BodyKey) -> bytes:
        body = (self._path / key).read_bytes()
        if not is_intact(key, body):
            raise not_intact(was_set_aside=buckets.set_aside(self._path, key))
        return body

    def _temporary(self) -> Path:
        return self._incoming_path / f"{next(self._serial)}{_TEMPORARY}"

    def _write_whole(self, key: BodyKey, body: Body) -> Future[None] | None:
        """One thread hop for everything: a hop costs more than writing a small body."""
        temporary = f"{self._incoming_root}/{next(self._serial)}{_TEMPORARY}"
        descriptor = os.open(temporary, _FLAGS, _MODE)  # closed by who gives it its name
        try:
            _write_all(descriptor, body)
        except OSError:
            os.close(descriptor)
            remove_quietly(temporary)
            raise
        return self._settle(Written(temporary, f"{self._root}/{key}", descriptor))

    def _settle(self, written: Written) -> Future[None] | None:
        """Give a written file its name: at once, or with its batch when that is flushed."""
        if self._commits is not None:
            return self._commits.add(written)
        try:
            if written.descriptor is not None:
                os.close(written.descriptor)
            give_name(written.temporary, written.final)
        except OSError:
            remove_quietly(written.temporary)
            raise
        return None

    async def _store(self, work: Callable[[], Future[None] | None]) -> None:
        try:
            commit = await self._hands.do(work)
            if commit is not None:
                await asyncio.wrap_future(commit)
        except OSError as exc:
            raise translate("body-write", exc) from exc


def _stand_back() -> None:
    """Let the event loop go first where both want the same core: reading and checking is most of what rewinds cost.

    On Linux `nice` is of the calling thread alone. Without it four busy threads leave the loop a fifth of the core.
    """
    os.nice(_NICENESS_OF_READS)


def _write_all(descriptor: int, body: Body) -> None:
    """Write everything: a write may take less than it was given."""
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]


async def _run(threads: Executor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(threads, work)
