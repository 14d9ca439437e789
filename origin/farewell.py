"""Connections that have had their last answer and wait for their client to leave.

Closing while something of the client is unread, or still on its way, makes the system reset the connection, and
the client loses the answer that tells it what was wrong (RFC 9112, 9.6). So the connection is closed in one
direction, and what comes is read and dropped for a moment.
"""

import asyncio
from typing import Final

from origin.connections import FIELDS_COUNT_MAX, ConnectionLimits
from origin.reply import Problem, problem
from selection import cache_policy

LINGER_S: Final = 1.0
# How many may wait at once for each listener: the next are closed at once, and some lose their answer.
FAREWELLS_MAX: Final = 256


class _Farewell(asyncio.Protocol):
    """Drops what it receives until the client leaves. asyncio closes at its end of file."""

    def __init__(self, farewells: "Farewells", transport: asyncio.Transport) -> None:
        self._farewells = farewells
        self.transport = transport
        self.timer = asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.timer.cancel()
        self._farewells.forget(self)


class Farewells:
    """The connections of one listener that wait for their client to leave."""

    def __init__(self) -> None:
        self._waiting: set[_Farewell] = set()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._waiting)

    def take(self, transport: asyncio.Transport) -> None:
        """Take over a connection on which all has been written; its protocol hears nothing of it any more."""
        if transport.is_closing():
            transport.set_protocol(asyncio.Protocol())
            return
        if len(self._waiting) >= FAREWELLS_MAX:
            transport.set_protocol(asyncio.Protocol())
            transport.close()
            return
        farewell = _Farewell(self, transport)
        self._waiting.add(farewell)
        transport.set_protocol(farewell)
        try:
            transport.write_eof()
        except OSError:  # the client has reset the connection
            transport.abort()
        else:
            transport.resume_reading()

    def forget(self, farewell: _Farewell) -> None:
        """A client has left."""
        self._waiting.discard(farewell)

    def end(self) -> None:
        """Wait for nobody any longer."""
        for farewell in self._waiting:
            farewell.transport.abort()


class LastAnswers:
    """What clients are told that go beyond the limits of their connection.

    What they would have asked for is not known; it may be the live edge, where five seconds are two segments.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.too_many = problem(
            Problem.OVERLOADED,
            f"There are limits.connections, {limits.connections_count}, connections.",
            cache_policy.unavailable(),
        )
        self.too_many_from_one = problem(
            Problem.OVERLOADED,
            f"There are limits.connections_per_address, {limits.connections_per_address}, from this address.",
            cache_policy.unavailable(),
        )
        self.too_slow = problem(
            Problem.HEAD_TIMEOUT,
            f"The head of a request must come within limits.head, {limits.head_ms} ms.",
            cache_policy.absent(),
        )
        self.target_too_long = problem(
            Problem.TARGET_TOO_LONG,
            f"The request target is longer than limits.head_bytes, {limits.head_bytes} bytes.",
            cache_policy.absent(),
        )
        self.too_large = problem(
            Problem.HEAD_TOO_LARGE,
            f"A field is longer than limits.head_bytes, {limits.head_bytes} bytes, or all of the head is longer than"
            f" {limits.head_bytes_total} bytes, or there are more than {FIELDS_COUNT_MAX} fields.",
            cache_policy.absent(),
        )
