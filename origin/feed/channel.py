"""One end of a feed's connection: frames and descriptors over a UNIX socket, never waiting, all of it bounded.

asyncio's transports do not pass descriptors, so the socket is watched directly. Descriptors follow these rules: what
is sent is duplicated at once, so that the sender keeps its own; what was received belongs to the channel until
`on_frame` is called with it, and to that from then on; whatever the channel has when it closes is closed with it.
"""

import array
import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from origin.feed.wire import FeedFault, FrameReader, FrameType, encode_frame

log = logging.getLogger(__name__)

BUFFER_BYTES_MAX: Final = 64 * 1024**2
# Below this, or a quarter of what may wait, a sender that has much to say goes on.
LOW_BYTES: Final = 512 * 1024
# One system call: less than the kernel takes at once (1,024 pieces, 253 descriptors).
SEND_PIECES: Final = 256
SEND_BYTES: Final = 1024**2
SEND_DESCRIPTORS: Final = 64
# Received and not yet claimed by a frame.
DESCRIPTORS_MAX: Final = 2 * SEND_DESCRIPTORS
READ_BYTES: Final = 128 * 1024

_ITEM_BYTES: Final = array.array("i").itemsize
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(SEND_DESCRIPTORS * _ITEM_BYTES)

OnFrame = Callable[[FrameType, bytes, tuple[int, ...]], None]


