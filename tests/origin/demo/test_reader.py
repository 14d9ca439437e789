"""The reader, in front of an origin that a test writes the answers of."""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from origin.demo import media
from origin.demo import reader as reader_module
from origin.demo.media import TRACKS
from origin.demo.reader import Reader
from origin.demo.reports import Delivered, Missed, Report, Requested
from origin.demo.stop import Stop

BODY = b"segment"
ETAG = f'"{hashlib.sha256(BODY).hexdigest()[:32]}"'
Answers = Callable[[str, int], web.Response]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _good(at_ms: int = 0, etag: str = ETAG) -> web.Response:
    headers = {"ETag": etag, "Live-Origin-Pipeline": "b", "CMSD-Static": f"ot=v,st=l,at={at_ms},br=600"}
    return web.Response(body=BODY, headers=headers)


@asynccontextmanager
async def _reading(answers: Answers) -> AsyncIterator[tuple[Reader, list[Report]]]:
    """Yield a reader and what it tells; `answers` is asked with a name and how often that was asked for before."""
    asked: dict[str, int] = defaultdict(int)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.removeprefix("/demo/")
        asked[name] += 1
        return answers(name, asked[name] - 1)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    told: list[Report] = []
    reader = Reader(f"http://{host}:{port}", told.append)
    try:
        yield reader, told
    finally:
        await reader.close()
        await runner.cleanup()


async def _read_past(reader: Reader, count: int) -> tuple[int, int]:
    """Read numbers whose media ended a moment ago, `count` of them; returns the first and the last."""
    stop = Stop()
    last = media.newest_ended(_now_ms())
    stop.ask("test")
    assert await reader.read_until(stop, last - count + 1) == last
    await reader.drain()
    return last - count + 1, last


def _of(told: list[Report], kind: type[Report]) -> list[Report]:
    return [report for report in told if isinstance(report, kind)]


async def test_every_rendition_of_every_number_is_asked_for_by_its_name_once() -> None:
    names: list[str] = []

    def answers(name: str, _: int) -> web.Response:
        names.append(name)
        return _good()

    async with _reading(answers) as (reader, told):
        first, last = await _read_past(reader, 2)
    segments = [track.media_name(number) for track in TRACKS for number in range(first, last + 1)]
    assert sorted(names) == sorted([*segments, *(track.init_name for track in TRACKS)])
    assert len(_of(told, Requested)) == len(_of(told, Delivered)) == 9


async def test_it_asks_when_the_media_has_ended_and_not_before() -> None:
    number = media.next_number(_now_ms()) - 1
    asked_ms: dict[str, int] = {}

    def answers(name: str, _: int) -> web.Response:
        asked_ms[name] = _now_ms()
        return _good()

    async with _reading(answers) as (reader, _):
        stop = Stop()
        stop.appoint(media.end_ms(number) + 10, "test")
        assert await reader.read_until(stop, number) == number
        await reader.drain()
    for track in TRACKS:
        assert asked_ms[track.media_name(number)] >= media.end_ms(number) - 1


async def test_a_delivery_is_checked_and_described() -> None:
    async with _reading(lambda *_: _good(at_ms=_now_ms() + 1_000)) as (reader, told):
        _, last = await _read_past(reader, 1)
    video = next(r for r in told if isinstance(r, Delivered) and (r.rendition, r.number) == ("v360", last))
    assert (video.pipeline, video.status, video.bytes, video.held, video.intact) == ("b", 200, len(BODY), True, True)
    assert video.late_ms is not None
    assert video.late_ms == pytest.approx(_now_ms() - media.due_ms(last), abs=2_000)
    init = next(r for r in told if isinstance(r, Delivered) and r.number is None)
    assert init.late_ms is None


BAD_ETAGS = [("of-other-bytes", '"00000000000000000000000000000000"'), ("weak", f"W/{ETAG}"), ("none", "")]


@pytest.mark.parametrize("etag", [case[1] for case in BAD_ETAGS], ids=[case[0] for case in BAD_ETAGS])
async def test_a_body_that_is_not_the_one_of_its_etag_is_told_of(etag: str) -> None:
    async with _reading(lambda *_: _good(etag=etag)) as (reader, told):
        await _read_past(reader, 1)
    delivered = [report for report in told if isinstance(report, Delivered)]
    assert len(delivered) == 6
    assert not any(report.intact or report.held for report in delivered)


async def test_it_asks_again_when_the_answer_has_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "RETRY_S", 0.01)

    def answers(_: str, asked_before: int) -> web.Response:
        return web.Response(status=(404, 503)[asked_before]) if asked_before < 2 else _good()

    async with _reading(answers) as (reader, told):
        await _read_past(reader, 1)
    assert len(_of(told, Requested)) == len(_of(told, Delivered)) == 6


async def test_what_is_gone_is_not_asked_for_again() -> None:
    async with _reading(lambda *_: web.Response(status=410)) as (reader, told):
        await _read_past(reader, 1)
    assert [report.status for report in told if isinstance(report, Missed)] == [410] * 6


async def test_a_deaf_origin_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "RETRY_S", 0.01)
    monkeypatch.setattr(reader_module, "PATIENCE_MS", -10_000)
    reader = Reader("http://127.0.0.1:9", (told := list[Report]()).append)
    await _read_past(reader, 1)
    await reader.close()
    assert [report.status for report in told if isinstance(report, Missed)] == [0] * 6


async def test_it_leaves_without_an_answer_when_it_is_closed() -> None:
    asked = asyncio.Event()

    def answers(*_: object) -> web.Response:
        asked.set()
        return web.Response(status=404, headers={"Cache-Control": "max-age=3600"})

    async with _reading(answers) as (reader, told):
        stop = Stop()
        stop.ask("test")
        last = media.newest_ended(stop.at_ms)
        assert await reader.read_until(stop, last) == last
        await asked.wait()
    assert _of(told, Delivered) == _of(told, Missed) == []
