"""Clients that are slow, many or hostile are told or cut, and the live edge is delivered as if they were not there."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

import aiohttp

from origin import deliver_side
from origin.connections import ConnectionLimits
from tests.integration.wire import PATIENCE_S, TEXT_RENDITION, ask, chunk, head, path_of, upload
from tests.origin.connecting import Client
from tests.support.origins import EVENT, Running, make_settings, running_origin
from tests.support.packagers import number_now
from tests.support.reader import Delivered, Reader

CROWD: Final = 200
SLOW_READERS: Final = 20
BODY: Final = b"WEBVTT\n" * 1_000
LARGE: Final = b"WEBVTT\n" * 1_000_000
Address = tuple[str, int]


@dataclass(frozen=True)
class House:
    """An origin and a reader in front of it."""

    running: Running
    reader: Reader
    stack: AsyncExitStack

    @property
    def deliver(self) -> Address:
        return self.running.origin.deliver_address

    @property
    def publish_side(self) -> Address:
        return self.running.origin.publish_address

    async def connect(self, address: Address, source: str = "127.0.0.1") -> Client:
        """Connect until the end of the test."""
        streams = await asyncio.open_connection(*address, local_addr=(source, 0))
        return await self.stack.enter_async_context(Client(*streams))

    async def get(self, number: int, rendition: str = "cc") -> Delivered:
        return await self.reader.get(f"derby/{rendition}/{number}.vtt", number)

    async def publish(self, number: int, body: bytes = BODY, rendition: str = "cc") -> None:
        request = upload(f"/derby/a/{rendition}/{number}.vtt", body)
        answer = await asyncio.to_thread(ask, self.publish_side, request)
        assert answer.status == 201

    async def metric(self, name: str) -> float:
        page = (await self.reader.get_url(f"{self.running.admin}/metrics")).decode()
        match = re.search(rf"^{re.escape(name)} (.+)$", page, re.MULTILINE)
        assert match is not None, name
        return float(match[1])

    async def until(self, name: str, value: float) -> None:
        """Return once a metric has a value."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.metric(name) != value:
                pass

    async def until_silence_was_cut(self, address: Address) -> None:
        """Return when `limits.head` has passed since this was called."""
        client = await self.connect(address)
        assert (await client.receive()).problem == "head-timeout"

    async def deliver_the_live_edge(self, rendition: str = "cc") -> None:
        """Hold a request, publish its segment, and see it delivered to that one and to the next."""
        number = number_now()
        async with asyncio.TaskGroup() as group:
            request = group.create_task(self.get(number, rendition))
            await self.until("origin_holds_in_progress", 1)
            await self.publish(number, rendition=rendition)
        for answer in (request.result(), await self.get(number, rendition)):
            assert (answer.status, answer.body) == (200, BODY)


@asynccontextmanager
async def house(folder: Path, **limits: Any) -> AsyncIterator[House]:
    """Run an origin with two renditions of text."""
    other = TEXT_RENDITION | {"id": "subs", "media": "subs/$Number$.vtt"}
    event: Mapping[str, Any] = EVENT | {"renditions": [TEXT_RENDITION, other]}
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(running_origin(make_settings(folder, limits=limits, events=[event])))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        clients = await stack.enter_async_context(AsyncExitStack())
        yield House(running, Reader(session, running.deliver), clients)


async def trickle(client: Client) -> None:
    """Send the head of a request byte by byte, for ever."""
    while True:
        client.writer.write(b"x")
        await asyncio.sleep(0.02)


