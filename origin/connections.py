"""What the connections of one listener may take: how many there are, for how long, and what waits to be sent on them.

One request of a connection is answered at a time, so a connection holds one answer at most: its head and one body.
Where both are written apart, uvloop keeps the body by reference, shared with the RAM tier and with every other
connection that sends it; asyncio before Python 3.12, and aiohttp where it joins head and body, copy it.
"""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

KIB: Final = 1024
# How often a client that has something to take is looked at. One that takes nothing is cut at the second look.
CHECK_MS: Final = 2_500
# Fields of a request. Apache httpd allows 100, too; CDNs add about 30.
FIELDS_COUNT_MAX: Final = 100
# A head that comes in pieces: 32 KiB by default, as nginx (`large_client_header_buffers 4 8k`).
HEAD_PARTS: Final = 4
_MAPPED_PREFIX: Final = "::ffff:"


class Reason(StrEnum):
    """Why a connection was refused or cut."""

    TOTAL = "total"
    ADDRESS = "address"
    HEAD_TIMEOUT = "head-timeout"
    HEAD_SIZE = "head-size"
    SEND_RATE = "send-rate"
    UNSENT = "unsent"


Observe = Callable[[str], None]


def ignore(_: str) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds on the connections of one listener; `limits.*` of the settings, with their defaults.

    Args:
        connections_count: Connections at once.
        connections_per_address: Of them, connections from one address.
        head_ms: How long the head of a request may take, from connecting or from its first byte on.
        head_bytes: Longest request target, and longest header field (of the long ones aiohttp counts the value only).
        keepalive_ms: How long a connection may be idle between two requests.
        send_rate_bytes: What a client must take each second while there is something for it; 0 for any.
        check_ms: How often that is looked at.
        unsent_bytes: What may wait for all clients together. Beyond it those who have been behind for longest are cut,
            so that clients who do not read can never use up what the live edge needs; 0 for any.
    """

    connections_count: int = 32_768
    connections_per_address: int = 2_048
    head_ms: int = 10_000
    head_bytes: int = 8 * KIB
    keepalive_ms: int = 75_000
    send_rate_bytes: int = 64 * KIB
    check_ms: int = CHECK_MS
    unsent_bytes: int = 0

    @property
    def head_bytes_total(self) -> int:
        """The longest head that comes in pieces."""
        return HEAD_PARTS * self.head_bytes

    @property
    def check_bytes(self) -> int:
        """What a client must take between two looks."""
        return self.send_rate_bytes * self.check_ms // 1000


class Connections:
    """Counts the connections of one listener, together and by address."""

    def __init__(self, count_max: int, per_address_max: int) -> None:
        self._count_max = count_max
        self._per_address_max = per_address_max
        self._by_address: dict[str, int] = {}
        self.count = 0

    def admit(self, address: str | None) -> Reason | None:
        """Count one more, or return why it is one too many.

        Args:
            address: Of the client; None where it has none, which is counted in total only.
        """
        if self.count >= self._count_max:
            return Reason.TOTAL
        if address is not None:
            count = self._by_address.get(address, 0)
            if count >= self._per_address_max:
                return Reason.ADDRESS
            self._by_address[address] = count + 1
        self.count += 1
        return None

    def release(self, address: str | None) -> None:
        """Count one less; it was admitted with the same address."""
        self.count -= 1
        if address is not None:
            count = self._by_address.pop(address) - 1
            if count:
                self._by_address[address] = count


class Unsent:
    """The bytes of answers that the clients of one listener have not taken yet, in our memory.

    Args:
        bytes_max: How many there may be; 0 for any.
    """

    def __init__(self, bytes_max: int = 0) -> None:
        self.bytes_count = 0
        self._bytes_max = bytes_max
        self._watches: dict[SendWatch, None] = {}  # in the order in which their clients fell behind

    def add(self, watch: "SendWatch", bytes_count: int) -> None:
        """Count what waits for one client more, or less; cut those who are behind for longest if it is too much."""
        self._watches[watch] = None
        self.bytes_count += bytes_count
        while bytes_count > 0 and 0 < self._bytes_max < self.bytes_count:
            next(iter(self._watches)).give_up()

    def remove(self, watch: "SendWatch", bytes_count: int) -> None:
        """Count a client no more."""
        self._watches.pop(watch, None)
        self.bytes_count -= bytes_count


def address_of(transport: asyncio.BaseTransport) -> str | None:
    """Return the address of a client; None where it has none (a UNIX socket, one that has gone already).

    An IPv4 client of an IPv6 socket has the address it has on an IPv4 socket (RFC 4291, 2.5.5.2).
    """
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or not peer or not isinstance(peer[0], str):
        return None
    address = peer[0]
    if address.startswith(_MAPPED_PREFIX) and "." in address:
        return address[len(_MAPPED_PREFIX) :]
    return address


def queued_bytes(transport: asyncio.BaseTransport) -> int:
    """Return what the system has taken to send and the client has not acknowledged; 0 where that cannot be told.

    Linux takes megabytes and tells that there is room again when a third is free: judged by our own buffer alone,
    a client that reads steadily would seem to stand still.
    """
    connection = transport.get_extra_info("socket")
    if connection is None:
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", answer)[0])


class SendWatch:
    """Watches a client that has something to take, from the moment the transport's buffer is full on.

    Counts what waits in `unsent`, and calls `cut` once the client took less than the minimum. What it took beyond it is
    to its credit, up to one minimum, which it has at the beginning, too: systems take in steps. Linux opens a receive
    window that was closed when a sixteenth of it is free, so a client that reads steadily may seem to pause.
    """

    __slots__ = ("_counted_bytes", "_credit_bytes", "_cut", "_left_bytes", "_limits", "_timer", "_transport", "_unsent")

    def __init__(
        self,
        transport: asyncio.Transport,
        unsent: Unsent,
        limits: ConnectionLimits,
        cut: Callable[[Reason], None],
    ) -> None:
        self._transport = transport
        self._unsent = unsent
        self._limits = limits
        self._cut = cut
        self._counted_bytes = 0
        self._credit_bytes = limits.check_bytes
        self._timer = self._begin()
        self._left_bytes = self._look()

    def end(self) -> None:
        """Stop watching: the client has taken (nearly) all, or has gone."""
        self._timer.cancel()
        self._unsent.remove(self, self._counted_bytes)
        self._counted_bytes = 0

    def give_up(self) -> None:
        """Cut the client to make room for others."""
        self.end()
        self._cut(Reason.UNSENT)

    def _begin(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._limits.check_ms / 1000, self._check)

    def _check(self) -> None:
        former_bytes, self._left_bytes = self._left_bytes, self._look()
        minimum_bytes = self._limits.check_bytes
        self._credit_bytes = min(self._credit_bytes + former_bytes - self._left_bytes - minimum_bytes, minimum_bytes)
        if self._credit_bytes < 0 < minimum_bytes:
            self._cut(Reason.SEND_RATE)
        else:
            self._timer = self._begin()

    def _look(self) -> int:
        """Count what waits anew; returns it with what waits in the system."""
        waiting_bytes = self._transport.get_write_buffer_size()
        more_bytes, self._counted_bytes = waiting_bytes - self._counted_bytes, waiting_bytes
        self._unsent.add(self, more_bytes)
        return waiting_bytes + queued_bytes(self._transport)
