"""The bad line: what it loses, what it delays, and that it changes nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from origin.demo import media
from origin.demo.garbage import Garbage, kind_of
from origin.demo.options import Fault
from origin.demo.reader import digest_of
from origin.demo.relay import Relay
from origin.demo.reports import Dropped, Garbled, Report
from tests.origin.demo.samples import FIRST

PATH = f"/demo/a/{media.TRACKS[0].media_name(FIRST)}"


class Upstream:
    """Stands for the origin: keeps what it gets, with the time."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[str, str, bytes, float]] = asyncio.Queue()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.got.put_nowait((request.method, request.path, body, time.monotonic()))
        return web.Response(status=201, text="stored")


@asynccontextmanager
async def _relayed(fault: Fault) -> AsyncIterator[tuple[str, Upstream, list[Report]]]:
    """Yield a relay's address, what is behind it, and what it tells."""
    upstream, told = Upstream(), list[Report]()
    runner = web.ServerRunner(web.Server(upstream.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    relay = Relay("a", f"http://{host}:{port}", fault, told.append)
    try:
        yield await relay.start(), upstream, told
    finally:
        await relay.stop()
        await runner.cleanup()


async def _send(url: str, path: str, body: bytes, method: str = "PUT") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.request(method, url + path, data=body) as answer:
        return answer.status, await answer.text()


async def test_without_a_fault_everything_passes_as_it_is() -> None:
    async with _relayed(Fault()) as (url, upstream, told):
        assert await _send(url, PATH, b"body") == (201, "stored")
        assert (await upstream.got.get())[:3] == ("PUT", PATH, b"body")
        assert await _send(url, PATH, b"", "DELETE") == (201, "stored")
        assert (await upstream.got.get())[:3] == ("DELETE", PATH, b"")
        assert told == []


async def test_dropped_segments_are_told_of_and_nothing_else_is_dropped() -> None:
    async with _relayed(Fault(drop_percent=100)) as (url, upstream, told):
        status, _ = await _send(url, PATH, b"body")
        assert status == 202
        assert told == [Dropped("a", "v360", FIRST)]
        for name in ("init-0.mp4", "live.mpd"):
            assert (await _send(url, f"/demo/a/{name}", b"body"))[0] == 201
            assert (await upstream.got.get())[1] == f"/demo/a/{name}"
        assert (await _send(url, PATH, b"", "DELETE"))[0] == 201
        assert len(told) == 1


async def test_garbled_segments_are_told_of_and_nothing_else_is_touched() -> None:
    sound = media.TRACKS[2].media_name(FIRST)
    async with _relayed(Fault(garble_percent=100)) as (url, upstream, told):
        for path in (PATH, f"/demo/a/{sound}"):
            assert await _send(url, path, b"body" * 100) == (201, "stored")
            method, sent_to, garbage, _ = await upstream.got.get()
            assert (method, sent_to) == ("PUT", path)
            assert garbage != b"body" * 100
            report = told.pop()
            assert isinstance(report, Garbled)
            assert (report.pipeline, report.number, report.digest) == ("a", FIRST, digest_of(garbage))
        for name in ("init-0.mp4", "live.mpd"):
            assert (await _send(url, f"/demo/a/{name}", b"body"))[0] == 201
            assert (await upstream.got.get())[2] == b"body"
        assert (await _send(url, PATH, b"", "DELETE"))[0] == 201
        assert told == []


async def test_only_the_share_that_was_asked_for_is_garbled() -> None:
    numbers = range(FIRST, FIRST + 20)
    async with _relayed(Fault(garble_percent=50)) as (url, upstream, told):
        bodies = {}
        for number in numbers:
            await _send(url, f"/demo/a/{media.TRACKS[0].media_name(number)}", b"body" * 10)
            bodies[number] = (await upstream.got.get())[2]
        garbled = {each.number for each in told if isinstance(each, Garbled)}
        assert garbled == {number for number, body in bodies.items() if body != b"body" * 10}
        assert len(garbled) == 10


async def test_sound_comes_where_the_picture_should_be() -> None:
    number = next(n for n in range(FIRST, FIRST + 6) if kind_of(n, 0) is Garbage.OTHER)
    async with _relayed(Fault(garble_percent=100)) as (url, upstream, told):
        for track, body in ((media.TRACKS[2], b"sound"), (media.TRACKS[0], b"picture")):
            await _send(url, f"/demo/a/{track.media_name(number)}", body)
        sent = [(await upstream.got.get())[2] for _ in range(2)]
        assert sent[1] == b"sound"
        assert told[-1] == Garbled("a", "v360", number, "other", digest_of(b"sound"))


async def test_everything_comes_later_by_as_much_as_was_asked() -> None:
    async with _relayed(Fault(late_ms=60)) as (url, upstream, _):
        sent_s = time.monotonic()
        assert (await _send(url, PATH, b"body"))[0] == 201
        *_, arrived_s = await upstream.got.get()
        assert arrived_s - sent_s >= 0.06


@pytest.mark.parametrize("fault", [Fault(), Fault(late_ms=60)], ids=["at-once", "late"])
async def test_a_client_that_closes_right_after_its_last_byte_loses_nothing(fault: Fault) -> None:
    async with _relayed(fault) as (url, upstream, _):
        host, port = url.removeprefix("http://").split(":")
        for number in range(20):
            _, writer = await asyncio.open_connection(host, int(port))
            body = b"%d" % number * 10_000
            head = f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            writer.write(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            await writer.drain()
            writer.close()
        bodies = {(await upstream.got.get())[2] for _ in range(20)}
        assert bodies == {b"%d" % number * 10_000 for number in range(20)}


async def test_an_object_that_is_cut_is_not_passed_on() -> None:
    async with _relayed(Fault()) as (url, upstream, _):
        host, port = url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf".encode())
        await writer.drain()
        writer.close()
        assert (await _send(url, PATH, b"whole"))[0] == 201
        assert (await upstream.got.get())[2] == b"whole"
        assert upstream.got.empty()


async def test_an_origin_that_is_gone_is_a_bad_gateway() -> None:
    relay = Relay("a", "http://127.0.0.1:9", Fault(), lambda _: None)
    try:
        assert (await _send(await relay.start(), PATH, b"body"))[0] == 502
    finally:
        await relay.stop()


async def test_it_stops_without_waiting_for_what_it_delays() -> None:
    async with _relayed(Fault(late_ms=10_000)) as (url, upstream, _):
        host, port = url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody".encode())
        await writer.drain()
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5
    assert upstream.got.empty()
    writer.close()
