"""What aiohttp's private names mean, one test each, on real connections of aiohttp itself.

Where one of these fails after an upgrade, `origin.aiohttp_inside` is to be looked at; the message of the assertion says
what of ours goes wrong otherwise. That all private names are there and nowhere else, `test_aiohttp_names` tells.
"""

import asyncio
from typing import Any

import pytest
from aiohttp import EMPTY_PAYLOAD, web
from aiohttp.http import RawRequestMessage

from origin.aiohttp_inside import InsideProtocol, InsideRequest, linger
from tests.origin.plain import JUNK, LONG_S, Bench, OurServer, bench, serving
from tests.origin.raw_client import body_of, request
from tests.origin.site import until

# -- The task and its queue


async def test_waiter_is_there_and_not_done_exactly_while_the_next_request_is_awaited() -> None:
    breaks = "`is_idle` and `is_free`: heads without a limit, answers in the wrong order, lost uploads"
    async with bench() as at:
        connection = at.connection

        def waiter() -> str:
            return "none" if connection._waiter is None else "done" if connection._waiter.done() else "awaited"

        await until(lambda: waiter() != "none")
        assert waiter() == "awaited", breaks
        connection.data_received(request("/wait"))
        assert waiter() == "done", f"set by what was queued, before the task has looked: {breaks}"
        await until(lambda: at.begun == ["/wait"])
        assert waiter() == "none", f"a request is handled: {breaks}"
        at.gate.set()
        await at.client.receive()
        await until(lambda: waiter() != "none")
        assert waiter() == "awaited", breaks


async def test_before_the_task_has_begun_there_is_no_waiter_and_no_head() -> None:
    connection = web.Server(Bench(web.Server, {}).answer)()
    breaks = "`is_free`: the first request of a connection would never take the fast lane"
    assert (connection._waiter, connection._request_count, len(connection._messages)) == (None, 0, 0), breaks


async def test_messages_holds_pairs_of_what_is_not_begun_in_order_with_errors_as_another_type(parser: str) -> None:
    breaks = "`queued`, `is_free`, `left_behind`: answers in the wrong order, lost uploads"
    async with bench() as at:
        connection = await at.until_waiting()
        assert not connection._messages, f"what is handled is not in it: {breaks}"
        at.client.send(request("/2") + request("/3", "Content-Length: 3", method="PUT") + b"abc")
        await until(lambda: len(connection._messages) == 2)
        connection.data_received(JUNK)
        (two, nothing), (three, body), (fault, _) = connection._messages
        assert isinstance(two, RawRequestMessage) and isinstance(three, RawRequestMessage), breaks
        assert not isinstance(fault, RawRequestMessage), "`left_behind` would hand junk to the handler of uploads"
        assert (two.path, three.path) == ("/2", "/3"), breaks
        assert nothing is EMPTY_PAYLOAD, "the fast lane tells by this that a request has no body"
        assert body.is_eof(), f"the payload tells whether all of it is there: {breaks}"


async def test_request_count_counts_heads_that_are_whole_and_what_is_no_head(parser: str) -> None:
    breaks = "`heads_count`: the limit of a head would not end with it, or run for bodies"
    async with bench() as at:
        connection = at.connection
        for data, count in [
            (b"PUT / HTTP/1.1\r\nHost: origin\r\n", 0),
            (b"Content-Length: 6\r\n\r\nabc", 1),
            (b"def", 1),
            (request("/2") + request("/3"), 3),
            (JUNK, 4),
        ]:
            connection.data_received(data)
            assert connection._request_count == count, breaks
        connection._request_count += 1  # as the fast lane does
        at.client.send(b"")
        assert connection._request_count == 5, breaks


async def test_task_handler_is_the_task_that_ends_when_no_further_request_is_taken() -> None:
    breaks = "`when_ended`: a connection that ends while its client takes nothing would stay for ever"
    async with bench() as at:
        ended: list[object] = []
        task = at.connection._task_handler
        assert isinstance(task, asyncio.Task), breaks
        task.add_done_callback(ended.append)
        await at.client.ask(request("/1"))
        assert not ended, breaks
        await at.client.ask(request("/2", "Connection: close"))
        await until(lambda: bool(ended))


async def test_manager_is_the_server_until_the_connection_is_lost() -> None:
    breaks = "`left_behind`: requests of a connection that is lost twice would be handled twice"
    async with bench() as at:
        connection = at.connection
        assert connection._manager is at.server, breaks
        at.client.writer.transport.abort()
        await until(lambda: not at.server.connections)
        assert connection._manager is None, breaks


async def test_what_came_whole_behind_a_request_is_left_behind_once() -> None:
    async with bench(OurServer) as at:
        connection = await at.until_waiting()
        assert isinstance(connection, InsideProtocol)
        at.client.send(request("/2") + request("/3", "Content-Length: 3", method="PUT") + b"ab")
        await until(lambda: len(connection.queued) == 2)
        assert [message.path for message, _ in connection.left_behind()] == ["/2"], "the body of the other is missing"
        connection.connection_lost(None)
        assert connection.left_behind() == []


# -- Closing, pausing, times


async def test_close_and_force_close_are_told_by_their_flags() -> None:
    breaks = "`is_closing`: what comes behind a last answer would be answered"
    async with bench() as at:
        connection = at.connection
        assert (connection._close, connection._force_close) == (False, False), breaks
        connection.close()
        assert connection._close is True, breaks
        connection.force_close()
        assert connection._force_close is True, breaks


