"""What one connection may take: time for a head, its size, and connections at once. `test_server_sending`: answers."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from unittest.mock import patch

import pytest
from aiohttp import web, web_protocol
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from origin import server
from origin.connections import FIELDS_COUNT_MAX
from tests.origin.connecting import PATIENCE_S, Listener, answer_ok, get, listening

HEAD_BYTES = 1024
HEAD_MS = 100
FOR_A_SECOND = "public, max-age=1, stale-while-revalidate=0"

# -- size


def target_of(size: int) -> bytes:
    return get("/" + "x" * (size - 1))


def field_of(size: int) -> bytes:
    """A field that is, with its colon, the shortest that is refused if it is a byte longer: aiohttp counts values."""
    return get("/", "X:" + "x" * (size - 1))


def fields_of(fields_count: int) -> bytes:
    return get("/", *(f"X{number}: x" for number in range(fields_count - 1)))


SIZES: list[tuple[str, Callable[[int], bytes], int, int, str]] = [
    ("target", target_of, HEAD_BYTES, 414, "target-too-long"),
    ("field", field_of, HEAD_BYTES, 431, "head-too-large"),
    ("count", fields_of, FIELDS_COUNT_MAX, 431, "head-too-large"),
]
for_each_size = pytest.mark.parametrize(
    ("make", "limit", "status", "kind"), [case[1:] for case in SIZES], ids=[case[0] for case in SIZES]
)


@for_each_size
async def test_a_head_as_large_as_allowed_is_taken(
    make: Callable[[int], bytes], limit: int, status: int, kind: str
) -> None:
    async with listening(head_bytes=HEAD_BYTES) as listener, await listener.connect() as client:
        assert (await client.ask(make(limit))).status == 200, f"{status} {kind} begins above"
    assert listener.reasons == []


@for_each_size
@pytest.mark.parametrize("pieces_count", [1, 2, 5])
async def test_a_head_beyond_a_limit_is_refused_and_says_which(
    make: Callable[[int], bytes], limit: int, status: int, kind: str, pieces_count: int
) -> None:
    request = make(limit + 1)
    size = -(-len(request) // pieces_count)
    async with listening(head_bytes=HEAD_BYTES) as listener, await listener.connect() as client:
        for begin in range(0, len(request), size):
            await client.send(request[begin : begin + size])
            await asyncio.sleep(0)
        answer = await client.receive()
        assert await client.rest() == b"", "the connection ends"
    assert (answer.status, answer.problem) == (status, kind)
    assert f"limits.head_bytes, {HEAD_BYTES} bytes" in answer.detail
    assert answer.headers["Cache-Control"] == FOR_A_SECOND
    assert listener.reasons == ["head-size"]


@pytest.fixture
def python_parser() -> Iterator[None]:
    """aiohttp as it is without its extensions."""
    assert HttpRequestParser is not HttpRequestParserPy
    with patch.object(web_protocol, "HttpRequestParser", HttpRequestParserPy):
        yield


@for_each_size
@pytest.mark.parametrize("pieces_count", [1, 2])
@pytest.mark.usefixtures("python_parser")
async def test_without_aiohttps_extensions_the_same_is_said(
    make: Callable[[int], bytes], limit: int, status: int, kind: str, pieces_count: int
) -> None:
    request = make(limit + 20)  # it counts the request line, and the end of the head
    cut = len(request) if pieces_count == 1 else len(request) - 30
    async with listening(head_bytes=HEAD_BYTES) as listener, await listener.connect() as client:
        await client.send(request[:cut])
        await asyncio.sleep(0)
        await client.send(request[cut:])
        answer = await client.receive()
    assert (answer.status, answer.problem) == (status, kind)


async def test_a_head_of_many_fields_that_comes_in_pieces_is_refused_as_a_whole() -> None:
    async with listening(head_bytes=HEAD_BYTES) as listener, await listener.connect() as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: origin\r\n")
        for number in range(8):
            await client.send(b"X%d: %b\r\n" % (number, bytes(HEAD_BYTES // 2).replace(b"\0", b"x")))
        answer = await client.receive()
        assert await client.rest() == b""
    assert (answer.status, answer.problem) == (431, "head-too-large")
    assert f"longer than {4 * HEAD_BYTES} bytes" in answer.detail
    assert listener.reasons == ["head-size"]


async def test_a_client_that_goes_on_sending_still_gets_to_know_what_was_wrong() -> None:
    async with listening(head_bytes=HEAD_BYTES) as listener, await listener.connect() as client:
        client.writer.write(field_of(1024**2))
        client.writer.write(bytes(1024**2))
        assert (await client.receive()).status == 431
        await client.send(bytes(1024**2))
        assert await client.rest() == b"", "and was not reset, which would lose the answer on its way"
    assert listener.reasons == ["head-size"]


# -- the time of a head


def assert_cut(data: bytes, listener: Listener) -> None:
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close" in head
    assert f"Cache-Control: {FOR_A_SECOND}".encode() in head
    assert b"limits.head, 100 ms" in body
    assert listener.reasons == ["head-timeout"]


@pytest.mark.parametrize("begin", [b"", b"G", b"GET / HTTP/1.1\r\nHost: or", b"\r\n"])
async def test_a_client_that_does_not_send_a_whole_head_is_cut(begin: bytes) -> None:
    async with listening(head_ms=HEAD_MS) as listener, await listener.connect() as client:
        await client.send(begin)
        assert_cut(await client.rest(), listener)
        await listener.until_count(0)


async def test_a_client_that_sends_byte_by_byte_gains_no_time() -> None:
    async with listening(head_ms=HEAD_MS) as listener, await listener.connect() as client:
        reading = asyncio.create_task(client.rest())
        for number in count():
            if reading.done():
                break
            client.writer.write(b"GET /"[number : number + 1] or b"x")
            await asyncio.sleep(0.005)
        assert_cut(await reading, listener)


async def test_a_later_head_has_its_time_from_its_first_byte_on() -> None:
    async with listening(head_ms=HEAD_MS) as listener, await listener.connect() as client:
        assert (await client.ask(get())).status == 200
        begun_s = asyncio.get_running_loop().time()
        await client.send(b"GET / HT")
        assert_cut(await client.rest(), listener)
        assert asyncio.get_running_loop().time() - begun_s >= 0.099


async def test_a_head_begun_after_the_first_timer_ended_is_watched_too() -> None:
    async with listening(head_ms=HEAD_MS) as listener, await listener.connect() as client:
        assert (await client.ask(get())).status == 200
        await listener.until_silence_was_cut()
        await client.send(b"GET / HT")
        assert_cut(await client.rest(), listener)


async def test_a_head_that_is_completed_in_time_is_answered() -> None:
    async with listening(head_ms=HEAD_MS) as listener, await listener.connect() as client:
        for _ in range(3):
            await client.send(get()[:20])
            await asyncio.sleep(0)
            assert (await client.ask(get()[20:])).status == 200
        await listener.until_silence_was_cut()
        assert (await client.ask(get())).status == 200, "none of them left a deadline behind"
    assert listener.reasons == []


async def test_an_idle_connection_is_not_cut_by_the_time_of_a_head() -> None:
    async with listening(head_ms=HEAD_MS) as listener, await listener.connect() as client:
        assert (await client.ask(get())).status == 200
        await client.send(b"\r\n")  # as some clients do behind a body
        await listener.until_silence_was_cut()
        assert (await client.ask(get())).status == 200


async def test_a_request_that_is_held_may_last_longer_than_a_head() -> None:
    release = asyncio.Event()

    async def hold(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return await answer_ok(request)

    async with listening(hold, head_ms=HEAD_MS) as listener, await listener.connect() as client:
        await client.send(get() + get()[:20])
        await listener.until_silence_was_cut()
        release.set()
        assert (await client.receive()).status == 200
        assert (await client.ask(get()[20:])).status == 200
    assert listener.reasons == []


async def test_a_head_that_comes_while_an_answer_is_awaited_is_bounded_as_a_whole() -> None:
    release = asyncio.Event()

    async def hold(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return await answer_ok(request)

    async with listening(hold, head_bytes=HEAD_BYTES) as listener, await listener.connect() as client:
        await client.send(get() + get()[:-2])
        with suppress(ConnectionError):
            while not listener.reasons:
                await client.send(b"X: " + b"x" * 200 + b"\r\n")
                await asyncio.sleep(0)
        with pytest.raises((ConnectionError, EOFError)):
            await client.receive()
        release.set()
    assert listener.reasons == ["head-size"]


async def test_a_body_that_is_read_after_its_refusal_is_no_head() -> None:
    async def refuse(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=409)

    async with listening(refuse, head_bytes=HEAD_BYTES) as listener, await listener.connect() as client:
        await client.send(b"PUT / HTTP/1.1\r\nHost: origin\r\nContent-Length: 100000\r\n\r\n")
        assert (await client.receive()).status == 409
        for _ in range(100):
            await client.send(b"x" * 1000)
            await asyncio.sleep(0)
        assert (await client.ask(get())).status == 409
    assert listener.reasons == []


async def test_a_body_may_come_later_than_a_head() -> None:
    """ffmpeg's DASH muxer sends the head of an upload a whole segment before its body."""
    async with listening(head_ms=HEAD_MS) as listener, await listener.connect() as client:
        await client.send(b"PUT / HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n\r\n")
        await listener.until_silence_was_cut()
        await client.send(b"3\r\nabc\r\n")
        await listener.until_silence_was_cut()
        assert (await client.ask(b"0\r\n\r\n")).body == b"3"
    assert listener.reasons == []


