"""The fast lane of the publish listener: uploads of known length, without aiohttp's queue, reader and response.

aiohttp parses every head, with its limits. If what it asks for is to be taken (`Publisher.admit`) and its length is
known, the body is not for aiohttp's parser: it goes from the socket to where it stays. A body that came with its
head is not copied at all; of a longer one the rest is received in place (`asyncio.BufferedProtocol`). aiohttp's way
copies each byte four times: 0.7 ms of the 1 ms in which 1 MB is received (measured).

All else goes that way: what is refused, bodies in chunks (ffmpeg's) or coded, `Expect`, and what comes while an upload
of the same connection is being stored. Both ways end in `publish.Publisher`, so they answer alike.

Which bytes are a body and which are the next head must never be in doubt (RFC 9112, 11.2). So a head is cut off where
it ends and parsed alone; behind it, so many bytes are the body as it says. Where that cannot be followed, as behind a
body in chunks, the rest of the connection is aiohttp's.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any, Final

from aiohttp import EMPTY_PAYLOAD, web
from aiohttp.http import RawRequestMessage

from origin.heads import is_head_of
from origin.publish import Admitted, Publisher, UploadHead
from origin.receive import UploadProtocol, UploadServer
from origin.rendering import http_head
from origin.reply import Reply
from origin.routes import Edge
from origin.spool import STREAM_BYTES, Spool
from origin.turn import TurnProtocol
from origin.upload_framing import length_bytes_of, plain_upload
from storage.errors import StorageError

_END: Final = b"\r\n\r\n"
# If no more than this is missing of a body it comes in one piece or two; to receive in place takes longer to begin.
_IN_PLACE_BYTES: Final = 128 * 1024


class LaneUpload:
    """One upload, from its head until it is answered.

    Args:
        must_close: The client wants the connection to end with the answer.
    """

    __slots__ = (
        "_piece",
        "_piece_bytes",
        "admitted",
        "begun_s",
        "head",
        "heard_s",
        "missing_bytes",
        "must_close",
        "spool",
        "timer",
    )

    def __init__(self, head: UploadHead, admitted: Admitted, spool: Spool, *, must_close: bool) -> None:
        self.head = head
        self.admitted = admitted
        self.spool = spool
        self.must_close = must_close
        self.begun_s = time.monotonic()
        self.missing_bytes = head.length_bytes or 0
        # While it comes in pieces: when the last one came, in seconds of the event loop, and who looks at that.
        self.heard_s = 0.0
        self.timer: asyncio.TimerHandle | None = None
        # What is being filled, and how far it is.
        self._piece: bytearray | None = None
        self._piece_bytes = 0

    def take(self, data: memoryview) -> None:
        """Take bytes of the body, no more than are missing; all of it together is not copied."""
        if len(data) == self.head.length_bytes:
            self.missing_bytes = 0
            self.spool.take(data)
            return
        while data:
            room = self.room()
            count = min(len(room), len(data))
            room[:count] = data[:count]
            self.note(count)
            data = data[count:]

    def room(self) -> memoryview:
        """Return where the next bytes of the body go."""
        if self._piece is None:
            self._piece, self._piece_bytes = bytearray(min(self.missing_bytes, STREAM_BYTES)), 0
        return memoryview(self._piece)[self._piece_bytes :]

    def note(self, count: int) -> None:
        """Take note of bytes that were written to `room`."""
        piece = self._piece
        assert piece is not None, "there was room in it"
        self.missing_bytes -= count
        self._piece_bytes += count
        if self._piece_bytes == len(piece):
            self._piece = None
            with suppress(StorageError):  # told again when all of it is to be there
                self.spool.take(memoryview(piece).toreadonly())


class UploadLaneProtocol(TurnProtocol, UploadProtocol):
    """A connection of the publish listener."""

    __slots__ = (
        "_asked",
        "_cut_head",
        "_foreign_bytes",
        "_head_tail",
        "_in_place",
        "_is_followed",
        "_lane",
        "_storing",
        "_upload",
    )

    def __init__(self, manager: "UploadLaneServer", **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._lane = manager
        self._upload: LaneUpload | None = None
        self._storing: asyncio.Task[None] | None = None
        self._in_place = _InPlace(self)
        # Whether it is known where requests begin and end.
        self._is_followed = True
        # What is to come of a body in aiohttp's hands.
        self._foreign_bytes = 0
        # Of a head that is not whole: as much as may be the beginning of its end.
        self._head_tail = b""
        # While a head is parsed alone: its bytes, and what came of them.
        self._cut_head = b""
        self._asked: tuple[object, object] | None = None

    # -- heads

    def data_received(self, data: bytes) -> None:
        """Take bodies of the lane; hand all else to aiohttp, heads apart from what follows them."""
        if not data:  # aiohttp asks itself for what it held back
            super().data_received(data)
        while data:
            upload = self._upload
            if upload is not None and upload.missing_bytes:
                data = self._fill(upload, memoryview(data))
            elif upload is not None and upload.must_close:
                return  # no request stands behind one that ends the connection (RFC 9112, 9.6)
            elif not self._is_followed:
                super().data_received(data)
                return
            elif self._foreign_bytes:
                piece, data = data[: self._foreign_bytes], data[self._foreign_bytes :]
                self._foreign_bytes -= len(piece)
                super().data_received(piece)
            elif self.is_full:  # the parser holds back what comes in one piece, not what comes in many
                self._is_followed = False
            else:
                data = self._read_head(data)

    def _read_head(self, data: bytes) -> bytes:
        """Have a head parsed, or as much of it as there is; returns what is behind it."""
        tail, self._head_tail = self._head_tail, b""
        joined = tail + data
        at = joined.find(_END)
        heads_count = self.heads_count
        if at < 0:
            super().data_received(data)
            self._head_tail = joined[1 - len(_END) :]
            self._is_followed = self.heads_count == heads_count  # else aiohttp sees an end where we see none
            return b""
        end = at + len(_END) - len(tail)
        self._cut_head, self._asked = data[:end], None
        super().data_received(self._cut_head)
        self._cut_head = b""
        upload = self._upload
        if upload is not None and upload.missing_bytes:
            self.parse_anew()
            return self._fill(upload, memoryview(data)[end:])
        if not self._follow() and self.heads_count != heads_count:
            return b""  # aiohttp, too, drops what came with a wrong head; its parser in Python would begin anew
        return data[end:]

    def _follow(self) -> bool:
        """Find out where the body ends of what is in aiohttp's hands now; returns whether that is a request."""
        asked, self._asked = self._asked, None
        if asked is None:  # wrong, or held back, or empty lines (RFC 9112, 2.2), of which a piece may hold very many
            self._is_followed = False
            return False
        message, payload = asked
        length_bytes = None
        if isinstance(message, RawRequestMessage) and not message.upgrade:
            length_bytes = 0 if payload is EMPTY_PAYLOAD else length_bytes_of(message)
        self._is_followed = length_bytes is not None
        self._foreign_bytes = length_bytes or 0
        return True

    def take(self, message: object, payload: object) -> bool:
        """Take an upload whose head was cut off right where it ends, if it is to be taken at all."""
        head, self._cut_head = self._cut_head, b""
        if not head:
            return False
        self._asked = message, payload
        if self._is_busy or not self.is_free or not isinstance(message, RawRequestMessage):
            return False
        asked = plain_upload(message)
        if asked is None or not is_head_of(head, message):
            return False
        publisher = self._lane.publisher
        try:
            admitted = publisher.admit(asked)
        except Exception:  # noqa: BLE001  # a mistake of ours: made again in aiohttp's hands it is answered and logged
            return False
        if isinstance(admitted, Reply):
            return False
        self._is_busy = True
        publisher.begin()
        self._upload = LaneUpload(asked, admitted, publisher.spool(admitted), must_close=message.should_close)
        self.count_head()
        return True

    # -- bodies

    def _fill(self, upload: LaneUpload, data: memoryview) -> bytes:
        """Take bytes of the body; returns what is behind it."""
        missing_bytes = upload.missing_bytes
        upload.take(data[:missing_bytes])
        self._look_at(upload)
        if upload.missing_bytes >= _IN_PLACE_BYTES and self.transport is not None:
            self.transport.set_protocol(self._in_place)
        return bytes(data[missing_bytes:])

    def room(self) -> memoryview:
        """Return where the next bytes of the body go."""
        assert self._upload is not None, "it is received in place"
        return self._upload.room()

    def note_body(self, count: int) -> None:
        """Take note of bytes that were received in place."""
        upload = self._upload
        assert upload is not None, "it is received in place"
        upload.note(count)
        if not upload.missing_bytes and self.transport is not None:
            self.transport.set_protocol(self)
        self._look_at(upload)

    def _look_at(self, upload: LaneUpload) -> None:
        """Store the body if it is whole, else see that it does not pause for too long."""
        if not upload.missing_bytes:
            _stop_timer(upload)
            self._storing = self.loop.create_task(self._store(upload))
            self._lane.note_task(self._storing)
            return
        upload.heard_s = self.loop.time()
        if upload.timer is None:
            upload.timer = self.loop.call_at(upload.heard_s + self._idle_s, self._check_body, upload)

    @property
    def _idle_s(self) -> float:
        return self._lane.publisher.body_idle_ms / 1000

    def _check_body(self, upload: LaneUpload) -> None:
        """The one timer of a body that came in pieces."""
        upload.timer = None
        due_s = upload.heard_s + self._idle_s
        if self.loop.time() < due_s:
            upload.timer = self.loop.call_at(due_s, self._check_body, upload)
            return
        upload.missing_bytes, upload.must_close = 0, True  # what comes now is neither of it nor of another request
        if self.transport is not None:
            self.transport.set_protocol(self)
        self._lane.note_task(self.loop.create_task(self._drop(upload, self._lane.publisher.stalled(upload.admitted))))

    async def _drop(self, upload: LaneUpload, reply: Reply) -> None:
        """End an upload whose body did not come to its end; once it is told of, there is nothing left of it."""
        await self._lane.publisher.discard(upload.spool)
        if self._upload is upload:
            self._upload = None
            self._tell(reply, must_close=True)
            self.part()
        self._note(upload, reply)

    # -- answers

    async def _store(self, upload: LaneUpload) -> None:
        lane = self._lane
        try:
            reply = await lane.publisher.keep(upload.admitted, upload.spool)
        except Exception as exc:  # noqa: BLE001  # a mistake of ours is answered, logged and counted
            reply = lane.edge.fail(exc, upload.head.method, upload.head.path)
        finally:
            lane.publisher.end()
        if self._upload is upload:  # else the connection has gone, and nobody waits
            self._upload = None
            self._answer(reply, must_close=upload.must_close or reply.close)
        self._note(upload, reply)

    def _answer(self, reply: Reply, *, must_close: bool) -> None:
        must_close = must_close or self.is_closing
        self._tell(reply, must_close=must_close)
        self.end_turn()
        if must_close:
            self.force_close()  # what is written is sent before the connection ends

    def _tell(self, reply: Reply, *, must_close: bool) -> None:
        if self.transport is not None:
            self.transport.write(http_head(reply, is_version_10=False, must_close=must_close) + reply.body)

    def _note(self, upload: LaneUpload, reply: Reply) -> None:
        self._lane.edge.note(reply, upload.head.method, upload.head.path, time.monotonic() - upload.begun_s, 0)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  # aiohttp's signature
        """Let the upload in progress end, then cut it."""
        await super().shutdown(timeout)
        if self._storing is not None:
            await asyncio.sleep(0)  # a task that is cancelled before its first step never counts its upload out
            self._storing.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave no trace of a body that was cut; one that is whole goes on."""
        upload, self._upload = self._upload, None
        if upload is not None and upload.missing_bytes:
            _stop_timer(upload)
            reply = self._lane.publisher.truncated(upload.admitted)
            self._lane.note_task(self.loop.create_task(self._drop(upload, reply)))
        super().connection_lost(exc)


class _InPlace(asyncio.BufferedProtocol):
    """Has the system write a body to where it stays; the connection's protocol until all of it is there."""

    __slots__ = ("_connection",)

    def __init__(self, connection: UploadLaneProtocol) -> None:
        self._connection = connection

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._connection.room()

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.note_body(nbytes)

    def eof_received(self) -> bool | None:
        self._connection.eof_received()
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()


class UploadLaneServer(UploadServer):
    """The publish listener.

    Args:
        publisher: Answers requests of both lanes.
        edge: Counts and logs them, and answers those in aiohttp's hands.
        kwargs: As for `UploadServer`.
    """

    def __init__(self, publisher: Publisher, edge: Edge, **kwargs: Any) -> None:
        self.publisher = publisher
        self.edge = edge

        async def in_turn(request: web.BaseRequest) -> web.StreamResponse:
            protocol = request.protocol
            assert isinstance(protocol, UploadLaneProtocol), "`__call__` made it"
            await protocol.turn()
            return await edge.handle(request)

        super().__init__(in_turn, **kwargs)

    def __call__(self) -> UploadLaneProtocol:
        return UploadLaneProtocol(self, **self.connection_options)


def _stop_timer(upload: LaneUpload) -> None:
    if upload.timer is not None:
        upload.timer.cancel()
        upload.timer = None
