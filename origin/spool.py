"""Takes the body of an upload as it arrives: a small one in memory, a large one to disk, piece by piece.

The socket is never kept waiting for the disk. A packager that closes its connection by a reset takes back what
has not been read by then, so a slow disk must not become a short body; what it has not written yet waits in
memory, and is no more than the body. Once all of it is written it is read back in one piece, from the page cache.
So an upload takes its size in memory once, and not a second time for putting its pieces together.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from storage.base import Body, Incoming

# Smaller bodies stay in memory until they are whole: putting together what one write of the disk takes anyway
# costs less than reading it back, and most segments of most renditions are smaller.
STREAM_BYTES: Final = 1024 * 1024


class Spool:
    """One body.

    Args:
        open_incoming: Makes the place of a large body; None keeps it in memory whatever its size.

    After `whole`, `incoming` is that place, or None for a body that stayed in memory. `held_bytes` is what is in memory
    meanwhile.
    """

    def __init__(self, open_incoming: Callable[[], Incoming] | None) -> None:
        self._open_incoming = open_incoming
        self._pieces: deque[Body] = deque()
        self.held_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self.incoming: Incoming | None = None

    def take(self, piece: Body) -> None:
        """Take the next bytes, without waiting for anything.

        Raises:
            StorageFull, StorageError: Bytes before these could not be written; nothing more needs to come.
        """
        if self._writing is not None and self._writing.done():
            self._writing.result()
            self._writing = None
        self._pieces.append(piece)
        self.held_bytes += len(piece)
        if self._open_incoming is None or self.held_bytes <= STREAM_BYTES or self._writing is not None:
            return
        if self.incoming is None:
            self.incoming = self._open_incoming()
        self._writing = asyncio.create_task(self._write(self.incoming, STREAM_BYTES))
        # Whether or not somebody is left to see a fault, it has been noticed.
        self._writing.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def whole(self) -> Body:
        """Return the body; nothing more comes.

        Raises:
            StorageFull, StorageError: It could not be written or read back.
        """
        if self.incoming is None:
            return self._next(self.held_bytes)
        if self._writing is not None:
            await self._writing
        await self._write(self.incoming, 0)
        await self.incoming.finish()
        return await self.incoming.read()

    async def discard(self) -> None:
        """Leave nothing on disk, unless it was adopted."""
        if self._writing is not None:
            self._writing.cancel()
        if self.incoming is not None:
            await self.incoming.discard()

    async def _write(self, incoming: Incoming, down_to_bytes: int) -> None:
        """Write until no more than this is held in memory."""
        while self.held_bytes > down_to_bytes:
            await incoming.write(self._next(STREAM_BYTES))

    def _next(self, size_bytes: int) -> Body:
        """Let go of the oldest pieces held, up to about this size."""
        taken: list[Body] = []
        taken_bytes = 0
        while self._pieces and taken_bytes < size_bytes:
            taken.append(self._pieces.popleft())
            taken_bytes += len(taken[-1])
        self.held_bytes -= taken_bytes
        return taken[0] if len(taken) == 1 else b"".join(taken)
