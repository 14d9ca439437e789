"""aiohttp's low-level server with limits on what a slow or hostile client can take, and answers of our own for it.

aiohttp bounds the time between requests, but not the time of a request's head, of an answer, or the number of
connections. What is added costs nothing for a request that comes in one piece: a comparison in `data_received`.
"""

import asyncio
import logging
from typing import Any, Final, cast

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import LineTooLong

from origin.aiohttp_inside import Handler, InsideProtocol, InsideServer, are_fields_too_many
from origin.connections import (
    FIELDS_COUNT_MAX,
    ConnectionLimits,
    Connections,
    Observe,
    Reason,
    SendWatch,
    Unsent,
    address_of,
    ignore,
)
from origin.farewell import Farewells, LastAnswers
from origin.kept_head import SERVER
from origin.logs import LineBudget, fields
from origin.rendering import http_head
from origin.reply import Problem, Reply, problem
from selection import cache_policy

log = logging.getLogger(__name__)

# What is no HTTP gets so many lines a second for each listener: it costs a hostile client nothing.
JUNK_LINES_PER_S: Final = 10


def response_of(reply: Reply) -> web.Response:
    """Return an answer as aiohttp sends it."""
    # A view of shared memory is copied: aiohttp would take it for a payload, with fields and warnings of its own.
    response = web.Response(status=reply.status, headers=reply.headers, body=bytes(reply.body) or None)
    response.headers["Server"] = SERVER
    if reply.close:
        response.force_close()
    return response


