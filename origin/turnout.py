"""Connections of the deliver listener: aiohttp's, with a turnout before its queue that leads to the fast lane."""

import asyncio
import time
from typing import Any

from aiohttp import HttpVersion10, web
from aiohttp.http import RawRequestMessage

from origin.aiohttp_inside import Handler
from origin.heads import Asked
from origin.lane import Exchange, LaneDesk, plain_request
from origin.server import OriginServer
from origin.turn import TurnProtocol
from origin.wire import descriptor_of, write
from storage.base import Body


class LaneProtocol(TurnProtocol):
    """A connection of the deliver listener."""

    __slots__ = ("_descriptor", "_desk", "_exchange", "_is_between", "_is_last", "_taken")

    def __init__(self, manager: "LaneServer", **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._desk = manager.desk
        # Of the request in progress, if it was not answered at once.
        self._exchange: Exchange | None = None
        # Whether the connection ends with the answer in progress.
        self._is_last = False
        self._descriptor = -1
        # Whether the parser is where a request begins, as far as that is known.
        self._is_between = True
        # What was taken of the bytes that are being parsed.
        self._taken: tuple[RawRequestMessage, Asked] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._descriptor = descriptor_of(transport)
        super().connection_made(transport)

    @property
    def is_closing(self) -> bool:
        """Whether no further request is to be taken from this connection."""
        return self._is_last or super().is_closing

    def data_received(self, data: bytes) -> None:
        """Answer what is one request whose like was seen before; let aiohttp parse all else, and learn from it."""
        if self._is_busy and self._is_last:
            return  # no request stands behind one that ends the connection (RFC 9112, 9.6)
        if self._is_between and not self._is_busy and self.is_free:
            asked = self._desk.heads.find(data)
            if asked is not None:
                self.head_is_whole()
                self._begin(asked)
                return
        taken = self._parse(data)
        self._is_between = taken is not None and self._desk.heads.learn(data, *taken)

    def _parse(self, data: bytes) -> tuple[RawRequestMessage, Asked] | None:
        """Let aiohttp take bytes; returns what was taken of them here last."""
        self._taken = None
        super().data_received(data)
        return self._taken

    def take(self, message: object, payload: object) -> bool:
        """Answer a message in the fast lane if nothing is before it; returns whether it was taken."""
        if self._is_busy or not self.is_free or not isinstance(message, RawRequestMessage):
            return False
        request = plain_request(message, payload)
        if request is None:
            return False
        asked = Asked(request, message.should_close, message.version == HttpVersion10)
        self._taken = message, asked
        self._begin(asked)
        return True

    def _begin(self, asked: Asked) -> None:
        self._is_busy, self._is_last = True, asked.must_close
        self.count_head()
        exchange = self._desk.open(self, asked)
        if self._is_busy:
            self._exchange = exchange

    def send(self, head: bytes, body: Body, *, must_close: bool) -> None:
        """Write the answer of the request in progress; it ends when the client has taken (nearly) all of it."""
        transport = self.transport
        if transport is None:
            return
        write(transport, self._descriptor, head, body)
        if must_close:
            self._end_exchange()
            self.force_close()  # what is written is sent before the connection ends
        elif not self.is_writing_paused:
            self._end_exchange()

    def resume_writing(self) -> None:
        """The client has taken what was written."""
        super().resume_writing()
        if self._is_busy:
            self._end_exchange()

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it; aiohttp returns nothing
        """The client sends no more; returns whether to keep the connection until it has its answer.

        What was written is sent in any case. But TCP does not tell a client that only waits from one that has left,
        and who is held and has left must free its place: so a held request ends here.
        """
        self._is_last = self._exchange is not None and self._exchange.is_reading
        return self._is_last

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free what the request in progress takes."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        super().connection_lost(exc)

    def _end_exchange(self) -> None:
        self._exchange = None
        self.end_turn()


class LaneServer(OriginServer):
    """The deliver listener.

    Args:
        handler: Answers what the fast lane does not take.
        kwargs: As for `OriginServer`.
    """

    def __init__(self, desk: LaneDesk, handler: Handler, **kwargs: Any) -> None:
        self.desk = desk

        async def in_turn(request: web.BaseRequest) -> web.StreamResponse:
            protocol = request.protocol
            assert isinstance(protocol, LaneProtocol), "`__call__` made it"
            await protocol.turn()
            begun_s = time.monotonic()
            try:
                return await handler(request)
            except asyncio.CancelledError:
                desk.edge.note_gone(request.method, request.path, time.monotonic() - begun_s)
                raise

        super().__init__(in_turn, **kwargs)

    def __call__(self) -> LaneProtocol:
        return LaneProtocol(self, **self.connection_options)