class Channel:
    """A connected stream socket on the running loop. It owns the socket.

    Frames are written once a turn of the loop, together; by `send_now` at once, where none is before them.

    Args:
        on_frame: Told each frame, with its descriptors, which are the callee's to close. It may raise FeedFault.
        on_closed: Told once, in a later turn of the loop, why the connection has ended.
        buffer_bytes_max: When more than this waits for a reader that is too slow, the connection ends.

    Once it has ended, `closed_by` is the reason, and `is_faulty` tells whether it was something that was received.
    """

    def __init__(
        self,
        connection: socket.socket,
        on_frame: OnFrame,
        on_closed: Callable[[str], None],
        buffer_bytes_max: int = BUFFER_BYTES_MAX,
    ) -> None:
        connection.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._buffer_bytes_max = buffer_bytes_max
        self._low_bytes = min(LOW_BYTES, buffer_bytes_max // 4)
        self._frames = FrameReader()
        self._inbox = memoryview(bytearray(READ_BYTES))  # used again: new memory for each reading takes longer to get
        self._received: deque[int] = deque()
        self._pieces: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._buffered_bytes = 0
        self._is_flushing = self._is_blocked = False
        self._drained: asyncio.Future[None] | None = None
        self.closed_by: str | None = None
        self.is_faulty = False
        self._loop.add_reader(connection.fileno(), self._read)

    @property
    def buffered_bytes(self) -> int:
        """What waits to be written."""
        return self._buffered_bytes

    @property
    def is_closed(self) -> bool:
        return self.closed_by is not None

    def send(self, kind: FrameType, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        """Write a frame soon; on a channel that is closed, nothing happens."""
        self.send_encoded(encode_frame(kind, payload, len(descriptors)), descriptors)

    def send_encoded(self, frame: bytes, descriptors: Sequence[int] = ()) -> None:
        """Write a frame that was encoded before, for several channels."""
        if self.is_closed:
            return
        self._buffered_bytes += len(frame)
        if self._buffered_bytes > self._buffer_bytes_max:
            self.close("too slow")
            return
        try:
            self._pieces.append((memoryview(frame), _duplicates(descriptors)))
        except OSError as exc:
            self.close(f"no descriptor left: {exc.strerror}")
            return
        if not self._is_flushing and not self._is_blocked:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def send_now(self, frames: bytes) -> None:
        """Write encoded frames, and what the socket does not take now soon."""
        written = 0
        if not self._pieces and not self.is_closed:
            try:
                written = self._socket.send(frames)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as exc:
                self.close(f"cannot write: {exc.strerror}")
        if written < len(frames):
            self.send_encoded(frames[written:])

    async def drain(self) -> None:
        """Return once little waits to be written, or the channel is closed. One caller at a time."""
        while self._buffered_bytes > self._low_bytes and not self.is_closed:
            self._drained = self._loop.create_future()
            await self._drained

    def close(self, reason: str) -> None:
        """End the connection, with what is not written yet. Does nothing the second time."""
        if self.is_closed:
            return
        self.closed_by = reason
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for _, descriptors in self._pieces:
            close_all(descriptors)
        close_all(self._received)
        self._pieces.clear()
        self._received.clear()
        self._buffered_bytes = 0
        self._tell_drained()
        self._loop.call_soon(self._on_closed, reason)

    # -- Writing

    def _flush(self) -> None:
        self._is_flushing = False
        while self._pieces and not self.is_closed:
            if not self._write():
                break
        if not self.is_closed and self._buffered_bytes <= self._low_bytes:
            self._tell_drained()

    def _write(self) -> bool:
        """Write what one call takes. Returns False if the socket takes no more now."""
        group, descriptors = self._next_group()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            written = self._socket.sendmsg(group, ancillary)
        except (BlockingIOError, InterruptedError):
            self._block()
            return False
        except OSError as exc:
            self.close(f"cannot write: {exc.strerror}")
            return False
        self._forget_written(written, len(group))
        self._unblock()
        return True

    def _next_group(self) -> tuple[list[memoryview], list[int]]:
        group: list[memoryview] = []
        descriptors: list[int] = []
        size_bytes = 0
        for piece, own in self._pieces:
            if group and (
                len(group) == SEND_PIECES
                or size_bytes + len(piece) > SEND_BYTES
                or len(descriptors) + len(own) > SEND_DESCRIPTORS
            ):
                break
            group.append(piece)
            descriptors += own
            size_bytes += len(piece)
        return group, descriptors

    def _forget_written(self, written: int, count: int) -> None:
        """Take out what was written. The descriptors of the whole group went with its first byte."""
        self._buffered_bytes -= written
        rest: list[tuple[memoryview, tuple[int, ...]]] = []
        for _ in range(count):
            piece, descriptors = self._pieces.popleft()
            close_all(descriptors)
            if written < len(piece):
                rest.append((piece[written:], ()))
            written = max(written - len(piece), 0)
        self._pieces.extendleft(reversed(rest))

    def _block(self) -> None:
        if not self._is_blocked:
            self._is_blocked = True
            self._loop.add_writer(self._socket.fileno(), self._flush)

    def _unblock(self) -> None:
        if self._is_blocked:
            self._is_blocked = False
            self._loop.remove_writer(self._socket.fileno())

    def _tell_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- Reading

    def _read(self) -> None:
        try:
            read_bytes, ancillary, flags, _ = self._socket.recvmsg_into(
                [self._inbox], _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self.close(f"cannot read: {exc.strerror}")
            return
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(value[: len(value) - len(value) % _ITEM_BYTES])
                self._received.extend(received)
        if not read_bytes:
            self.close("the other end has gone")
        elif flags & socket.MSG_CTRUNC or len(self._received) > DESCRIPTORS_MAX:
            self._refuse("descriptors were lost on the way")
        else:
            self._take(self._inbox[:read_bytes])

    def _take(self, data: memoryview) -> None:
        try:
            for frame in self._frames.feed(data):
                if frame.descriptors_count > len(self._received):
                    raise FeedFault("a frame without its descriptors")
                descriptors = tuple([self._received.popleft() for _ in range(frame.descriptors_count)])
                self._on_frame(frame.type, frame.payload, descriptors)
                if self.is_closed:
                    return
        except FeedFault as exc:
            self._refuse(str(exc))
        except Exception:  # a mistake in what follows the feed: with it, nothing that follows may be believed
            log.exception("frame of the feed not taken in")
            self._refuse("a frame could not be taken in")

    def _refuse(self, reason: str) -> None:
        self.is_faulty = True
        self.close(reason)


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors; one that is closed already is no error."""
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)


def _duplicates(descriptors: Sequence[int]) -> tuple[int, ...]:
    """Return duplicates of all of them. Raises OSError with none left open."""
    made: list[int] = []
    try:
        made.extend(map(os.dup, descriptors))  # what comes before a failure is in there
    except OSError:
        close_all(made)
        raise
    return tuple(made)
