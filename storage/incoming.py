"""A large body on its way to the disk: one temporary file, written as its pieces arrive."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from storage.base import Body
from storage.errors import StorageError, translate
from storage.flush import remove_quietly

Result = TypeVar("Result")


class FileIncoming:
    """Implements `storage.base.Incoming` with one file, which is made by the first write.

    What is being done in a thread is always waited for before the next thing begins, also when the caller was
    cancelled: a file closed under a write would have that write go to whichever file is opened next.

    Args:
        path: Where its bytes lie meanwhile.
        fsync: Whether `finish` flushes to the device: alone, so that no batch of small bodies waits for it.
        threads: Where files are worked on.
    """

    def __init__(self, path: Path, *, fsync: bool, threads: Executor) -> None:
        self.path = path
        self._fsync = fsync
        self._threads = threads
        self._file: AsyncFileIO | None = None
        self._size_bytes = 0
        self._is_over = False
        self._doing: asyncio.Task[Any] | None = None

    async def write(self, piece: Body) -> None:
        """Write all of a piece; one thread hop."""
        await self._do(self._write(piece))

    async def finish(self) -> None:
        """Flush, if so configured, and close: what waits to be looked into holds no descriptor."""
        await self._do(self._finish())

    async def read(self) -> bytes:
        """Return what was written, most likely from the page cache; one thread hop and one copy in memory."""
        body = await self._do(self._run(self.path.read_bytes))
        if len(body) != self._size_bytes:
            raise StorageError("body-write", f"read {len(body)} of {self._size_bytes} bytes back")
        return body

    async def discard(self) -> None:
        """Close and remove the file, after whatever is being done with it. Cancelling leaves that running."""
        if not self._is_over:
            self._is_over = True
            await self._do(self._remove())

    def release(self) -> Path:
        """Leave the finished file to the caller."""
        self._is_over = True
        return self.path

    async def _write(self, piece: Body) -> None:
        if self._file is None:
            self._file = await self._open()
        view = memoryview(piece)
        while view:
            view = view[await self._file.write(view) :]
        self._size_bytes += len(piece)

    async def _open(self) -> AsyncFileIO:
        return await aiofiles.open(self.path, "xb", buffering=0, executor=self._threads)

    async def _finish(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if self._fsync:
                descriptor = file.fileno()
                await self._run(lambda: os.fdatasync(descriptor))
        finally:
            await file.close()

    async def _remove(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                await file.close()
        await self._run(lambda: remove_quietly(self.path))

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do one thing after the other, each to its end."""
        task = asyncio.create_task(self._after(self._doing, work))
        # Whether or not the caller is left to see a fault, it has been noticed.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._doing = task
        try:
            return await asyncio.shield(task)
        except OSError as exc:
            raise translate("body-write", exc) from exc

    async def _after(self, former: asyncio.Task[Any] | None, work: Coroutine[Any, Any, Result]) -> Result:
        if former is not None and not former.done():
            await asyncio.wait([former])
        return await work