# -- idle


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with listening(keepalive_ms=HEAD_MS) as listener, await listener.connect() as client:
        assert (await client.ask(get())).status == 200
        assert await client.rest() == b""
    assert listener.reasons == []


async def test_a_head_on_its_way_is_not_idle() -> None:
    async with (
        listening(keepalive_ms=HEAD_MS, head_ms=4 * HEAD_MS) as listener,
        await listener.connect() as other,
        await listener.connect() as client,
    ):
        assert (await other.ask(get())).status == 200
        assert (await client.ask(get())).status == 200
        await client.send(get()[:20])
        assert await other.rest() == b"", "it was idle"
        assert (await client.ask(get()[20:])).status == 200
        assert await client.rest() == b"", "now it is idle"


async def test_many_requests_go_over_one_connection() -> None:
    async with listening() as listener, await listener.connect() as client:
        assert [(await client.ask(get())).status for _ in range(100)] == [200] * 100
        await client.send(get() * 100)
        assert [(await client.receive()).status for _ in range(100)] == [200] * 100
        assert listener.server.clients.count == 1


# -- how many


async def test_a_connection_too_many_is_refused_before_it_asks() -> None:
    async with listening(connections_count=2) as listener:
        async with await listener.connect() as first, await listener.connect() as second:
            assert [(await client.ask(get())).status for client in (first, second)] == [200, 200]
            async with await listener.connect() as third:
                answer = await third.receive()
                assert await third.rest() == b""
            assert listener.server.clients.count == 2
            assert [(await client.ask(get())).status for client in (first, second)] == [200, 200]
        assert (answer.status, answer.problem) == (503, "overloaded")
        assert "limits.connections, 2" in answer.detail
        assert answer.headers["Cache-Control"] == FOR_A_SECOND
        assert (answer.headers["Retry-After"], answer.headers["Connection"]) == ("1", "close")
        assert listener.reasons == ["total"]
        await listener.until_count(0)
        async with await listener.connect() as later:
            assert (await later.ask(get())).status == 200


