"""Views of shared memory on their way to slow clients: right to the last byte, whatever has gone meanwhile."""

import asyncio
import hashlib
import socket
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from storage.shared_ram import SharedRam
from storage.shared_ram_reader import SharedRamReader
from tests.storage.test_ram import key, place_of
from tests.storage.test_shared_ram import body_of
from tests.support.shared_memory import mappings_count, tell

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
# Far more than the kernel takes for a client that reads nothing.
BODY_BYTES = 8 * 2**20
KERNEL_BYTES = 64 * 1024

LOOPS = pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def run(
    make_loop: Callable[[], asyncio.AbstractEventLoop], scenario: Callable[[], Coroutine[None, None, None]]
) -> None:
    with asyncio.Runner(loop_factory=make_loop, debug=True) as runner:
        runner.run(scenario())


class Kept:
    """One body in shared memory, and how it goes away."""

    def __init__(self, generation: str) -> None:
        self.reader = SharedRamReader(2 * BODY_BYTES)
        self.publisher = SharedRam(2 * BODY_BYTES, place_of, lambda told: tell(self.reader, told), generation)
        self.publisher.put(key("v-1"), body_of("v-1", BODY_BYTES))

    def view(self) -> memoryview:
        view = self.reader.get(key("v-1"))
        assert view is not None
        return view

    def forget(self) -> None:
        """Let the arena go everywhere, and write something else into new ones."""
        self.publisher.close()
        for number in range(2, 4):
            self.publisher.put(key(f"v-{number}"), bytes(BODY_BYTES))
        self.publisher.close()
        assert self.reader.used_bytes == 0


class Sender(asyncio.Protocol):
    """Ends when the connection does."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


async def slow_client() -> tuple[asyncio.Transport, Sender, socket.socket]:
    """Return a transport, and the other end, which reads nothing by itself."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
    ours.setblocking(False)
    theirs.setblocking(False)
    transport, sender = await asyncio.get_running_loop().create_connection(Sender, sock=ours)
    return transport, sender, theirs


async def read_all(client: socket.socket) -> bytes:
    loop, received = asyncio.get_running_loop(), bytearray()
    while piece := await loop.sock_recv(client, 1 << 20):
        received += piece
    return bytes(received)


def same(received: bytes, sent: bytes) -> bool:
    """Compare without a difference of megabytes in the message."""
    return hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


@LOOPS
def test_a_slow_client_gets_the_right_bytes_though_the_arena_has_gone(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        kept = Kept("slow")
        transport, sender, client = await slow_client()
        with client:
            transport.writelines([HEAD, kept.view()])
            transport.close()
            assert transport.get_write_buffer_size() > BODY_BYTES // 2
            kept.forget()
            received = await read_all(client)
            assert await sender.lost is None
        assert same(received, HEAD + body_of("v-1", BODY_BYTES))

    run(make_loop, scenario)
    assert mappings_count("slow") == 0


@LOOPS
def test_parts_and_whole_bodies_follow_each_other_on_one_connection(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        kept = Kept("parts")
        transport, sender, client = await slow_client()
        with client:
            transport.writelines([HEAD, kept.view()[5:100_000]])
            transport.write(HEAD)
            transport.writelines([HEAD, kept.view()])
            transport.write(kept.view()[-7:])
            transport.close()
            kept.forget()
            received = await read_all(client)
            assert await sender.lost is None
        body = body_of("v-1", BODY_BYTES)
        assert same(received, HEAD + body[5:100_000] + HEAD + HEAD + body + body[-7:])

    run(make_loop, scenario)
    assert mappings_count("parts") == 0


@LOOPS
def test_memory_is_given_back_when_a_client_that_was_being_sent_to_leaves(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        kept = Kept("left")
        transport, sender, client = await slow_client()
        transport.writelines([HEAD, kept.view()])
        kept.forget()
        client.close()
        await sender.lost

    run(make_loop, scenario)
    assert mappings_count("left") == 0


def test_uvloop_sends_from_the_memory_itself_and_keeps_it_until_it_is_sent() -> None:
    async def scenario() -> None:
        kept = Kept("direct")
        transport, sender, client = await slow_client()
        with client:
            transport.writelines([HEAD, kept.view()])
            kept.forget()
            assert mappings_count("direct") == 1
            transport.close()
            await read_all(client)
            await sender.lost

    run(uvloop.new_event_loop, scenario)
    assert mappings_count("direct") == 0