class OriginProtocol(InsideProtocol):
    """A connection whose every answer is ours: with a cache life time, and without a word about the software."""

    __slots__ = (
        "_address",
        "_early_bytes",
        "_head_by_s",
        "_head_bytes",
        "_head_timer",
        "_is_parting",
        "_newest_body",
        "_send_watch",
        "_server",
        "_wire",
    )

    def __init__(self, manager: "OriginServer", **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._server = manager
        self._address: str | None = None
        # The transport as long as the connection is counted; aiohttp forgets its own earlier.
        self._wire: asyncio.Transport | None = None
        # When the head that is awaited must be whole, in seconds of the loop; 0 while none is.
        self._head_by_s = 0.0
        self._head_bytes = 0
        # Of a head that is not whole, while the request before it is being answered.
        self._early_bytes = 0
        # Of the newest request in aiohttp's hands.
        self._newest_body: StreamReader | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._send_watch: SendWatch | None = None
        self._is_parting = False

    # -- connecting and leaving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse a connection too many before aiohttp makes a task for it."""
        wire = cast(asyncio.Transport, transport)
        address = address_of(wire)
        reason = self._server.clients.admit(address)
        if reason is not None:
            self._server.refuse(wire, reason)
            return
        self._address, self._wire = address, wire
        super().connection_made(transport)
        self.when_ended(self._note_end)
        self._head_by_s = self.loop.time() + self._server.limits.head_ms / 1000
        self._head_timer = self.loop.call_at(self._head_by_s, self._check_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free what the connection was counted with."""
        if self._wire is not None:
            self._wire = None
            self._server.clients.release(self._address)
            if self._head_timer is not None:
                self._head_timer.cancel()
            self._end_send_watch()
        super().connection_lost(exc)

    def _note_end(self, _: object) -> None:
        """No further request is taken. What the client has not taken yet must not keep the connection for ever."""
        if self._wire is not None and self._wire.get_write_buffer_size():
            self._watch_sending()

    def part(self) -> None:
        """End the connection so that the client gets what was written, whatever it is still sending."""
        wire = self._wire
        if wire is None:
            return
        self.transport = None  # else aiohttp closes it
        self.connection_lost(None)
        self._server.farewells.take(wire)

    # -- the head of a request

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is not whole by now has a limit.

        What follows a whole request in one piece counts from the next piece on; `keepalive` ends it if there is none.
        """
        count, body = self.heads_count, self._newest_body
        is_of_body = body is not None and not body.is_eof()
        super().data_received(data)
        if self.heads_count != count:
            self.head_is_whole()
            self._newest_body = self.queued[-1][1] if self.queued else None
        elif data and self.is_idle:
            self._note_piece(data)
        elif data and not is_of_body and not self.is_full:
            self._note_early(data)

    def head_is_whole(self) -> None:
        """No head is awaited any more."""
        self._head_by_s, self._early_bytes = 0.0, 0

    def _note_early(self, data: bytes) -> None:
        """Count what came of a head while an answer before it is awaited; there is no way to refuse it in its turn."""
        self._early_bytes += len(data)
        if self._early_bytes > self._server.limits.head_bytes_total and self._wire is not None:
            self._server.observe(Reason.HEAD_SIZE)
            self._wire.abort()

    def _note_piece(self, data: bytes) -> None:
        if not self._head_by_s:
            if not data.strip(b"\r\n"):
                return  # empty lines may stand before a request (RFC 9112, 2.2)
            self._head_bytes = 0
            self._head_by_s = self.loop.time() + self._server.limits.head_ms / 1000
            if self._head_timer is None:
                self._head_timer = self.loop.call_at(self._head_by_s, self._check_head)
        self._head_bytes += len(data)
        if self._head_bytes > self._server.limits.head_bytes_total:
            self._dismiss(self._server.last_answers.too_large, Reason.HEAD_SIZE)

    def _check_head(self) -> None:
        """The one timer: armed at connecting, and then by a head that comes in pieces; requests do not touch it."""
        self._head_timer = None
        if not self._head_by_s or self.is_closing:
            return
        if self.loop.time() < self._head_by_s:
            self._head_timer = self.loop.call_at(self._head_by_s, self._check_head)
        else:
            self._dismiss(self._server.last_answers.too_slow, Reason.HEAD_TIMEOUT)

    def _dismiss(self, reply: Reply, reason: Reason) -> None:
        """Answer a request that is not whole."""
        assert self._wire is not None, "what was lost is not looked at"
        self._server.observe(reason)
        self._wire.write(http_head(reply, is_version_10=False, must_close=True) + reply.body)
        self.part()

    def keepalive_due(self) -> float:
        """A head on its way has a limit of its own."""
        return self._head_by_s

    # -- what cannot be parsed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp cannot parse; whatever a handler raises, `routes.Edge` has answered already."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; cut it, so that no cache keeps half of it")
        if not self._server.junk_lines.is_spent():
            log.info("request not understood", extra=fields(error=message or repr(exc)))
        self._is_parting = True
        response = response_of(self._reply_to(exc))
        response.force_close()
        return response

    def _reply_to(self, exc: BaseException | None) -> Reply:
        server = self._server
        if isinstance(exc, LineTooLong):
            server.observe(Reason.HEAD_SIZE)
            answers = server.last_answers
            return answers.target_too_long if self.is_target_too_long(exc) else answers.too_large
        if are_fields_too_many(exc):
            server.observe(Reason.HEAD_SIZE)
            return server.last_answers.too_large
        return problem(Problem.BAD_REQUEST, "This is no HTTP request.", cache_policy.absent())

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; after one to what could not be parsed the rest of it may still be coming."""
        finished = await super().finish_response(request, resp, start_time)
        if self._is_parting:
            self.part()
        return finished

    # -- sending

    def pause_writing(self) -> None:
        """The client takes less than there is for it: look how much less."""
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        """The client has taken (nearly) all; of a connection that ends, it must take all."""
        if self._wire is not None and not self._wire.is_closing():
            self._end_send_watch()
        super().resume_writing()

    def _watch_sending(self) -> None:
        server = self._server
        if self._wire is not None and self._send_watch is None:
            self._send_watch = SendWatch(self._wire, server.unsent, server.limits, self._cut)

    def _end_send_watch(self) -> None:
        if self._send_watch is not None:
            self._send_watch.end()
            self._send_watch = None

    def _cut(self, reason: Reason) -> None:
        """Half an answer was sent: no cache may take the end of the connection for the end of the body."""
        assert self._wire is not None, "what was lost is not watched"
        self._server.observe(reason)
        self._wire.abort()


class OriginServer(InsideServer):
    """The low-level server of every listener.

    Args:
        handler: Answers one request.
        limits: What its clients may take; the defaults of the settings if None.
        observe: Told why a connection was refused or cut, a value of `Reason`.
        kwargs: Options of aiohttp's `Server` and `RequestHandler`.

    `clients.count` and `unsent.bytes_count` are for metrics.
    """

    def __init__(
        self, handler: Handler, *, limits: ConnectionLimits | None = None, observe: Observe = ignore, **kwargs: Any
    ) -> None:
        self.limits = limits or ConnectionLimits()
        self.observe = observe
        self.clients = Connections(self.limits.connections_count, self.limits.connections_per_address)
        self.unsent = Unsent(self.limits.unsent_bytes)
        self.farewells = Farewells()
        self.last_answers = LastAnswers(self.limits)
        self.junk_lines = LineBudget(JUNK_LINES_PER_S)
        bounds: dict[str, Any] = {
            "keepalive_timeout": self.limits.keepalive_ms / 1000,
            "max_line_size": self.limits.head_bytes,
            # That the two differ tells one from the other. aiohttp counts the value of a field, and the name only of
            # the first one: a field of `head_bytes` with its name and colon is always taken.
            "max_field_size": self.limits.head_bytes - 1,
            "max_headers": FIELDS_COUNT_MAX,
        }
        super().__init__(handler, access_log=None, **bounds | kwargs)

    def __call__(self) -> OriginProtocol:
        return OriginProtocol(self, **self.connection_options)

    def refuse(self, transport: asyncio.Transport, reason: Reason) -> None:
        """Answer a connection too many, before it has asked anything."""
        self.observe(reason)
        answers = self.last_answers
        reply = answers.too_many if reason is Reason.TOTAL else answers.too_many_from_one
        transport.write(http_head(reply, is_version_10=False, must_close=True) + reply.body)
        self.farewells.take(transport)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # aiohttp's name
        """Let requests in progress end, then close all connections."""
        await super().shutdown(timeout)
        self.farewells.end()
