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
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final, Protocol, TypeVar

import aiofiles

from storage.base import BodyKey
from storage.errors import BodyMissing, StorageError, StorageFull
from storage.folders import sync_folder

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_TEMPORARY: Final = ".tmp"
# One disk serves few calls at a time; more threads only lengthen its queue.
_THREADS: Final = 8
# What one thread writes at a time: about a millisecond of an SSD.
_PIECE_BYTES: Final = 1024 * 1024

Result = TypeVar("Result")


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


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
            if self._fsync:
                sync_folder(self._path.parent)
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
        final = self._path / key
        temporary = final.with_name(f"{final.name}.{next(self._serial)}{_TEMPORARY}")
        try:
            if len(body) <= _PIECE_BYTES:
                await self._run("body-write", lambda: self._write_whole(temporary, final, body))
            else:
                await self._write_in_pieces(temporary, final, body)
        except StorageError:
            with suppress(StorageError):  # a folder that cannot be written may not let go of a file either
                await self._run("body-delete", lambda: temporary.unlink(missing_ok=True))
            raise

    async def read(self, key: BodyKey) -> bytes:
        """Return the whole body; one thread hop."""
        return await self._run("body-read", (self._path / key).read_bytes)

    async def delete(self, key: BodyKey) -> None:
        """Remove one body; one that is not there is no error."""
        await self._run("body-delete", lambda: (self._path / key).unlink(missing_ok=True))

    def _write_whole(self, temporary: Path, final: Path, body: bytes) -> None:
        """One thread hop for everything: a hop costs more than writing a small body."""
        self._make_folder(final.parent)
        with open(temporary, "xb", buffering=0) as file:
            _write_all(file, body)
            self._settle(file, temporary, final)

    async def _write_in_pieces(self, temporary: Path, final: Path, body: bytes) -> None:
        """Between two pieces the threads serve others: a 64 MiB upload does not hold up small segments."""
        await self._run("body-write", lambda: self._make_folder(final.parent))
        view = memoryview(body)
        try:
            async with aiofiles.open(temporary, "xb", buffering=0, executor=self._threads) as file:
                while view:
                    view = view[await file.write(view[:_PIECE_BYTES]) :]
                await self._run("body-write", lambda: self._settle(file, temporary, final))
        except OSError as exc:
            raise _translate("body-write", exc) from exc

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        if self._fsync:
            sync_folder(folder.parent)
            sync_folder(folder.parent.parent)

    def _settle(self, file: _HasDescriptor, temporary: Path, final: Path) -> None:
        """Give a written file its final name."""
        if self._fsync:
            os.fsync(file.fileno())
        os.rename(temporary, final)
        if self._fsync:
            sync_folder(final.parent)

    async def _run(self, operation: str, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as exc:
            raise _translate(operation, exc) from exc


def _write_all(file: FileIO, body: bytes) -> None:
    """Write everything: an unbuffered write may take less than it was given."""
    view = memoryview(body)
    while view:
        view = view[file.write(view) or 0 :]


def _translate(operation: str, exc: OSError) -> StorageError:
    detail = exc.strerror or str(exc)
    if isinstance(exc, FileNotFoundError):
        return BodyMissing(operation, detail)
    return (StorageFull if exc.errno in _FULL else StorageError)(operation, detail)
