"""How slowly a client may take its answer, and what is counted while it does not."""

import asyncio
import socket
from unittest.mock import Mock, patch

import pytest
from aiohttp import web

from origin import connections
from origin.connections import queued_bytes
from origin.server import OriginServer
from tests.origin.connecting import PATIENCE_S, Client, Listener, get, listening

LARGE = bytes(16 * 1024**2)


async def answer_large(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=LARGE)


async def until_paused(listener: Listener) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not listener.server.unsent.bytes_count:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0)


async def is_cut(client: Client) -> bool:
    """Read what there is; whether the connection ended before the answer did."""
    try:
        return len(await client.rest()) < len(LARGE)
    except ConnectionResetError:
        return True


async def test_a_client_that_does_not_take_its_answer_is_cut() -> None:
    async with listening(answer_large, check_ms=100) as listener, await listener.connect(receive_bytes=4096) as client:
        await client.send(get())
        await until_paused(listener)
        assert len(LARGE) // 4 < listener.server.unsent.bytes_count < len(LARGE)
        await listener.until_count(0)
        assert await is_cut(client)
    assert listener.reasons == ["send-rate"]
    assert listener.server.unsent.bytes_count == 0


async def test_a_client_that_takes_its_answer_is_not() -> None:
    async with listening(answer_large, check_ms=100) as listener, await listener.connect() as client:
        for _ in range(3):
            assert (await client.ask(get())).body == LARGE
        assert listener.server.unsent.bytes_count == 0
        assert listener.server.clients.count == 1
    assert listener.reasons == []


async def test_a_client_that_takes_twice_the_minimum_is_not() -> None:
    """It takes megabytes from the system's buffers, while ours stand still between two looks."""
    minimum_bytes = 512 * 1024
    looks: asyncio.Queue[int] = asyncio.Queue()

    def look(transport: asyncio.BaseTransport) -> int:
        looks.put_nowait(0)
        return queued_bytes(transport)

    with patch.object(connections, "queued_bytes", look):
        async with (
            listening(answer_large, check_ms=100, send_rate_bytes=10 * minimum_bytes) as listener,
            await listener.connect() as client,
        ):
            await client.send(get())
            async with asyncio.timeout(PATIENCE_S):
                for _ in range(8):
                    await looks.get()
                    await client.reader.readexactly(2 * minimum_bytes)
            assert listener.server.clients.count == 1
    assert listener.reasons == []


async def test_a_client_that_leaves_in_the_middle_frees_what_was_counted() -> None:
    async with listening(answer_large) as listener:
        async with await listener.connect(receive_bytes=4096) as client:
            await client.send(get())
            await until_paused(listener)
        await listener.until_count(0)
        assert listener.server.unsent.bytes_count == 0
    assert listener.reasons == []


@pytest.mark.parametrize("size", [40_000, 400_000], ids=["less-than-pauses", "more-than-pauses"])
async def test_the_end_of_a_last_answer_must_be_taken_too(size: int) -> None:
    """Less than the buffer that pauses writing: aiohttp takes it for sent, and the transport would wait for ever."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return web.Response(body=bytes(size))

    async with listening(answer, check_ms=100) as listener, await listener.connect(receive_bytes=4096) as client:
        await client.send(get("/", "Connection: close"))
        async with asyncio.timeout(PATIENCE_S):
            while not listener.server.clients.count:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0)
        await listener.until_count(0)
    assert listener.reasons == ["send-rate"]


async def test_a_connection_that_ends_is_watched_until_all_was_taken() -> None:
    transport = Mock(get_extra_info=Mock(return_value=None), get_write_buffer_size=lambda: 1000)
    server = OriginServer(Mock())
    for is_closing, left_bytes in ((False, 0), (True, 1000)):
        connection = server()
        connection.connection_made(transport)
        connection.pause_writing()
        assert (connection.is_writing_paused, server.unsent.bytes_count) == (True, 1000)
        transport.is_closing = lambda: is_closing  # noqa: B023  # called within this turn
        connection.resume_writing()
        assert (connection.is_writing_paused, server.unsent.bytes_count) == (False, left_bytes)
        connection.connection_lost(None)
        assert (server.unsent.bytes_count, server.clients.count) == (0, 0)
        await asyncio.sleep(0)


async def test_a_connection_tells_whether_its_client_has_taken_all() -> None:
    paused: list[bool] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        paused.append(request.protocol.writing_paused)
        return web.Response(body=LARGE)

    async with listening(answer) as listener, await listener.connect() as client:
        await client.send(get() * 2)
        assert [len((await client.receive()).body) for _ in range(2)] == [len(LARGE)] * 2
    assert paused == [False, False], "the second was not begun before the first was taken"
