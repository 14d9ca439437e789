"""Requests that come before their segment: held, answered together, and never more of them than was allowed."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.integration.wire import PATIENCE_S, TEXT_RENDITION, Close, Connection, ask, head, path_of, upload
from tests.support.origins import EVENT, Running, make_settings, running_origin
from tests.support.packagers import SEGMENT_MS, number_now, start_ms
from tests.support.reader import Delivered, Reader

WAITERS: Final = 200
PUBLISH_DELAY_MS: Final = 1_000
BODY: Final = bytes(range(256)) * 400


@dataclass(frozen=True)
class House:
    """An origin and a reader in front of it."""

    running: Running
    reader: Reader

    async def get(self, number: int) -> Delivered:
        return await self.reader.get(f"derby/cc/{number}.vtt", number)

    async def publish(self, number: int) -> None:
        answer = await asyncio.to_thread(ask, self.running.origin.publish_address, upload(path_of(number), BODY))
        assert answer.status == 201

    async def metric(self, name: str) -> float:
        """Return a metric that has no labels."""
        page = await self.reader.get_url(f"{self.running.admin}/metrics")
        match = re.search(rf"^{name} (.+)$", page.decode(), re.MULTILINE)
        assert match is not None
        return float(match[1])

    async def until_held(self, count: int) -> None:
        """Return once so many requests are held, as the metrics tell."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.metric("origin_holds_in_progress") != count:
                pass


@asynccontextmanager
async def house(
    folder: Path, *, hold_ms: int = 8_000, hold_ahead_ms: int = 3_000, holds: int = 1_000
) -> AsyncIterator[House]:
    """Run an origin with one rendition of text."""
    event = EVENT | {"renditions": [TEXT_RENDITION], "hold_ahead": f"{hold_ahead_ms}ms"}
    limits = {"hold": f"{hold_ms}ms", "holds": holds}
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(running_origin(make_settings(folder, limits=limits, events=[event])))
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        yield House(running, Reader(session, running.deliver))


async def test_everybody_who_waits_for_a_segment_is_answered_by_its_publication(tmp_path: Path) -> None:
    async with house(tmp_path) as at, asyncio.TaskGroup() as group:
        number = number_now()
        requests = [group.create_task(at.get(number)) for _ in range(WAITERS)]
        await at.until_held(WAITERS)
        await at.publish(number)
        answers = await asyncio.gather(*requests)
        assert {(answer.status, answer.body) for answer in answers} == {(200, BODY)}
        assert len({answer.headers["ETag"] for answer in answers}) == 1
        await at.until_held(0)


async def test_a_head_request_is_answered_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        number = number_now()
        request = head("HEAD", f"/derby/cc/{number}.vtt")
        answer = await asyncio.to_thread(ask, at.running.origin.deliver_address, request)
        assert answer.status == 404
        assert int(answer.headers["Content-Length"]) > 0
        assert answer.body == b""
        due_ms = start_ms(number + 1) + PUBLISH_DELAY_MS
        assert answer.headers["Live-Origin-Due"] == str(due_ms)
        assert await at.metric("origin_holds_in_progress") == 0


@pytest.mark.parametrize("how", list(Close), ids=lambda how: how.value)
async def test_who_leaves_frees_a_place(tmp_path: Path, how: Close) -> None:
    async with house(tmp_path, holds=1) as at:
        number = number_now()
        connection = await asyncio.to_thread(Connection, at.running.origin.deliver_address)
        await asyncio.to_thread(connection.send, head("GET", f"/derby/cc/{number}.vtt"))
        await at.until_held(1)
        assert (await at.get(number)).status == 503
        await asyncio.to_thread(connection.close, how)
        await at.until_held(0)
        async with asyncio.TaskGroup() as group:
            request = group.create_task(at.get(number))
            await at.until_held(1)
            await at.publish(number)
        assert request.result().status == 200


async def test_more_than_may_wait_are_sent_away_for_a_while(tmp_path: Path) -> None:
    allowed, beyond = 5, 3
    async with house(tmp_path, holds=allowed) as at, asyncio.TaskGroup() as group:
        number = number_now()
        held = [group.create_task(at.get(number)) for _ in range(allowed)]
        await at.until_held(allowed)
        for _ in range(beyond):
            answer = await at.get(number)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert "max-age=1," in answer.headers["Cache-Control"]
            assert answer.headers["Content-Type"] == "application/problem+json"
        await at.publish(number)
        assert [(await each).status for each in held] == [200] * allowed
        assert (await at.get(number)).status == 200


async def test_a_hold_that_runs_out_ends_with_an_answer_no_cache_keeps_for_long(tmp_path: Path) -> None:
    async with house(tmp_path, hold_ms=SEGMENT_MS, hold_ahead_ms=SEGMENT_MS) as at:
        number = number_now() - 1
        began_s = time.monotonic()
        answer = await at.get(number)
        held_ms = (time.monotonic() - began_s) * 1_000
        assert answer.status == 404
        assert answer.headers["Cache-Control"] == "public, max-age=1, stale-while-revalidate=0"
        assert answer.headers["Live-Origin-Due"] == str(start_ms(number + 1) + PUBLISH_DELAY_MS)
        # The clock of an event loop may be a little ahead of the wall clock's.
        assert held_ms > SEGMENT_MS - 50
        await at.until_held(0)
        await at.publish(number)
        assert (await at.get(number)).status == 200
