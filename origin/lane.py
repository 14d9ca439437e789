"""The fast lane of the deliver listener: GET and HEAD without a task, a request object or a response object.

aiohttp parses every request, with its limits, unless its like was parsed before (`heads`). One that is plain (a GET or
HEAD without a body, its path in plain characters) is answered right there, in the turn of the event loop in which it
came; a held one waits as a place in the waiting list and is answered by whoever wakes it. All others go aiohttp's way,
through `routes.Edge.handle`. Both ways ask `deliver.Deliverer`, so they answer alike; requests of one connection are
answered in their order.

One answer at a time: what comes while an answer is on its way, or while its bytes wait for the client to take
them, goes behind it.
"""

import asyncio
import time
from typing import Protocol

from aiohttp import EMPTY_PAYLOAD
from aiohttp.http import RawRequestMessage

from origin.conditional import FIELDS
from origin.deliver import METHODS, Deliverer
from origin.heads import PLAIN_PATH, Asked, KnownHeads
from origin.rendering import http_head
from origin.reply import Reply
from origin.routes import Edge
from origin.steps import DeliverRequest, Hold, Read, Step
from origin.waiters import Place, Release, Waiters
from storage.base import Body


def plain_request(message: RawRequestMessage, payload: object) -> DeliverRequest | None:
    """Return a request that the fast lane understands, or None."""
    if message.method not in METHODS or payload is not EMPTY_PAYLOAD or message.upgrade or message.chunked:
        return None
    path = message.path.partition("?")[0]
    if PLAIN_PATH.fullmatch(path) is None:
        return None
    headers = message.headers
    if "Expect" in headers:
        return None
    asked = {name: ", ".join(headers.getall(name)) for name in FIELDS if name in headers}
    return DeliverRequest(message.method, path, path, asked)


class Connection(Protocol):
    """What an exchange needs of its connection."""

    @property
    def is_closing(self) -> bool:
        """Whether no further request is to be taken from it."""

    def send(self, head: bytes, body: Body, *, must_close: bool) -> None:
        """Write an answer; the exchange ends when the client has taken (nearly) all of it."""


class Exchange:
    """One request of the fast lane that is not answered at once, until its answer has been taken.

    Args:
        begun_s: When it came, in seconds of the monotonic clock.
    """

    __slots__ = (
        "_asked",
        "_begun_s",
        "_connection",
        "_desk",
        "_held_ms",
        "_is_answered",
        "_place",
        "_reading",
        "_release",
    )

    def __init__(self, desk: "LaneDesk", connection: Connection, asked: Asked, begun_s: float) -> None:
        self._desk = desk
        self._connection = connection
        self._asked = asked
        self._begun_s = begun_s
        self._held_ms = 0
        self._is_answered = False
        self._place: Place | None = None
        self._reading: asyncio.Task[None] | None = None
        self._release: Release | None = None

    @property
    def is_reading(self) -> bool:
        """Whether its body is being read from the lower tier."""
        return self._reading is not None

    def take(self, step: Step) -> None:
        """Do what is to be done."""
        if isinstance(step, Reply):
            self._answer(step)
        elif isinstance(step, Hold):
            self._hold(step)
        else:
            self._reading = asyncio.get_running_loop().create_task(self._read(step))

    def abandon(self) -> None:
        """The client has gone: free the place, and leave a shared read to the others."""
        if self._place is not None:
            self._place.leave()
        if self._reading is not None:
            self._reading.cancel()
        if not self._is_answered:
            request = self._asked.request
            self._desk.edge.note_gone(request.method, request.path, time.monotonic() - self._begun_s)

    def _answer(self, reply: Reply) -> None:
        self._is_answered = True
        connection, edge, release = self._connection, self._desk.edge, self._release
        request, must_close, _ = asked = self._asked
        written = self._desk.write(connection, asked, reply, must_close=must_close or connection.is_closing)
        told = (written, request.method, request.path, time.monotonic() - self._begun_s, self._held_ms)
        if release is None:
            edge.note(*told)
            return
        release.note_written()
        # After everyone who was released together has been written to.
        asyncio.get_running_loop().call_soon(edge.note, *told)

    def _hold(self, hold: Hold) -> None:
        begun_ms = self._desk.deliverer.clock.now_ms()

        def told(release: Release | None) -> None:
            self._place = None
            self._release = release
            self._held_ms += self._desk.deliverer.note_hold(begun_ms, woken=release is not None)
            self.take(self._desk.begin(self._asked.request, self._held_ms))

        self._place = self._desk.waiters.join(hold.key, hold.timeout_ms, told)

    async def _read(self, read: Read) -> None:
        try:
            step = await self._desk.deliverer.fetch(read)
        except Exception as exc:  # noqa: BLE001  # a mistake of ours is answered, logged and counted
            step = self._desk.edge.fail(exc, self._asked.request.method, self._asked.request.path)
        self._reading = None
        self.take(step)


class LaneDesk:
    """What all connections of the fast lane share."""

    def __init__(self, deliverer: Deliverer, waiters: Waiters, edge: Edge) -> None:
        self.deliverer = deliverer
        self.waiters = waiters
        self.edge = edge
        self.heads = KnownHeads()

    def open(self, connection: Connection, asked: Asked) -> Exchange | None:
        """Answer a request at once, or return the exchange that will. The connection must not be closing."""
        begun_s = time.monotonic()
        request = asked.request
        step = self.begin(request)
        if isinstance(step, Reply):
            written = self.write(connection, asked, step, must_close=asked.must_close)
            self.edge.note(written, request.method, request.path, time.monotonic() - begun_s, 0)
            return None
        exchange = Exchange(self, connection, asked, begun_s)
        exchange.take(step)
        return exchange

    def begin(self, request: DeliverRequest, held_ms: int = 0) -> Step:
        """Return what is to be done."""
        try:
            return self.deliverer.begin(request, held_ms)
        except Exception as exc:  # noqa: BLE001  # a mistake of ours is answered, logged and counted
            return self.edge.fail(exc, request.method, request.path)

    def write(self, connection: Connection, asked: Asked, reply: Reply, *, must_close: bool) -> Reply:
        """Send an answer; returns the one that was sent, which is another where this one could not be."""
        request, _, is_version_10 = asked
        try:
            head = http_head(reply, is_version_10=is_version_10, must_close=must_close)
        except ValueError as exc:
            reply = self.edge.fail(exc, request.method, request.path)
            head = http_head(reply, is_version_10=is_version_10, must_close=must_close)
        connection.send(head, b"" if request.method == "HEAD" else reply.body, must_close=must_close)
        return reply