async def test_paused_is_whether_the_transport_asked_to_pause() -> None:
    breaks = "`is_writing_paused`: a client that takes nothing would be given all that it asks for"
    async with bench() as at:
        connection = at.connection
        told = [connection._paused]
        connection.pause_writing()
        told.append(connection._paused)
        connection.resume_writing()
        assert [*told, connection._paused] == [False, True, False], breaks


async def test_next_keepalive_close_time_is_moved_on_by_each_answer() -> None:
    breaks = "`count_idle_from_now`: connections would be closed early, or never"
    async with bench() as at:
        connection = at.connection
        assert connection._keepalive_timeout == LONG_S, breaks
        for path in ("/1", "/2"):
            begun_s = at.server._loop.time()
            await at.client.ask(request(path))
            await until(lambda begun_s=begun_s: connection._next_keepalive_close_time >= begun_s + LONG_S)  # type: ignore[misc]


async def test_process_keepalive_closes_an_idle_connection_and_puts_it_off_where_it_is_too_early() -> None:
    breaks = "the override of `_process_keepalive`: idle connections would stay, or held requests be cut"
    async with bench() as at:
        connection = await at.until_waiting()
        connection._next_keepalive_close_time = 0.0
        connection._process_keepalive()
        assert connection.transport is not None, f"a request is being handled: {breaks}"
        at.gate.set()
        await at.client.receive()
        await until(lambda: connection._waiter is not None)
        until_s = connection._next_keepalive_close_time
        connection._process_keepalive()
        handle: Any = connection._keepalive_handle
        assert handle.when() == pytest.approx(until_s, abs=1), breaks
        connection._next_keepalive_close_time = 0.0
        connection._process_keepalive()
        assert await at.client.rest() == b"", breaks
        handle.cancel()


async def test_the_timer_of_aiohttp_asks_our_hook_and_ends_with_the_connection() -> None:
    asked: list[float] = []

    class Late(InsideProtocol):
        def keepalive_due(self) -> float:
            asked.append(self.loop.time())
            return self.loop.time() + (0.001 if len(asked) == 1 else LONG_S)

    async with bench(serving(Late), keepalive_timeout=0.001) as at:
        connection = at.connection
        await until(lambda: len(asked) == 2)
        handle = connection._keepalive_handle
        assert handle is not None and not handle.cancelled(), "`keepalive_due` said when to be asked again"
        assert connection.transport is not None, "it was said that the connection is not to be closed"
        at.client.writer.transport.abort()
        await until(lambda: not at.server.connections)
        assert handle.cancelled(), "aiohttp cancels `_keepalive_handle`: a timer would hold each lost connection"


async def test_a_body_that_does_not_come_is_awaited_for_the_lingering_time_only() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        linger(request, 0.001)
        return web.Response(text="refused")

    async with bench(lambda _, **options: web.Server(answer, **options), lingering_time=LONG_S) as at:
        at.client.send(request("/1", "Content-Length: 3", method="PUT"))
        assert body_of(await at.client.receive()) == b"refused"
        assert await at.client.rest() == b"", "`linger`: refused uploads would keep their connections"


# -- Requests and servers


@pytest.mark.parametrize("make", [web.BaseRequest, InsideRequest])
@pytest.mark.parametrize("is_whole", [False, True])
async def test_cancel_is_called_for_the_request_in_progress_when_its_connection_is_lost(
    make: Any, is_whole: bool
) -> None:
    read: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    begun: list[web.BaseRequest] = []
    gate = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        begun.append(request)
        await gate.wait()
        try:
            read.set_result(await request.content.read())
        except Exception as exc:  # noqa: BLE001  # whichever it is
            read.set_exception(exc)
        return web.Response()

    def make_request(*arguments: Any) -> web.BaseRequest:
        request: web.BaseRequest = make(*arguments, asyncio.get_running_loop())
        return request

    async with bench(lambda _, **options: web.Server(answer, request_factory=make_request, **options)) as at:
        at.client.send(request("/1", "Content-Length: 3", method="PUT") + (b"abc" if is_whole else b"ab"))
        await until(lambda: bool(begun) and begun[0].content.total_bytes == 2 + is_whole)
        at.client.writer.transport.abort()
        await until(lambda: at.connection.transport is None if at.server.connections else True)
        gate.set()
        if make is InsideRequest and is_whole:
            assert await read == b"abc", "`_cancel`: uploads whose packager left would be lost"
        else:
            with pytest.raises(OSError, match="Connection lost"):
                await read


async def test_kwargs_and_loop_of_a_server_are_what_its_connections_are_made_with() -> None:
    server = web.Server(Bench(web.Server, {}).answer, max_line_size=77, keepalive_timeout=5)
    assert server._kwargs == {"max_line_size": 77, "keepalive_timeout": 5}, "our limits would not be aiohttp's"
    assert server._loop is asyncio.get_running_loop(), "connections would be made for another loop"
    assert server()._loop is server._loop, "`loop` of a connection"
    ours = OurServer(Bench(web.Server, {}).answer, max_line_size=77)()
    assert (ours.max_line_size, ours.loop) == (77, asyncio.get_running_loop())
