"""What the fast lane takes, and one request of it from beginning to end, on a connection that is made up."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import EMPTY_PAYLOAD, HttpVersion, HttpVersion10, HttpVersion11, StreamReader
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from origin.heads import Asked
from origin.lane import Exchange, plain_request
from origin.reply import Reply
from origin.steps import DeliverRequest
from storage.base import Body
from tests.origin.lanes import KEY, Lanes, open_lanes
from tests.origin.site import until


def message(
    path: str = "/derby/v720/7.m4s",
    *headers: tuple[str, str],
    method: str = "GET",
    version: HttpVersion = HttpVersion11,
    is_upgrade: bool = False,
    is_chunked: bool = False,
    should_close: bool = False,
) -> RawRequestMessage:
    """Return a request as aiohttp's parser gives it."""
    fields = CIMultiDictProxy(CIMultiDict(headers))
    return RawRequestMessage(
        method, path, version, fields, (), should_close, None, is_upgrade, is_chunked, URL("/ignored")
    )


# -- What it takes

PLAIN = [
    "/",
    "/healthz",
    "/derby/v720/7.m4s",
    "/derby@2/v720/7.m4s",
    "//derby/v720/7.m4s",
    "/derby/../x",
    "/a.b_c~d$e=f,g+h-i:j@k",
]
NOT_PLAIN = [
    "",
    "*",
    "derby/v720/7.m4s",
    "http://origin/derby/v720/7.m4s",
    "/derby/v720/%37.m4s",
    "/derby/v720/7.m4s#t=1",
    "/derby/v720/7 .m4s",
    "/derby/é",
    "/derby/\udcff",
    "/derby/a\r\nb",
    "/derby/7.m4s\n",
    "/derby/a;b",
    "/derby/a'b",
    '/derby/a"b',
    "/derby/a\\b",
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PLAIN)
def test_a_path_of_plain_characters_is_taken_as_it_is(path: str, method: str) -> None:
    expected = DeliverRequest(method, path, path, {})
    assert plain_request(message(path, method=method), EMPTY_PAYLOAD) == expected
    assert plain_request(message(f"{path}?x=%31&y=é", method=method), EMPTY_PAYLOAD) == expected


@pytest.mark.parametrize("path", NOT_PLAIN, ids=ascii)
def test_any_other_path_is_left_to_aiohttp(path: str) -> None:
    assert plain_request(message(path), EMPTY_PAYLOAD) is None


def test_anything_but_a_plain_get_or_head_is_left_to_aiohttp() -> None:
    for method in ("PUT", "POST", "DELETE", "OPTIONS", "CONNECT", "get"):
        assert plain_request(message(method=method), EMPTY_PAYLOAD) is None
    assert plain_request(message(is_upgrade=True), EMPTY_PAYLOAD) is None
    assert plain_request(message(is_chunked=True), EMPTY_PAYLOAD) is None
    assert plain_request(message("/1", ("expect", "100-continue")), EMPTY_PAYLOAD) is None
    assert plain_request(message(), object()) is None


def test_only_the_fields_that_answers_depend_on_are_kept_those_in_several_lines_joined() -> None:
    headers = [
        ("if-none-match", '"a"'),
        ("Accept", "*/*"),
        ("If-None-Match", '"b"'),
        ("Range", "bytes=0-1"),
        ("Cookie", "x"),
    ]
    request = plain_request(message("/1", *headers), EMPTY_PAYLOAD)
    assert request is not None
    assert request.headers == {"If-None-Match": '"a", "b"', "Range": "bytes=0-1"}


async def test_a_body_that_is_to_come_is_left_to_aiohttp() -> None:
    async with open_lanes() as lanes:
        protocol = lanes.server()
        payload = StreamReader(protocol, 1, loop=asyncio.get_running_loop())
        assert plain_request(message(), payload) is None


# -- One request


class Wire:
    """Implements `origin.lane.Connection`."""

    def __init__(self) -> None:
        self.is_closing = False
        self.sent: list[tuple[bytes, bytes, bool]] = []

    def send(self, head: bytes, body: Body, *, must_close: bool) -> None:
        self.sent.append((head, bytes(body), must_close))


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    async with open_lanes() as lanes:
        yield lanes


def begin(lanes: Lanes, asked: RawRequestMessage, wire: Wire) -> Exchange | None:
    request = plain_request(asked, EMPTY_PAYLOAD)
    assert request is not None
    return lanes.server.desk.open(wire, Asked(request, asked.should_close, asked.version == HttpVersion10))


async def test_an_answer_that_is_there_is_sent(lanes: Lanes) -> None:
    wire = Wire()
    begin(lanes, message("/1"), wire)
    ((head, body, must_close),) = wire.sent
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
    assert (body, must_close) == (b"/1", False)
    assert lanes.outcomes == ["served"]


async def test_a_head_is_sent_without_its_body_but_with_its_length(lanes: Lanes) -> None:
    wire = Wire()
    begin(lanes, message("/1", method="HEAD"), wire)
    ((head, body, _),) = wire.sent
    assert (b"Content-Length: 2\r\n" in head, body) == (True, b"")


