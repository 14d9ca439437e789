"""Writing past the transport: every byte arrives once and in order, whatever the system takes at once."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from unittest.mock import patch

import pytest

from origin.wire import descriptor_of, write
from tests.origin.site import until

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
SMALL = b"0123456789"
# More than the buffers of two sockets.
LARGE = random.Random(1).randbytes(12_000_000)

Writev = Callable[[int, Sequence[bytes]], int]


class Told(asyncio.Protocol):
    """What a connection is told."""

    def __init__(self) -> None:
        self.pauses: list[str] = []
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def pause_writing(self) -> None:
        self.pauses.append("pause")

    def resume_writing(self) -> None:
        self.pauses.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


@dataclass
class Pair:
    """A connection, and the client's end of it."""

    transport: asyncio.Transport
    told: Told
    client: socket.socket

    def write(self, body: bytes | memoryview) -> None:
        write(self.transport, descriptor_of(self.transport), HEAD, body)

    async def received(self, count: int) -> bytes:
        """Return the next bytes that the client gets, so many."""
        parts, left = [], count
        async with asyncio.timeout(20):
            while left:
                part = await asyncio.get_running_loop().sock_recv(self.client, min(left, 1_000_000))
                assert part, "the connection has ended"
                parts.append(part)
                left -= len(part)
        return b"".join(parts)


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, told = await asyncio.get_running_loop().create_connection(Told, sock=ours)
    try:
        yield Pair(transport, told, theirs)
    finally:
        transport.abort()
        await told.lost
        theirs.close()


@pytest.mark.parametrize(
    "body", [b"", SMALL, memoryview(SMALL), LARGE, memoryview(LARGE)], ids=lambda body: str(len(body))
)
async def test_every_byte_arrives(body: bytes | memoryview) -> None:
    async with pair() as wire:
        for _ in range(3):
            wire.write(body)
        assert await wire.received(3 * len(HEAD + bytes(body))) == 3 * (HEAD + bytes(body))


async def test_what_is_taken_at_once_is_there_at_once_and_leaves_nothing_to_the_transport() -> None:
    async with pair() as wire:
        wire.write(SMALL)
        assert wire.client.recv(100) == HEAD + SMALL
        assert wire.transport.get_write_buffer_size() == 0


async def test_nothing_passes_what_the_transport_still_has() -> None:
    async with pair() as wire:
        wire.transport.write(b"first")
        wire.write(SMALL)
        assert await wire.received(5 + len(HEAD + SMALL)) == b"first" + HEAD + SMALL
        wire.write(LARGE)
        assert wire.transport.get_write_buffer_size() > 0
        wire.write(SMALL)
        assert await wire.received(len(HEAD + LARGE + HEAD + SMALL)) == HEAD + LARGE + HEAD + SMALL


async def test_a_client_that_takes_nothing_pauses_the_connection() -> None:
    async with pair() as wire:
        wire.write(LARGE)
        assert wire.told.pauses == ["pause"]
        assert await wire.received(len(HEAD + LARGE)) == HEAD + LARGE
        await until(lambda: wire.told.pauses == ["pause", "resume"])


def taking(count: int) -> Writev:
    """Return a system that takes so many bytes of what it is given."""
    return lambda descriptor, buffers: os.write(descriptor, b"".join(buffers)[:count])


def failing(error: type[OSError]) -> Writev:
    def writev(descriptor: int, buffers: Sequence[bytes]) -> int:
        raise error

    return writev


ODD = {
    "nothing": failing(BlockingIOError),
    "a-part-of-the-head": taking(7),
    "the-head": taking(len(HEAD)),
    "a-part-of-the-body": taking(len(HEAD) + 3),
    "all": taking(1_000),
    "a-fault": failing(BrokenPipeError),
}


@pytest.mark.parametrize("writev", ODD.values(), ids=ODD)
async def test_whatever_the_system_takes_the_transport_sends_the_rest(writev: Writev) -> None:
    async with pair() as wire:
        with patch("origin.wire.os.writev", writev):
            wire.write(SMALL)
        assert await wire.received(len(HEAD + SMALL)) == HEAD + SMALL


async def test_a_client_that_has_gone_is_found_by_the_transport() -> None:
    async with pair() as wire:
        wire.client.close()
        wire.write(SMALL)
        async with asyncio.timeout(20):
            await asyncio.shield(wire.told.lost)


async def test_a_transport_without_a_socket_writes_by_itself() -> None:
    class Wire(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.written: list[bytes] = []

        def writelines(self, list_of_data: Sequence[bytes]) -> None:  # type: ignore[override]
            self.written += list_of_data

    wire = Wire()
    assert descriptor_of(wire) == -1
    write(wire, -1, HEAD, SMALL)
    assert wire.written == [HEAD, SMALL]
