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
from typing import Final, Protocol

from aiohttp import EMPTY_PAYLOAD
from aiohttp.http import RawRequestMessage

from origin.conditional import FIELDS
from origin.deliver import Deliverer
from origin.heads import PLAIN_PATH, KnownHeads
from origin.rendering import http_head
from origin.reply import Reply
from origin.routes import Edge
from origin.steps import DeliverRequest, Hold, Read, Step
from origin.waiters import Place, Release, Waiters
from storage.base import Body

_METHODS: Final = ("GET", "HEAD")


def plain_request(message: RawRequestMessage, payload: object) -> DeliverRequest | None:
    """Return a request that the fast lane understands, or None."""
    if message.method not in _METHODS or payload is not EMPTY_PAYLOAD or message.upgrade or message.chunked:
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
    """One request of the fast lane, until its answer has been taken.

    Args:
        must_close: The client wants the connection to end with the answer.
    """

    __slots__ = (
        "_begun_s",
        "_connection",
        "_desk",
        "_held_ms",
        "_is_answered",
        "_is_version_10",
        "_must_close",
        "_place",
        "_reading",
        "_release",
        "request",
    )

    def __init__(
        self,
        desk: "LaneDesk",
        connection: Connection,
        request: DeliverRequest,
        *,
        must_close: bool,
        is_version_10: bool = False,
    ) -> None:
        self.request = request
        self._desk = desk
        self._connection = connection
        self._must_close = must_close
        self._is_version_10 = is_version_10
        self._begun_s = time.monotonic()
        self._held_ms = 0
        self._is_answered = False
        self._place: Place | None = None
        self._reading: asyncio.Task[None] | None = None
        self._release: Release | None = None

    def go_on(self) -> None:
        """Ask what is to be done, and do it."""
        try:
            self._take(self._desk.deliverer.begin(self.request, self._held_ms))
        except Exception as exc:  # noqa: BLE001  # a mistake of ours is answered, logged and counted
            self._fail(exc)

    def abandon(self) -> None:
        """The client has gone: free the place, and leave a shared read to the others."""
        if self._place is not None:
            self._place.leave()
        if self._reading is not None:
            self._reading.cancel()
        if not self._is_answered:
            self._desk.edge.note_gone(self.request.method, self.request.path, self._duration_s)

    @property
    def _duration_s(self) -> float:
        return time.monotonic() - self._begun_s

    def _take(self, step: Step) -> None:
        if isinstance(step, Reply):
            self._answer(step)
        elif isinstance(step, Hold):
            self._hold(step)
        else:
            self._reading = asyncio.get_running_loop().create_task(self._read(step))

    def _hold(self, hold: Hold) -> None:
        begun_ms = self._desk.deliverer.clock.now_ms()

        def told(release: Release | None) -> None:
            self._place = None
            self._release = release
            self._held_ms += self._desk.deliverer.note_hold(begun_ms, woken=release is not None)
            self.go_on()

        self._place = self._desk.waiters.join(hold.key, hold.timeout_ms, told)

    async def _read(self, read: Read) -> None:
        try:
            step = await self._desk.deliverer.fetch(read)
            self._reading = None
            self._take(step)
        except Exception as exc:  # noqa: BLE001  # a mistake of ours is answered, logged and counted
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        reply = self._desk.edge.fail(exc, self.request.method, self.request.path)
        self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        self._is_answered = True
        request, desk = self.request, self._desk
        must_close = self._must_close or self._connection.is_closing
        head = http_head(reply, is_version_10=self._is_version_10, must_close=must_close)
        self._connection.send(head, b"" if request.is_head else reply.body, must_close=must_close)
        if self._release is None:
            desk.edge.note(reply, request.method, request.path, self._duration_s, self._held_ms)
            return
        self._release.note_written()
        # After everyone who was released together has been written to.
        asyncio.get_running_loop().call_soon(
            desk.edge.note, reply, request.method, request.path, self._duration_s, self._held_ms
        )


class LaneDesk:
    """What all connections of the fast lane share."""

    def __init__(self, deliverer: Deliverer, waiters: Waiters, edge: Edge) -> None:
        self.deliverer = deliverer
        self.waiters = waiters
        self.edge = edge
        self.heads = KnownHeads()

    def open(
        self, connection: Connection, request: DeliverRequest, *, must_close: bool, is_version_10: bool = False
    ) -> Exchange:
        """Return the exchange that a request begins."""
        return Exchange(self, connection, request, must_close=must_close, is_version_10=is_version_10)
