"""Receiving uploads over aiohttp without losing a complete one.

Packagers close the connection right after the last byte and never read the answer; ffmpeg does so after
each upload, and at its end in persistent mode with requests still queued. aiohttp 3.14 then

- marks the body of the request in progress as failed, although every byte of it has arrived
  (`BaseRequest._cancel`), so that any handler that awaits before or between reads loses it: 19 of 19 DASH
  uploads with 2 ms between reads, measured;
- drops requests it has parsed but not started (`RequestHandler.connection_lost`).

The classes here keep both: a body that is complete stays readable, and complete requests behind it are
handled although nobody waits for the answer. A body that was cut fails as before and leaves no trace.

What aiohttp has not parsed when the connection ends is lost with it: it parses up to 32 requests behind the
one in progress (`MAX_MSG_QUEUE_SIZE`), many segments' worth.
"""

import asyncio
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpProcessingError, RawRequestMessage, StreamWriter
from aiohttp.streams import StreamReader

from origin.aiohttp_inside import Handler, InsideRequest, linger
from origin.server import OriginProtocol, OriginServer
from storage.base import Body

# How long a connection stays after an answer that makes its body needless, in seconds: long enough for a client
# that sent the body all the same to read the answer, before closing on unread bytes resets the connection.
ABANDONED_LINGER_S: Final = 1.0
# The largest piece of a body that is handed over at once. Below what connections buffer (`UPLOAD_BUFFER_BYTES`), as
# aiohttp buffers at least twice as much as it is asked for.
PIECE_BYTES: Final = 256 * 1024


class BodyTooLarge(Exception):
    """More bytes than the limit; the rest is not read."""


class BodyStalled(Exception):
    """No byte came for the idle limit."""


class BodyTruncated(Exception):
    """The connection or the encoding ended before the body did."""


class UploadProtocol(OriginProtocol):
    """A connection whose complete requests outlive it."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hand what arrived whole behind the request in progress to the server, then end as usual."""
        server = self._server
        orphans = self.left_behind()
        super().connection_lost(exc)
        assert isinstance(server, UploadServer), "it made this connection"
        for message, payload in orphans:
            server.handle_orphan(message, payload, self)


class UploadServer(OriginServer):
    """The low-level server of the publish listener.

    Args:
        handler: Answers one request.
        kwargs: Options of aiohttp's `RequestHandler`.
    """

    def __init__(self, handler: Handler, **kwargs: Any) -> None:
        # Decoded by `decode_gzip`: aiohttp takes a gzip body that was cut for a whole one.
        super().__init__(handler, request_factory=self._make_upload, auto_decompress=False, **kwargs)
        self._tasks: set[asyncio.Task[Any]] = set()

    def __call__(self) -> UploadProtocol:
        return UploadProtocol(self, **self.connection_options)

    def handle_orphan(self, message: RawRequestMessage, payload: StreamReader, protocol: UploadProtocol) -> None:
        """Handle a request whose connection has gone; its answer is dropped.

        In a task of its own: the connection's may have ended already, when an answer found the client gone.
        """
        self.note_task(self.loop.create_task(self._handle_orphan(message, payload, protocol)))

    def note_task(self, task: "asyncio.Task[Any]") -> None:
        """Have `drain` wait for something that outlives its connection."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait for requests whose connection has gone."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle_orphan(
        self, message: RawRequestMessage, payload: StreamReader, protocol: UploadProtocol
    ) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        writer = StreamWriter(protocol, self.loop)
        return await self.request_handler(self._make_upload(message, payload, protocol, writer, task))

    def _make_upload(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[Any]",
    ) -> InsideRequest:
        return InsideRequest(message, payload, protocol, writer, task, self.loop)


async def send_continue(request: web.BaseRequest) -> None:
    """Tell the client to go on with the body (RFC 9110, 10.1.1), unless all of it is here already."""
    if request.content.is_eof():
        return
    with suppress(ConnectionError):  # whether the body is whole, `read_body` tells
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The interim response does not count as the beginning of the final one.
    request.writer.output_size = 0


def abandon_body(request: web.BaseRequest) -> None:
    """Do not wait for a body that its client will not send, having asked first and been refused."""
    linger(request, ABANDONED_LINGER_S)


async def read_body(request: web.BaseRequest, limit_bytes: int, idle_ms: int) -> bytes:
    """Return the whole body of an upload; as `receive_body`."""
    pieces: list[bytes] = []
    await receive_body(request, limit_bytes, idle_ms, pieces.append)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def receive_body(request: web.BaseRequest, limit_bytes: int, idle_ms: int, take: Callable[[bytes], None]) -> None:
    """Hand over the body of an upload as it arrives; on return it was whole.

    Args:
        idle_ms: How long no byte may come. ffmpeg's DASH muxer sends the head a whole segment before the body.
        take: Given every piece. It must not wait: bytes not read when a connection is reset are lost.
    Raises:
        BodyTooLarge, BodyStalled, BodyTruncated: What it says; nothing of the body is to be kept.
        StorageError: What `take` raises; the rest of the body is not read here.
    """
    content = request.content
    if (request.content_length or 0) > limit_bytes:
        raise BodyTooLarge
    size_bytes = 0
    while True:
        try:
            # Not `readany`: that puts everything the connection has buffered together, in a second copy.
            if content.is_eof():  # all of it is here, nothing is waited for
                piece = await content.read(PIECE_BYTES)
            else:
                async with asyncio.timeout(idle_ms / 1000):
                    piece = await content.read(PIECE_BYTES)
        except TimeoutError as exc:
            raise BodyStalled from exc
        except (OSError, RuntimeError, HttpProcessingError, web.RequestPayloadError) as exc:
            # RuntimeError is what aiohttp raises for a connection that ended before the handler began to read.
            raise BodyTruncated from exc
        if not piece:
            return
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise BodyTooLarge
        take(piece)


def decode_gzip(body: Body, limit_bytes: int) -> bytes:
    """Return what a gzip body holds; blocks for as long as that takes.

    Raises:
        BodyTooLarge, BodyTruncated: It holds more than the limit; it is cut, or not gzip.
    """
    decoder = zlib.decompressobj(wbits=31)
    try:
        decoded = decoder.decompress(body, limit_bytes + 1)
    except zlib.error as exc:
        raise BodyTruncated from exc
    if len(decoded) > limit_bytes:
        raise BodyTooLarge
    if not decoder.eof or decoder.unused_data:
        raise BodyTruncated
    return decoded
