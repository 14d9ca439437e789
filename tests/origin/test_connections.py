"""Counting connections, and telling from what a client leaves in our buffers whether it takes its answer."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.limits import Limits
from origin.connections import (
    CHECK_MS,
    ConnectionLimits,
    Connections,
    Reason,
    SendWatch,
    Unsent,
    address_of,
    ignore,
    queued_bytes,
)


def test_the_limits_are_by_default_those_of_the_settings() -> None:
    settings, limits = Limits(), ConnectionLimits()
    assert limits == ConnectionLimits(
        connections_count=settings.connections,
        connections_per_address=settings.connections_per_address,
        head_ms=settings.head_ms,
        head_bytes=settings.head_bytes,
        keepalive_ms=settings.keepalive_ms,
        send_rate_bytes=settings.send_rate_bytes,
        check_ms=CHECK_MS,
    )
    assert limits.head_bytes_total == 32 * 1024


# -- counting


def test_connections_are_admitted_up_to_the_limits() -> None:
    connections = Connections(count_max=3, per_address_max=2)
    assert [connections.admit("a") for _ in range(3)] == [None, None, Reason.ADDRESS]
    assert [connections.admit("b") for _ in range(2)] == [None, Reason.TOTAL]
    assert connections.count == 3
    connections.release("a")
    assert [connections.admit("b"), connections.admit("b")] == [None, Reason.TOTAL]


def test_clients_without_an_address_count_in_total_only() -> None:
    connections = Connections(count_max=3, per_address_max=1)
    assert [connections.admit(None) for _ in range(4)] == [None, None, None, Reason.TOTAL]
    connections.release(None)
    assert connections.admit(None) is None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c", None]))), st.integers(1, 6), st.integers(1, 4))
def test_counts_follow_what_is_open(steps: list[tuple[bool, str | None]], count_max: int, per_address_max: int) -> None:
    connections = Connections(count_max, per_address_max)
    opened: list[str | None] = []
    for is_opening, address in steps:
        if not is_opening:
            if address in opened:
                opened.remove(address)
                connections.release(address)
            continue
        expected = None
        if len(opened) == count_max:
            expected = Reason.TOTAL
        elif address is not None and opened.count(address) == per_address_max:
            expected = Reason.ADDRESS
        assert connections.admit(address) == expected
        if expected is None:
            opened.append(address)
        assert connections.count == len(opened)
    for address in opened:
        connections.release(address)
    assert connections.count == 0
    assert not connections._by_address, "addresses that have gone are forgotten"


PEERS: list[tuple[str, object, str | None]] = [
    ("ipv4", ("192.0.2.1", 4711), "192.0.2.1"),
    ("ipv6", ("2001:db8::1", 4711, 0, 0), "2001:db8::1"),
    ("ipv4-on-an-ipv6-socket", ("::ffff:192.0.2.1", 4711, 0, 0), "192.0.2.1"),
    ("ipv6-that-only-begins-alike", ("::ffff:0:1", 4711, 0, 0), "::ffff:0:1"),
    ("unix", "", None),
    ("unix-with-a-path", "/run/origin.sock", None),
    ("gone", None, None),
    ("empty", (), None),
    ("strange", (1, 2), None),
]


@pytest.mark.parametrize(("peer", "address"), [case[1:] for case in PEERS], ids=[case[0] for case in PEERS])
def test_a_client_is_known_by_its_address(peer: object, address: str | None) -> None:
    assert address_of(Mock(get_extra_info=Mock(return_value=peer))) == address


def test_nobody_needs_to_count() -> None:
    ignore(Reason.TOTAL)


# -- what waits in the system


def transport_of(connection: object) -> Any:
    return Mock(get_extra_info=Mock(return_value=connection))


async def test_what_the_system_has_taken_and_the_client_has_not_is_told() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        closing(socket.create_connection(server.getsockname())) as sender,
        closing(server.accept()[0]) as receiver,
    ):
        assert queued_bytes(transport_of(sender)) == 0
        sender.setblocking(False)
        sent = 0
        try:
            while True:
                sent += sender.send(bytes(65536))
        except BlockingIOError:
            assert 0 < queued_bytes(transport_of(sender)) <= sent
        while sent:
            sent -= len(receiver.recv(sent))
        async with asyncio.timeout(10):
            while queued_bytes(transport_of(sender)):  # noqa: ASYNC110  # the system tells nobody
                await asyncio.sleep(0)


def test_where_the_system_does_not_tell_nothing_is_assumed() -> None:
    closed = socket.socket()
    closed.close()
    assert [queued_bytes(transport_of(connection)) for connection in (None, closed)] == [0, 0]
    with open("/dev/null", "rb") as no_socket:
        assert queued_bytes(transport_of(no_socket)) == 0


# -- watching a client

MINIMUM = ConnectionLimits(send_rate_bytes=10_000, check_ms=1)  # 10 bytes between two looks


class Watched:
    """A watch on a transport in which waits, look by look, what a test says; then nothing changes any more."""

    def __init__(self, *left_bytes: int, limits: ConnectionLimits = MINIMUM) -> None:
        self.looks: Iterator[int] = iter(left_bytes)
        self.looks_count = 0
        self.last_bytes = 0
        self.unsent = Unsent()
        self.cut: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.looked_often: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transport: Any = Mock(get_extra_info=Mock(return_value=None), get_write_buffer_size=self.look)
        self.watch = SendWatch(transport, self.unsent, limits, self.note_cut)

    def look(self) -> int:
        self.looks_count += 1
        if self.looks_count == 10:
            self.looked_often.set_result(None)
        self.last_bytes = next(self.looks, self.last_bytes)
        return self.last_bytes

    def note_cut(self, reason: Reason) -> None:
        assert reason is Reason.SEND_RATE
        self.watch.end()
        self.cut.set_result(self.looks_count)


RATES: list[tuple[str, list[int], int]] = [
    ("nothing-taken", [1000], 3),
    ("the-minimum-a-look-late-and-then-a-byte-less", [1000, 1000, 990, 981], 4),
    ("the-minimum-and-then-nothing", [1000, 990, 980, 970], 6),
    ("the-minimum-and-then-a-byte-less-and-nothing", [1000, 990, 981], 4),
    ("what-was-late-is-made-up-for", [1000, 1000, 980], 5),
    ("much-at-first-counts-for-one-look", [1000, 100], 4),
    ("more-was-written-meanwhile", [1000, 1001], 2),
]


@pytest.mark.parametrize(("left_bytes", "looks_count"), [case[1:] for case in RATES], ids=[case[0] for case in RATES])
async def test_a_client_is_cut_when_it_takes_less_than_the_minimum(left_bytes: list[int], looks_count: int) -> None:
    watched = Watched(*left_bytes)
    async with asyncio.timeout(10):
        assert await watched.cut == looks_count
    assert watched.unsent.bytes_count == 0


@pytest.mark.parametrize("taken_bytes", [10, 20])
async def test_a_client_that_takes_the_minimum_is_not(taken_bytes: int) -> None:
    watched = Watched(*range(10_000, 0, -taken_bytes))
    async with asyncio.timeout(10):
        await watched.looked_often
    assert not watched.cut.done()
    assert watched.unsent.bytes_count == watched.last_bytes
    watched.watch.end()
    assert watched.unsent.bytes_count == 0


async def test_without_a_minimum_nobody_is_cut() -> None:
    watched = Watched(1000, limits=ConnectionLimits(send_rate_bytes=0, check_ms=1))
    async with asyncio.timeout(10):
        await watched.looked_often
    assert not watched.cut.done()
    assert watched.unsent.bytes_count == 1000
    watched.watch.end()


async def test_who_is_behind_for_longest_is_cut_when_too_much_waits() -> None:
    """Clients who do not read must not use up what the live edge needs."""
    unsent, cut = Unsent(1_000), []

    def watch(name: str, waiting_bytes: int) -> SendWatch:
        transport: Any = Mock(get_extra_info=Mock(return_value=None), get_write_buffer_size=lambda: waiting_bytes)
        return SendWatch(transport, unsent, ConnectionLimits(), lambda reason: cut.append((name, reason)))

    watches = [watch(name, 400) for name in ("first", "second")]
    assert cut == []
    watches += [watch("third", 200)]
    assert (cut, unsent.bytes_count) == ([], 1_000), "as much as allowed"
    watches += [watch("fourth", 500)]
    assert cut == [("first", Reason.UNSENT), ("second", Reason.UNSENT)]
    assert unsent.bytes_count == 700
    watches += [watch("larger than all", 1_001)]
    assert [name for name, _ in cut[2:]] == ["third", "fourth", "larger than all"]
    assert unsent.bytes_count == 0
    for each in watches:
        each.end()
    assert unsent.bytes_count == 0


async def test_all_connections_share_one_count() -> None:
    first = Watched(1000)
    transport: Any = Mock(get_extra_info=Mock(return_value=None), get_write_buffer_size=lambda: 500)
    other = SendWatch(transport, first.unsent, MINIMUM, lambda reason: None)
    assert first.unsent.bytes_count == 1500
    other.end()
    assert first.unsent.bytes_count == 1000
    first.watch.end()
    first.watch.end()
    assert first.unsent.bytes_count == 0, "ending twice counts once"