@pytest.mark.parametrize(
    ("should_close", "version", "field"),
    [
        (False, HttpVersion11, b""),
        (True, HttpVersion11, b"Connection: close\r\n"),
        (False, HttpVersion10, b"Connection: keep-alive\r\n"),
        (True, HttpVersion10, b""),
    ],
    ids=["stay", "asked", "1.0-stay", "1.0"],
)
async def test_the_connection_ends_where_its_client_wants_it(
    lanes: Lanes, should_close: bool, version: HttpVersion, field: bytes
) -> None:
    wire = Wire()
    begin(lanes, message("/1", version=version, should_close=should_close), wire)
    ((head, _, must_close),) = wire.sent
    assert must_close == should_close
    assert (b"Connection:" in head) == bool(field)
    assert head.endswith(field + b"\r\n")


@pytest.mark.parametrize("path", ["/held", "/read"])
async def test_a_connection_that_is_to_end_meanwhile_ends_with_the_answer(lanes: Lanes, path: str) -> None:
    wire = Wire()
    begin(lanes, message(path), wire)
    wire.is_closing = True
    lanes.release()
    lanes.script.reading.set_result(Reply(200, "served"))
    await until(lambda: len(wire.sent) == 1)
    ((head, _, must_close),) = wire.sent
    assert must_close
    assert head.endswith(b"\r\nConnection: close\r\n\r\n")


async def test_a_held_request_is_answered_by_its_release_and_the_log_says_how_long_it_was_held(
    lanes: Lanes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="origin.routes")
    wire = Wire()
    begin(lanes, message("/held"), wire)
    assert (wire.sent, lanes.waiters.count) == ([], 1)
    lanes.script.clock.move_to(1_500)
    lanes.release()
    await until(lambda: lanes.outcomes == ["served"])
    assert [body for _, body, _ in wire.sent] == [b"/held"]
    assert lanes.waiters.count == 0
    (line,) = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "request"]
    assert line["hold_ms"] == 1_500


async def test_who_is_woken_for_nothing_waits_again(lanes: Lanes) -> None:
    wire = Wire()
    begin(lanes, message("/held"), wire)
    lanes.waiters.wake(KEY)
    await until(lambda: lanes.script.begun == ["/held", "/held"])
    assert (wire.sent, lanes.waiters.count) == ([], 1)
    lanes.release()
    await until(lambda: len(wire.sent) == 1)


async def test_a_release_is_measured_once_for_all_that_waited(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("origin.waiters.RELEASE_S_MAX", 0.01)
    wires = [Wire() for _ in range(3)]
    for wire in wires:
        begin(lanes, message("/held"), wire)
    lanes.release()
    await until(lambda: lanes.releases_s != [])
    assert [len(wire.sent) for wire in wires] == [1, 1, 1]
    assert len(lanes.releases_s) == 1


async def test_a_read_is_waited_for(lanes: Lanes) -> None:
    wire = Wire()
    begin(lanes, message("/read"), wire)
    await until(lambda: lanes.script.begun == ["/read"])
    assert wire.sent == []
    lanes.script.reading.set_result(Reply(200, "served", {}, b"read"))
    await until(lambda: len(wire.sent) == 1)
    assert wire.sent[0][1] == b"read"


@pytest.mark.parametrize("path", ["/fault", "/split"])
async def test_a_mistake_is_told_once_and_nothing_of_the_other_answer_is_sent(lanes: Lanes, path: str) -> None:
    wire = Wire()
    begin(lanes, message(path), wire)
    ((head, body, must_close),) = wire.sent
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/problem+json\r\n")
    assert (b"problem:internal" in body, must_close) == (True, False)
    await until(lambda: lanes.outcomes == ["internal"])


async def test_a_mistake_in_a_read_is_told(lanes: Lanes, caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire()
    begin(lanes, message("/read"), wire)
    lanes.script.reading.set_exception(RuntimeError("a mistake"))
    await until(lambda: lanes.outcomes == ["internal"])
    assert wire.sent[0][0].startswith(b"HTTP/1.1 500 ")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == ["request failed"]


@pytest.mark.parametrize("path", ["/held", "/read"])
async def test_who_leaves_is_told_of_and_gets_nothing(lanes: Lanes, path: str) -> None:
    wire = Wire()
    exchange = begin(lanes, message(path), wire)
    assert exchange is not None
    exchange.abandon()
    assert lanes.outcomes == ["client-gone"]
    assert lanes.waiters.count == 0
    lanes.release()
    lanes.script.reading.set_result(Reply(200, "served"))
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert wire.sent == []
    assert lanes.outcomes == ["client-gone"]


async def test_who_leaves_after_the_answer_was_written_was_answered(lanes: Lanes) -> None:
    wire = Wire()
    exchange = begin(lanes, message("/held"), wire)
    assert exchange is not None
    lanes.release()
    await until(lambda: len(wire.sent) == 1)
    exchange.abandon()
    await until(lambda: lanes.outcomes == ["served"])
