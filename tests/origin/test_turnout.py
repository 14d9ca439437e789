"""Connections with two lanes: order, back-pressure, time limits, mistakes; on real sockets and both event loops."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from origin.steps import Step
from tests.origin.lanes import LARGE_BYTES, Lanes, large_body, open_lanes, slow
from tests.origin.raw_client import body_of, connected, fields_of, request, status_of
from tests.origin.site import until

SHORT_MS = 60
# Short, too, but longer than a busy machine takes to read what was sent.
HEAD_MS = 500
# What both loops take before they say that the client has not taken it.
HIGH_WATER_BYTES = 64 * 1024


# -- Order


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 100, 1_000])
async def test_however_many_come_at_once_all_are_answered_in_order(parser: str, count: int) -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        for _ in range(2):
            answers = await client.ask_all([request(f"/{n}") for n in range(count)])
            assert [body_of(answer) for answer in answers] == [b"/%d" % n for n in range(count)]


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("held", [request("/held"), slow("/held")], ids=["fast", "slow"])
async def test_all_that_came_behind_a_held_request_is_answered_behind_it(parser: str, held: bytes, count: int) -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client, asyncio.TaskGroup() as group:
        requests = [held, *((request, slow)[n % 3 == 1](f"/{n}") for n in range(count))]
        answering = group.create_task(client.ask_all(requests))
        await until(lambda: lanes.waiters.count == 1)
        assert lanes.script.begun == ["/held"]
        lanes.release()
        answers = [body_of(answer) for answer in await answering]
        assert answers == [b"/held", *(b"/%d" % n for n in range(count))]


async def test_a_request_is_answered_in_the_turn_of_the_loop_in_which_it_came() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        await client.ask(request("/1"))
        lanes.connection.data_received(request("/2"))
        assert lanes.script.begun == ["/1", "/2"]
        assert body_of(await client.receive()) == b"/2"


async def test_a_request_that_comes_before_the_other_lane_has_looked_is_answered_behind() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        await client.ask(request("/1"))
        lanes.connection.data_received(slow("/2"))
        lanes.connection.data_received(request("/3"))
        assert [body_of(await client.receive()) for _ in range(2)] == [b"/2", b"/3"]


async def test_what_is_no_request_is_answered_behind_the_held_one(parser: str) -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        client.send(request("/held"))
        await until(lambda: lanes.waiters.count == 1)
        client.send(b"\x00\r\n\r\n")
        await until(lambda: lanes.connection.heads_count == 2)
        lanes.release()
        assert [status_of(await client.receive()) for _ in range(2)] == [200, 400]
        assert await client.rest() == b""


# -- Back-pressure


@pytest.mark.parametrize("make", [request, slow], ids=["fast", "slow"])
async def test_no_second_answer_is_written_before_the_client_has_taken_the_first(
    make: Callable[[str], bytes],
) -> None:
    async with open_lanes() as lanes, connected(lanes.address, receive_bytes=4_096) as client:
        paths = [f"/large/{n}" for n in range(8)]
        sizes: list[int] = []
        begin = lanes.script.begin

        def look_and_begin(*arguments: Any) -> Step:
            wire = lanes.connection.transport
            assert wire is not None
            sizes.append(wire.get_write_buffer_size())
            return begin(*arguments)

        with patch.object(lanes.script, "begin", look_and_begin):
            client.send(b"".join(make(path) for path in paths))
            await until(lambda: lanes.server.connections != [] and lanes.connection.is_writing_paused)
            assert len(sizes) < len(paths), "the system must not take all of them"
            assert [body_of(await client.receive()) for _ in paths] == [large_body(path) for path in paths]
        assert lanes.script.begun == paths
        assert max(sizes) <= HIGH_WATER_BYTES


async def test_the_lane_is_open_again_when_the_client_has_taken_all() -> None:
    async with open_lanes() as lanes, connected(lanes.address, receive_bytes=4_096) as client:
        requests = [request(f"/large/{n}") for n in range(6)]
        answers = await client.ask_all(requests)
        assert [body_of(answer) for answer in answers] == [large_body(f"/large/{n}") for n in range(6)]
        assert lanes.connection.is_idle
        assert body_of(await client.ask(request("/1"))) == b"/1"


async def test_the_lane_is_closed_while_the_client_takes_nothing() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        await client.ask(request("/1"))
        connection = lanes.connection
        connection.pause_writing()
        with patch.object(lanes.server.desk, "open", side_effect=AssertionError("what was written is not taken")):
            assert body_of(await client.ask(request("/2"))) == b"/2"
        client.send(request("/3"))
        await until(lambda: len(connection.queued) == 1)
        assert lanes.script.begun == ["/1", "/2"]
        connection.resume_writing()
        assert body_of(await client.receive()) == b"/3"


@pytest.mark.parametrize("make", [request, slow], ids=["fast", "slow"])
async def test_an_answer_without_a_body_is_a_head(make: Callable[..., bytes]) -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        answers = await client.ask_all([make("/large", method="HEAD"), make("/1")])
        assert fields_of(answers[0])["Content-Length"] == str(LARGE_BYTES)
        assert body_of(answers[0]) == b""
        assert body_of(answers[1]) == b"/1"


# -- Time limits


async def pass_keepalive(lanes: Lanes) -> None:
    """Return when the time has passed after which an idle connection is closed: one of its own was."""
    async with connected(lanes.address) as canary:
        canary.send(request("/canary"))
        assert await canary.rest() != b""


async def test_a_held_request_may_last_longer_than_an_idle_connection() -> None:
    async with open_lanes(keepalive_ms=SHORT_MS, head_ms=4 * HEAD_MS) as lanes, connected(lanes.address) as client:
        client.send(request("/held"))
        await until(lambda: lanes.waiters.count == 1)
        for _ in range(3):
            await pass_keepalive(lanes)
        lanes.release()
        assert body_of(await client.receive()) == b"/held"
        assert await client.rest() == b""


async def test_time_runs_from_the_end_of_the_newest_request() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        ends_s = []
        for path in ("/1", "/2"):
            begun_s = asyncio.get_running_loop().time()
            await client.ask(request(path))
            ends_s.append(lanes.connection._next_keepalive_close_time)
            assert ends_s[-1] >= begun_s + 60
        assert ends_s == sorted(ends_s)


async def test_the_limit_of_a_head_does_not_run_while_a_request_is_held() -> None:
    async with open_lanes(head_ms=HEAD_MS) as lanes, connected(lanes.address) as client:
        client.send(request("/held"))
        await until(lambda: lanes.waiters.count == 1)
        behind = request("/behind")
        client.send(behind[:9])
        async with connected(lanes.address) as canary:
            assert status_of(await canary.receive()) == 408
        lanes.release()
        assert body_of(await client.receive()) == b"/held"
        client.send(behind[9:])
        assert body_of(await client.receive()) == b"/behind"


# -- Mistakes of ours


@pytest.mark.parametrize("data", [request("/fault"), slow("/fault"), request("/split")], ids=["fast", "slow", "split"])
async def test_a_mistake_is_told_and_logged_and_the_connection_goes_on(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        answer = await client.ask(data)
        assert (status_of(answer), b"problem:internal" in answer) == (500, True)
        assert b"X-Two" not in answer
        assert body_of(await client.ask(request("/1"))) == b"/1"
        await until(lambda: lanes.outcomes == ["internal", "served"])
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == ["request failed"]


async def test_a_field_that_would_be_two_cuts_the_connection_in_the_other_lane() -> None:
    async with open_lanes() as lanes, connected(lanes.address) as client:
        client.send(slow("/split"))
        assert await client.rest() == b""
