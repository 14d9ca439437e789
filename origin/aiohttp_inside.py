"""All that leans on the inside of aiohttp: every private name of it that is read, written or overridden stands here.

Elsewhere these things have names of our own. A name that is gone ends the import; what a name means is shown by one
test each in `tests/origin/test_aiohttp_inside.py`, which fails when the library changes it and says what depends on it.
`test_aiohttp_names.py` keeps private names out of all other modules.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import StreamReader, web
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

# How both parsers of aiohttp tell that there are more fields than `max_headers`.
_TOO_MANY_FIELDS: Final = "Too many headers received"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _slot(name: str) -> Any:
    """Return an attribute of aiohttp's connections, to stand in a class under a second name.

    It is the same descriptor of the same slot, so using it costs what the first name costs: no call.

    Raises:
        AttributeError: aiohttp has no such slot any more.
    """
    return getattr(web.RequestHandler, name)


class InsideProtocol(web.RequestHandler):
    """A connection, with what our subclasses need to know of it, and hooks for them.

    aiohttp's side of a connection is a task that takes one request after another from a queue, which `data_received`
    fills with what the parser returns.
    """

    __slots__ = ()

    loop: asyncio.AbstractEventLoop = _slot("_loop")
    # Pairs of (message, payload): requests, and errors of the parser, that the task has not begun.
    queued: deque[tuple[object, StreamReader]] = _slot("_messages")
    # Heads that have been whole so far, errors of the parser counted too.
    heads_count: int = _slot("_request_count")
    # Whether the transport has more to write than it likes.
    is_writing_paused: bool = _slot("_paused")

    @property
    def is_closing(self) -> bool:
        """Whether no further request is to be taken from this connection."""
        return self._force_close or self._close

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered or waits for that."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._messages

    @property
    def is_full(self) -> bool:
        """Whether so many requests wait that the parser holds back what comes. Reading is paused meanwhile."""
        return len(self._messages) >= self._max_msg_queue_size

    @property
    def is_free(self) -> bool:
        """Whether nothing is before a request that comes now on aiohttp's side, and it can be answered."""
        if self._messages:
            return False
        waiter = self._waiter
        if waiter is None:
            if self._request_count > 0:
                return False  # before the first request, aiohttp's task may not have begun yet
        elif waiter.done():
            return False
        return not (self._paused or self._force_close or self._close or self.transport is None)

    def when_ended(self, callback: Callable[[object], None]) -> None:
        """Have something called when no further request is taken. To be called while connected."""
        if self._task_handler is not None:
            self._task_handler.add_done_callback(callback)

    def count_head(self) -> None:
        """Count a head that aiohttp's side does not see."""
        self._request_count += 1

    def count_idle_from_now(self) -> None:
        """Let the time that a connection may be idle begin now."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def left_behind(self) -> list[tuple[RawRequestMessage, StreamReader]]:
        """Return the requests that arrived whole and that nobody will begin if the connection ends now.

        A connection that waits for its next request (`_waiter` is set) has taken over what just arrived
        before it is told of its end, as both are queued in that order on the event loop.
        """
        if self._manager is None or self._waiter is not None:
            return []  # it has ended before, or leaves nothing
        return [
            (message, payload)
            for message, payload in self._messages
            if isinstance(message, RawRequestMessage) and payload.is_eof()
        ]

    def is_target_too_long(self, exc: LineTooLong) -> bool:
        """Tell whether it is the target of a request that is too long, not a field. `max_field_size` must differ.

        The parsers tell which limit it was; the one in Python (aiohttp without its extensions) does not for a
        field that came in pieces, but has the lines before it.
        """
        return exc.args[1] == self.max_line_size and not getattr(self._parser, "_lines", ())

    # -- hooks

    async def turn(self) -> None:
        """Wait until whatever is before the request in aiohttp's hands has been answered."""

    def keepalive_due(self) -> float:
        """Called when the connection may have been idle for too long.

        Returns:
            When to call it again, in seconds of the loop; 0 to have the connection closed if it is idle.
        """
        return 0.0

    def take(self, message: object, payload: object) -> bool:
        """Called for what was parsed, before aiohttp's queue, if `look_first` was; returns whether it was taken."""
        return False

    def look_first(self) -> None:
        """Have `take` called."""
        self._parser = _BeforeQueue(self._parser, self)  # type: ignore[assignment]  # what it does not do, it hands on

    def parse_anew(self) -> None:
        """Have the next byte parsed as the first of a request, whatever the parser waits for; its state is given up.

        To be called after `look_first`, on a connection that leaves bodies coded. To make a parser takes 1 us.
        """
        parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )
        self._parser = _BeforeQueue(parser, self)  # type: ignore[assignment]

    # -- what aiohttp calls

    def _process_keepalive(self) -> None:
        again_s = self.keepalive_due()
        if again_s:
            self._keepalive_handle = self._loop.call_at(again_s, self._process_keepalive)
        else:
            super()._process_keepalive()

    def _make_error_handler(self, err_info: Any) -> Handler:
        """What could not be parsed is answered in its turn, too."""
        handler = super()._make_error_handler(err_info)

        async def in_turn(request: web.BaseRequest) -> web.StreamResponse:
            await self.turn()
            return await handler(request)

        return in_turn


class _BeforeQueue:
    """Stands before aiohttp's parser and keeps from the queue behind it what the connection takes."""

    __slots__ = ("_connection", "_parser")

    def __init__(self, parser: Any, connection: InsideProtocol) -> None:
        self._parser = parser
        self._connection = connection

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]:
        """Parse, and return what was not taken."""
        parser, connection = self._parser, self._connection
        messages, upgraded, tail = parser.feed_data(data)
        # Of so many at once the parser has kept more back: the queue handles that.
        if not messages or len(messages) >= connection._max_msg_queue_size:
            return messages, upgraded, tail
        taken = 0
        for message, payload in messages:
            if not connection.take(message, payload):
                break
            taken += 1
            parser.message_consumed()
        return messages[taken:], upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class InsideRequest(web.BaseRequest):
    """A request whose complete body outlives its connection."""

    def _cancel(self, exc: BaseException) -> None:
        if not self.content.is_eof():
            super()._cancel(exc)


class InsideServer(web.Server):
    """A low-level server, with what is needed to make connections."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of all connections."""
        return self._loop

    @property
    def connection_options(self) -> dict[str, Any]:
        """What a new connection is made with, beside its server."""
        return {"loop": self._loop, **self._kwargs}


def are_fields_too_many(exc: BaseException | None) -> bool:
    """Tell whether aiohttp could not parse a head because of the number of its fields."""
    return getattr(exc, "message", "") == _TOO_MANY_FIELDS


def linger(request: web.BaseRequest, linger_s: float) -> None:
    """Have what is missing of a request's body awaited for so long after its answer, then the connection closed."""
    request.protocol._lingering_time = linger_s
