"""Connections of the deliver listener: aiohttp's, with a turnout before its queue that leads to the fast lane.

Leans on aiohttp's private names, as only `origin.receive` and `origin.server` do beside it: `_parser`, whose messages
it sees first; `_messages` and `_waiter`, to know that nothing is before a request; `_max_msg_queue_size`, as the parser
keeps back what is beyond; `_request_count`; `_next_keepalive_close_time`; `_close` and `_force_close`.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web
from aiohttp.http import RawRequestMessage

from origin.lane import Exchange, LaneDesk
from origin.server import Handler, OriginProtocol, OriginServer
from storage.base import Body


class _Turnout:
    """Stands before aiohttp's parser and takes out the messages that the fast lane answers."""

    def __init__(self, parser: Any, connection: "LaneProtocol") -> None:
        self._parser = parser
        self._connection = connection

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]:
        """Parse, and return what was not taken."""
        messages, upgraded, tail = self._parser.feed_data(data)
        if not messages or self._connection.is_flooded(len(messages)):
            return messages, upgraded, tail
        taken = 0
        for message, payload in messages:
            if not self._connection.take(message, payload):
                break
            taken += 1
            self._parser.message_consumed()
        return messages[taken:], upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class LaneProtocol(OriginProtocol):
    """A connection of the deliver listener."""

    def __init__(self, manager: "LaneServer", **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._desk = manager.desk
        self._exchange: Exchange | None = None
        self._behind: list[asyncio.Future[None]] = []
        self._parser = _Turnout(self._parser, self)  # type: ignore[assignment]  # what it does not do, it hands on

    @property
    def is_closing(self) -> bool:
        """Whether no further request is to be taken from this connection."""
        return self._force_close or self._close

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered in either lane."""
        return self._exchange is None and super().is_idle

    def is_flooded(self, messages_count: int) -> bool:
        """Tell whether so many requests came at once that the parser kept more back: aiohttp's queue handles that."""
        return messages_count >= self._max_msg_queue_size

    def take(self, message: object, payload: object) -> bool:
        """Answer a message in the fast lane if nothing is before it; returns whether it was taken."""
        if self._exchange is not None or self._messages or self._is_aiohttp_busy:
            return False
        if not isinstance(message, RawRequestMessage) or self.transport is None or self.writing_paused:
            return False
        exchange = self._desk.open(self, message, payload)
        if exchange is None:
            return False
        self._exchange = exchange
        self._request_count += 1  # tells `data_received` that the head is whole
        exchange.go_on()
        return True

    @property
    def _is_aiohttp_busy(self) -> bool:
        waiter = self._waiter
        if waiter is None:
            return self._request_count > 0  # before the first request, aiohttp's task may not have begun yet
        return waiter.done()

    def send(self, head: bytes, body: Body, *, must_close: bool) -> None:
        """Write the answer of the exchange in progress; it ends when the client has taken (nearly) all of it."""
        transport = self.transport
        if transport is None:
            return
        if body:
            transport.writelines([head, body])
        else:
            transport.write(head)
        if must_close:
            self._end_exchange()
            self.force_close()  # what is written is sent before the connection ends
        elif not self.writing_paused:
            self._end_exchange()

    def resume_writing(self) -> None:
        """The client has taken what was written."""
        super().resume_writing()
        if self._exchange is not None:
            self._end_exchange()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free what the request in progress takes."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        self._let_go_on()
        super().connection_lost(exc)

    async def turn(self) -> None:
        """Wait until the answers before this request have been written."""
        if self._exchange is not None:
            future: asyncio.Future[None] = self._loop.create_future()
            self._behind.append(future)
            await future

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  # aiohttp's signature
        """Let the exchange in progress end, then do what aiohttp does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.turn()
        await super().shutdown(timeout)

    def _end_exchange(self) -> None:
        self._exchange = None
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._behind:
            self._let_go_on()

    def _let_go_on(self) -> None:
        behind, self._behind = self._behind, []
        for future in behind:
            if not future.done():
                future.set_result(None)

    def _process_keepalive(self) -> None:
        """A connection on which a request is held is not idle."""
        if self._exchange is not None:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()


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
        return LaneProtocol(self, loop=self._loop, **self._kwargs)
