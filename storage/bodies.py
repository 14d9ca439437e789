"""The SSD tier: one file a body, written under a temporary name and renamed.

A file with its final name is whole: a kill between write and rename leaves only a temporary file, which
the next start removes. All file work runs in threads of its own, so that a slow disk never stops the event
loop, nor whatever else uses the default threads.
"""

import asyncio
import errno
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from storage.base import BodyKey
from storage.errors import BodyMissing, StorageError, StorageFull

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_TEMPORARY: Final = ".tmp"
# One disk serves few calls at a time; more threads only lengthen its queue.
_THREADS: Final = 8

Result = TypeVar("Result")


class FileBodies:
    """Implements `storage.base.Bodies` in a folder.

    Args:
        path: The folder; made if it is not there.
        fsync: Whether a body is flushed to the device before `write` returns.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._fsync = fsync
        self._serial = itertools.count()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="bodies")

    def open(self) -> int:
        """Make the folder and remove what a crash left half-written; blocks. Returns how many such files there were.

        Raises:
            StorageError: The folder cannot be made or read.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            leftovers = list(self._path.rglob("*" + _TEMPORARY))
            for leftover in leftovers:
                leftover.unlink()
        except OSError as exc:
            raise _translate("bodies-open", exc) from exc
        return len(leftovers)

    def close(self) -> None:
        """Wait for the file work in progress."""
        self._threads.shutdown(wait=True)

    async def write(self, key: BodyKey, body: bytes) -> None:
        """Store `body` whole or not at all. A cancelled caller may leave it stored."""
        await self._run("body-write", lambda: self._write(key, body))

    async def read(self, key: BodyKey) -> bytes:
        """Return the whole body; one thread hop."""
        return await self._run("body-read", (self._path / key).read_bytes)

    async def delete(self, key: BodyKey) -> None:
        """Remove one body; one that is not there is no error."""
        await self._run("body-delete", lambda: (self._path / key).unlink(missing_ok=True))

    def _write(self, key: BodyKey, body: bytes) -> None:
        final = self._path / key
        temporary = final.with_name(f"{final.name}.{next(self._serial)}{_TEMPORARY}")
        try:
            self._write_file(temporary, body)
            os.rename(temporary, final)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if self._fsync:
            _sync_folder(final.parent)

    def _write_file(self, path: Path, body: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o640)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._fsync:
                _sync_folder(path.parent.parent)
            descriptor = os.open(path, flags, 0o640)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(descriptor, view) :]
            if self._fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    async def _run(self, operation: str, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as exc:
            raise _translate(operation, exc) from exc


def _sync_folder(path: Path) -> None:
    """Make a rename or a new folder in `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translate(operation: str, exc: OSError) -> StorageError:
    detail = exc.strerror or str(exc)
    if isinstance(exc, FileNotFoundError):
        return BodyMissing(operation, detail)
    return (StorageFull if exc.errno in _FULL else StorageError)(operation, detail)