async def test_slow_heads_do_not_delay_the_live_edge_and_are_cut(tmp_path: Path) -> None:
    async with house(tmp_path, head="2s") as at:
        sides = {"deliver": at.deliver, "publish": at.publish_side}
        clients = [await at.connect(address) for address in sides.values() for _ in range(CROWD // 2)]
        trickles = [asyncio.create_task(trickle(client)) for client in clients]
        for client in clients:
            client.writer.write(b"GET /derby/cc/")
        await at.deliver_the_live_edge()
        assert {(await client.receive()).problem for client in clients} == {"head-timeout"}
        for task in trickles:
            task.cancel()
        await asyncio.gather(*trickles, return_exceptions=True)
        for side in sides:
            series = f'origin_connections_refused_total{{listener="{side}",reason="head-timeout"}}'
            assert await at.metric(series) == CROWD // 2
        await at.deliver_the_live_edge("subs")


async def test_slow_readers_do_not_delay_the_live_edge_and_are_cut(tmp_path: Path) -> None:
    quick = partial(ConnectionLimits, check_ms=500)
    unsent, cut = 'origin_unsent_bytes{listener="deliver"}', 'reason="send-rate"}'
    with patch.object(deliver_side, "ConnectionLimits", quick):
        async with house(tmp_path) as at:
            number = number_now() - 2
            await at.publish(number, LARGE)
            for _ in range(SLOW_READERS):
                client = await at.connect(at.deliver)
                cast(asyncio.Transport, client.writer.transport).pause_reading()
                client.writer.write(head("GET", f"/derby/cc/{number}.vtt"))
            await at.deliver_the_live_edge()
            await at.until(f'origin_connections_refused_total{{listener="deliver",{cut}', SLOW_READERS)
            await at.until(unsent, 0)
            assert (await at.get(number)).body == LARGE, "whoever takes it gets it"
            await at.deliver_the_live_edge("subs")


async def test_one_address_cannot_take_the_places_of_the_others(tmp_path: Path) -> None:
    allowed = 10
    async with house(tmp_path, connections_per_address=allowed) as at:
        clients = [await at.connect(at.deliver, "127.0.0.2") for _ in range(CROWD)]
        refused = 'origin_connections_refused_total{listener="deliver",reason="address"}'
        await at.until(refused, CROWD - allowed)
        for client in clients[allowed:]:
            answer = await client.receive()
            assert (answer.status, answer.problem) == (503, "overloaded")
            assert f"limits.connections_per_address, {allowed}" in answer.detail
        await at.deliver_the_live_edge()
        await at.stack.aclose()
        await at.until('origin_connections{listener="deliver"}', 1)  # the reader's


async def test_a_full_listener_tells_so_and_leaves_the_others_alone(tmp_path: Path) -> None:
    async with house(tmp_path, connections=5) as at:
        first = [await at.connect(at.deliver) for _ in range(5)]
        beyond = await at.connect(at.deliver)
        answer = await beyond.receive()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert "limits.connections, 5" in answer.detail
        number = number_now() - 2
        await at.publish(number)
        answer = await first[0].ask(head("GET", f"/derby/cc/{number}.vtt"))
        assert (answer.status, answer.body) == (200, BODY)


async def test_a_held_request_and_a_late_body_are_no_slow_heads(tmp_path: Path) -> None:
    """ffmpeg's DASH muxer sends the head of an upload a whole segment before its body."""
    async with house(tmp_path, head="100ms") as at:
        number = number_now()
        packager, reader = await at.connect(at.publish_side), await at.connect(at.deliver)
        await packager.send(head("PUT", path_of(number), Transfer_Encoding="chunked"))
        await reader.send(head("GET", f"/derby/cc/{number}.vtt"))
        await at.until("origin_holds_in_progress", 1)
        for address in (at.deliver, at.publish_side):
            await at.until_silence_was_cut(address)
        await packager.send(chunk(BODY[:100]))
        await at.until_silence_was_cut(at.publish_side)
        assert (await packager.ask(chunk(BODY[100:]) + chunk(b""))).status == 201
        answer = await reader.receive()
        assert (answer.status, answer.body) == (200, BODY)
        await at.until_silence_was_cut(at.deliver)
        assert (await reader.ask(head("GET", f"/derby/cc/{number}.vtt"))).status == 200, "the connection goes on"
        await at.until_silence_was_cut(at.publish_side)
        assert (await packager.ask(head("GET", path_of(number)))).status == 405, "the connection goes on"


async def test_garbage_behind_a_held_request_is_answered_behind_it(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        number = number_now()
        client = await at.connect(at.deliver)
        await client.send(head("GET", f"/derby/cc/{number}.vtt"))
        await at.until("origin_holds_in_progress", 1)
        await client.send(b"nonsense\r\n\r\n")
        assert await at.metric("origin_holds_in_progress") == 1
        await at.publish(number)
        assert [(await client.receive()).status for _ in range(2)] == [200, 400]
        assert await client.rest() == b""


async def test_heads_that_are_too_large_are_told_apart_from_what_is_no_request(tmp_path: Path) -> None:
    async with house(tmp_path, head_bytes="2KiB") as at:
        refusals = [
            (b"GET /" + b"x" * 3_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target-too-long"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431, "head-too-large"),
            (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 1_000 + b"\r\n", 431, "head-too-large"),
            (b"nonsense\r\n\r\n", 400, "bad-request"),
        ]
        for address in (at.deliver, at.publish_side):
            for request, status, kind in refusals:
                answer = await (await at.connect(address)).ask(request)
                assert (answer.status, answer.problem) == (status, kind)
        await at.deliver_the_live_edge()