async def test_one_address_cannot_take_all_connections() -> None:
    async with listening(connections_per_address=1) as listener:
        async with await listener.connect() as first, await listener.connect(source="127.0.0.2") as other:
            assert [(await client.ask(get())).status for client in (first, other)] == [200, 200]
            async with await listener.connect() as second:
                answer = await second.receive()
        assert (answer.status, listener.reasons) == (503, ["address"])
        assert "limits.connections_per_address, 1" in answer.detail
        await listener.until_count(0)
        async with await listener.connect() as later:
            assert (await later.ask(get())).status == 200


async def test_a_refused_client_gets_its_answer_whatever_it_sends() -> None:
    async with listening(connections_count=1) as listener, await listener.connect() as first:
        assert (await first.ask(get())).status == 200
        async with await listener.connect() as second:
            second.writer.write(b"PUT / HTTP/1.1\r\nHost: origin\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
            assert (await second.receive()).status == 503


async def test_a_stop_does_not_wait_for_refused_clients() -> None:
    async with listening(connections_count=1) as listener, await listener.connect() as first:
        assert (await first.ask(get())).status == 200
        refused = await listener.connect()
        assert (await refused.receive()).status == 503
        assert listener.server.farewells.count == 1
    async with refused, asyncio.timeout(PATIENCE_S):
        while listener.server.farewells.count:  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0)


# -- answers in their order


async def test_what_cannot_be_parsed_is_answered_after_what_was_before_it() -> None:
    release = asyncio.Event()

    async def hold(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return await answer_ok(request)

    async with listening(hold, head_ms=HEAD_MS) as listener, await listener.connect() as client:
        await client.send(get())
        await listener.until_silence_was_cut()  # by now it is held
        await client.send(b"nonsense\r\n\r\n")
        release.set()
        assert [(await client.receive()).status for _ in range(2)] == [200, 400]
        assert await client.rest() == b""


async def test_junk_gets_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="origin.server")
    with patch.object(server, "JUNK_LINES_PER_S", 2):
        async with listening() as listener:
            for _ in range(10):
                async with await listener.connect() as client:
                    assert (await client.ask(b"junk\r\n\r\n")).status == 400
    lines = [record for record in caplog.records if record.getMessage() == "request not understood"]
    assert 2 <= len(lines) <= 4, "two a second, and the second may have ended in between"
