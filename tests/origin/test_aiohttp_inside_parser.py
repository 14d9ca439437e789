"""What aiohttp's parser and the answer to its errors mean to us; as `test_aiohttp_inside`, with both parsers."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from origin.aiohttp_inside import InsideProtocol, are_fields_too_many
from tests.origin.plain import JUNK, OurServer, bench, serving
from tests.origin.raw_client import body_of, request, status_of
from tests.origin.site import until


async def test_the_parser_keeps_back_what_is_beyond_32_until_messages_are_consumed(parser: str) -> None:
    breaks = "`_BeforeQueue`: one connection could stop the loop, or its requests would stay unanswered"
    async with bench() as at:
        connection = at.connection
        assert connection._max_msg_queue_size == 32, breaks
        inside: Any = connection._parser
        messages, upgraded, tail = inside.feed_data(b"".join(request(f"/{n}") for n in range(40)))
        assert [message.path for message, _ in messages] == [f"/{n}" for n in range(32)], breaks
        assert (upgraded, tail) == (False, b""), breaks
        more = inside.feed_data(b"")[0]
        assert len(more) <= 1, f"none was consumed, but the one in C gives one more for each call: {breaks}"
        for _ in range(32 + len(more)):
            inside.message_consumed()
        more += inside.feed_data(b"")[0]
        assert [message.path for message, _ in more] == [f"/{n}" for n in range(32, 40)], breaks


async def test_what_stands_in_for_the_parser_decides_what_is_queued(parser: str) -> None:
    breaks = "`look_first`: the fast lane would not see requests, or they would be answered twice"

    class Fast(InsideProtocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.taken: list[str] = []
            self.look_first()

        def take(self, message: Any, payload: object) -> bool:
            if message.path.startswith("/fast"):
                self.taken.append(message.path)
                return True
            return False

    async with bench(serving(Fast)) as at:
        connection = at.connection
        assert isinstance(connection, Fast)
        for _ in range(50):
            connection.data_received(request("/fast"))
        assert (connection.taken, len(connection.queued)) == (["/fast"] * 50, 0), breaks
        answers = await at.client.ask_all([request(f"/slow/{n}") for n in range(100)])
        assert [body_of(answer) for answer in answers] == [b"/slow/%d" % n for n in range(100)], breaks
        connection.data_received(b"".join(request(path) for path in ("/fast/2", "/wait", "/fast/3")))
        assert connection.taken[50:] == ["/fast/2"], "what is behind one that is not taken must not be"
        await until(lambda: at.begun[-1:] == ["/wait"])
        assert not connection.is_free
        assert not connection.is_idle


@pytest.mark.parametrize("pieces_count", [1, 2])
async def test_the_limit_that_a_head_breaks_is_told(parser: str, pieces_count: int) -> None:
    limits = {"max_line_size": 200, "max_field_size": 199, "max_headers": 20}
    faults: list[tuple[bool, bool]] = []

    class Told(InsideProtocol):
        def handle_error(self, request: Any, status: int = 500, exc: Any = None, message: Any = None) -> Any:
            assert (status, message) == (400, exc.message), "what could not be parsed is handed on with its reason"
            is_target = isinstance(exc, LineTooLong) and self.is_target_too_long(exc)
            faults.append((is_target, are_fields_too_many(exc)))
            return super().handle_error(request, status, HttpProcessingError(), message)

    heads = [request("/" + "t" * 300), request("/", "X-A: " + "v" * 300), request("/", *["X-A: v"] * 30)]
    for head in heads:
        async with bench(serving(Told), **limits) as at:
            cut = len(head) // 2 if pieces_count == 2 else len(head)
            at.connection.data_received(head[:cut])
            at.connection.data_received(head[cut:])
            assert status_of(await at.client.receive()) == 400
    expected = [(True, False), (False, False), (False, True)]
    assert faults == expected, "414 or 431, and `origin_connections_refused_total`, would say what is not so"


async def test_the_answer_to_what_cannot_be_parsed_waits_for_its_turn(parser: str) -> None:
    gate = asyncio.Event()

    class Patient(InsideProtocol):
        async def turn(self) -> None:
            await gate.wait()

        def handle_error(self, *arguments: Any) -> Any:
            assert gate.is_set(), "`_make_error_handler`: junk behind a held request would be answered before it"
            return web.Response(status=400)

    async with bench(serving(Patient)) as at:
        at.client.send(JUNK)
        await until(lambda: at.connection._waiter is None and at.connection._request_count == 1)
        at.server._loop.call_soon(gate.set)
        assert status_of(await at.client.receive()) == 400


async def test_after_parse_anew_the_next_byte_is_the_first_of_a_request(parser: str) -> None:
    breaks = "`parse_anew`: the body of an upload in the fast lane would be awaited twice, and requests be lost in it"
    taken: list[str] = []

    class Anew(InsideProtocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.look_first()

        def take(self, message: Any, payload: object) -> bool:
            taken.append(message.path)
            return bool(message.path == "/taken")

    async with bench(serving(Anew), max_line_size=200, max_field_size=199, max_headers=20) as at:
        connection = at.connection
        assert isinstance(connection, Anew)
        for count in range(1, 41):  # more than the parser would hold back
            connection.data_received(request("/taken", "Content-Length: 1000", method="PUT"))
            connection.parse_anew()
            assert (taken, len(connection.queued)) == (["/taken"] * count, 0), breaks
        assert body_of(await at.client.ask(request("/1"))) == b"/1", breaks
        assert taken[-1] == "/1", f"what comes is still looked at first: {breaks}"
        connection.parse_anew()
        assert status_of(await at.client.ask(request("/", "X-A: " + "v" * 300))) == 400, "its limits are the same"


async def test_a_queue_is_full_from_32_on_though_the_parser_may_go_on(parser: str) -> None:
    breaks = "`is_full`: one connection could queue thousands of requests, or be cut for what waits in its parser"
    async with bench(OurServer) as at:
        connection = at.connection
        assert isinstance(connection, InsideProtocol)
        connection.data_received(request("/wait"))
        await until(lambda: at.begun == ["/wait"])
        for count in range(1, 41):
            connection.data_received(request("/"))
            assert connection.is_full is (count >= 32), breaks
            assert len(connection.queued) >= min(count, 32), breaks
