"""Ends of connections with two lanes: asked for, by clients that leave, by a listener that stops."""

import asyncio
import logging
from unittest.mock import patch

import pytest

from origin.reply import Reply
from origin.turnout import LaneProtocol
from tests.origin.lanes import large_body, open_lanes, slow
from tests.origin.raw_client import body_of, connected, fields_of, request, status_of
from tests.origin.site import until

# -- Ends of connections


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (request("/1", "Connection: close"), "close"),
        (request("/1", version="1.0"), None),
        (slow("/1").replace(b"Expect", b"Connection: close\r\nExpect"), "close"),
    ],
    ids=["close", "version-1.0", "close-slow"],
)
async def test_a_connection_ends_with_an_answer_that_says_so(data: bytes, field: str | None) -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        answer = await client.ask(data)
        assert (body_of(answer), fields_of(answer).get("Connection")) == (b"/1", field)
        assert await client.rest() == b""
        await until(lambda: not lanes.server.connections)


async def test_version_10_may_ask_to_stay() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        for path in ("/1", "/2"):
            answer = await client.ask(request(path, "Connection: keep-alive", version="1.0"))
            assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
            assert (body_of(answer), fields_of(answer)["Connection"]) == (path.encode(), "keep-alive")


@pytest.mark.parametrize("behind", [request("/2"), slow("/2")], ids=["fast", "slow"])
async def test_what_stands_behind_the_last_request_is_not_answered(behind: bytes) -> None:
    taken: list[bytes] = []
    data_received = LaneProtocol.data_received

    def take(connection: LaneProtocol, data: bytes) -> None:
        data_received(connection, data)
        taken.append(data)

    async with open_lanes() as lanes:
        async with connected(lanes.address) as client:  # whose fields are known from here on
            await client.ask(request("/1", "Connection: close"))
            assert await client.rest() == b""
        with patch.object(LaneProtocol, "data_received", take):
            async with connected(lanes.address) as client:
                client.send(request("/held", "Connection: close"))
                await until(lambda: lanes.waiters.count == 1)
                client.send(behind)
                await until(lambda: len(taken) == 2)
                lanes.release()
                received = await client.rest()
        assert received.count(b"HTTP/1.") == 1
        assert received.endswith(b"\r\n\r\n/held")
        assert "/2" not in lanes.script.begun
        await until(lambda: lanes.outcomes == ["served", "served"])


async def test_a_client_that_sends_no_more_gets_what_is_being_read() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        client.send(request("/read"))
        client.writer.write_eof()
        await until(lambda: lanes.script.begun == ["/read"])
        await until(lambda: lanes.connection.is_closing)
        lanes.script.reading.set_result(Reply(200, "served", {}, b"read"))
        received = await client.rest()
        assert (fields_of(received)["Connection"], body_of(received)) == ("close", b"read")
        await until(lambda: not lanes.server.connections)


async def test_a_client_that_sends_no_more_while_it_is_held_has_left() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        client.send(request("/held"))
        await until(lambda: lanes.waiters.count == 1)
        client.writer.write_eof()
        await until(lambda: lanes.outcomes == ["client-gone"])
        assert lanes.waiters.count == 0
        assert await client.rest() == b""


async def test_a_client_that_sends_no_more_gets_all_of_a_large_answer() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        client.send(request("/large"))
        client.writer.write_eof()
        assert body_of(await client.rest()) == large_body("/large")


@pytest.mark.parametrize("path", ["/held", "/read"])
async def test_a_client_that_leaves_is_told_of_once_and_frees_what_it_took(path: str) -> None:
    async with open_lanes() as lanes:
        async with connected(lanes.address) as client:
            client.send(request(path) + slow("/1"))
            await until(lambda: lanes.script.begun == [path])
            client.reset()
            await until(lambda: not lanes.server.connections)
        assert lanes.waiters.count == 0
        assert lanes.outcomes == ["client-gone"]
        assert not lanes.script.reading.cancelled()
        assert lanes.script.begun == [path]


async def test_a_client_that_leaves_in_the_other_lane_is_told_of_too() -> None:
    async with open_lanes() as lanes:
        async with connected(lanes.address) as client:
            client.send(slow("/held"))
            await until(lambda: lanes.waiters.count == 1)
            client.reset()
            await until(lambda: lanes.outcomes == ["client-gone"])
        assert lanes.waiters.count == 0


async def test_a_client_that_leaves_while_it_is_sent_to_was_answered() -> None:
    async with open_lanes() as lanes:
        async with connected(lanes.address, receive_bytes=4_096) as client:
            client.send(request("/large") * 8)
            await until(lambda: lanes.server.connections != [] and lanes.connection.is_writing_paused)
            client.reset()
            await until(lambda: not lanes.server.connections)
        await until(lambda: "served" in lanes.outcomes)
        assert "client-gone" not in lanes.outcomes


async def test_what_is_released_to_a_connection_that_was_just_cut_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        client.send(request("/held"))
        await until(lambda: lanes.waiters.count == 1)
        wire = lanes.connection.transport
        assert wire is not None
        lanes.release()
        wire.abort()  # told of after those who wait
        await until(lambda: not lanes.server.connections)
        assert lanes.waiters.count == 0
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_connection_too_many_is_refused() -> None:
    async with open_lanes(connections_count=1) as lanes, connected(lanes.address) as client:
        await client.ask(request("/1"))
        async with connected(lanes.address) as other:
            assert status_of(await other.receive()) == 503
        assert lanes.refused == ["total"]
        assert body_of(await client.ask(request("/2"))) == b"/2"


# -- Stopping


async def test_what_is_on_its_way_is_sent_to_its_end_when_the_listener_stops() -> None:
    async with open_lanes() as lanes, connected(lanes.address, receive_bytes=4_096) as client:
        client.send(request("/large/1"))
        await until(lambda: lanes.script.begun != [])
        async with asyncio.TaskGroup() as group:
            group.create_task(lanes.runner.cleanup())
            assert body_of(await client.receive()) == large_body("/large/1")
            assert await client.rest() == b""


async def test_a_read_in_progress_is_answered_when_the_listener_stops_and_says_that_it_is_the_last() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        client.send(request("/read"))
        await until(lambda: lanes.script.begun == ["/read"])
        async with asyncio.TaskGroup() as group:
            group.create_task(lanes.runner.cleanup())
            await until(lambda: lanes.connection.is_closing)
            lanes.script.reading.set_result(Reply(200, "served", {}, b"/read"))
            answer = await client.receive()
            assert (body_of(answer), fields_of(answer)["Connection"]) == (b"/read", "close")
            assert await client.rest() == b""


async def test_a_listener_does_not_wait_for_ever_for_what_does_not_come() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        client.send(request("/held") + slow("/behind"))
        await until(lambda: lanes.waiters.count == 1)
        await lanes.connection.shutdown(0.01)
        assert await client.rest() == b""
        await until(lambda: lanes.waiters.count == 0)
        assert "client-gone" in lanes.outcomes
        assert "served" not in lanes.outcomes


async def test_a_listener_that_stops_waits_no_longer_for_a_client_that_has_gone() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client, asyncio.TaskGroup() as group:
        client.send(request("/held"))
        await until(lambda: lanes.waiters.count == 1)
        connection = lanes.connection
        stopping = group.create_task(connection.shutdown(3_600))
        await until(lambda: connection._behind != [])
        client.reset()
        await until(stopping.done)
