"""Reading the body of an upload: whole, or not at all and with the reason. What real packagers do on the wire is
tested with real sockets in `tests/integration`."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Iterable
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest
from aiohttp import web
from aiohttp.http_exceptions import ContentLengthError, TransferEncodingError
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from origin.aiohttp_inside import InsideRequest
from origin.receive import (
    BodyStalled,
    BodyTooLarge,
    BodyTruncated,
    decode_gzip,
    read_body,
    send_continue,
)

IDLE_MS = 60_000


def make_stream(chunks: Iterable[bytes] = (), *, is_whole: bool = True) -> StreamReader:
    stream = StreamReader(Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    for chunk in chunks:
        stream.feed_data(chunk)
    if is_whole:
        stream.feed_eof()
    return stream


def make_request(stream: StreamReader, content_length: int | None = None) -> web.BaseRequest:
    headers = CIMultiDict({} if content_length is None else {"Content-Length": str(content_length)})
    return make_mocked_request("PUT", "/derby/a/v720/7.m4s", headers, payload=stream)


WHOLE: list[tuple[str, list[bytes]]] = [
    ("nothing", []),
    ("one-piece", [b"abc"]),
    ("many-pieces", [b"a", b"bc", b"", b"def"]),
    ("as-large-as-allowed", [b"12345", b"67890"]),
]


@pytest.mark.parametrize("chunks", [case[1] for case in WHOLE], ids=[case[0] for case in WHOLE])
@pytest.mark.parametrize("has_length", [False, True])
async def test_a_whole_body_is_returned(chunks: list[bytes], has_length: bool) -> None:
    body = b"".join(chunks)
    request = make_request(make_stream(chunks), len(body) if has_length else None)
    assert await read_body(request, limit_bytes=10, idle_ms=IDLE_MS) == body


async def test_a_body_that_comes_piece_by_piece_is_returned_whole() -> None:
    stream = make_stream(is_whole=False)
    reading = asyncio.create_task(read_body(make_request(stream), 10, IDLE_MS))
    for piece in (b"ab", b"cd", b"ef"):
        await asyncio.sleep(0)
        assert not reading.done()
        stream.feed_data(piece)
    stream.feed_eof()
    assert await reading == b"abcdef"


async def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    with pytest.raises(BodyTooLarge):
        await read_body(make_request(make_stream(is_whole=False), content_length=11), 10, IDLE_MS)


async def test_a_body_that_grows_too_large_is_given_up_at_once() -> None:
    stream = make_stream([b"12345", b"678901"], is_whole=False)
    with pytest.raises(BodyTooLarge):
        await read_body(make_request(stream), 10, IDLE_MS)


async def test_a_body_that_pauses_too_long_has_stalled() -> None:
    stream = make_stream([b"abc"], is_whole=False)
    with pytest.raises(BodyStalled):
        await read_body(make_request(stream), 10, idle_ms=1)


async def test_a_body_that_never_begins_has_stalled() -> None:
    with pytest.raises(BodyStalled):
        await read_body(make_request(make_stream(is_whole=False)), 10, idle_ms=1)


CUTS: list[tuple[str, Exception]] = [
    ("connection-reset", ConnectionResetError()),
    ("connection-lost", OSError("lost")),
    ("chunk-cut", TransferEncodingError("Not enough data")),
    ("length-not-reached", ContentLengthError("Not enough data")),
    ("payload-error", web.RequestPayloadError("Not enough data")),
    ("gone-before-the-handler-began", RuntimeError("Connection closed")),
]


@pytest.mark.parametrize("error", [case[1] for case in CUTS], ids=[case[0] for case in CUTS])
async def test_a_body_that_ends_early_is_truncated_whatever_it_had(error: Exception) -> None:
    stream = make_stream([b"abc"], is_whole=False)
    reading = asyncio.create_task(read_body(make_request(stream), 10, IDLE_MS))
    await asyncio.sleep(0)
    stream.set_exception(error)
    with pytest.raises(BodyTruncated):
        await reading


async def test_a_reader_that_is_cancelled_is_cancelled() -> None:
    reading = asyncio.create_task(read_body(make_request(make_stream(is_whole=False)), 10, IDLE_MS))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def make_upload(stream: StreamReader) -> InsideRequest:
    message: Any = make_mocked_request("PUT", "/derby/a/v720/7.m4s")._message
    loop = asyncio.get_running_loop()
    return InsideRequest(message, stream, Mock(), Mock(), Mock(), loop)


async def test_a_body_that_arrived_whole_outlives_its_connection() -> None:
    request = make_upload(make_stream([b"abc"]))
    request._cancel(ConnectionResetError())
    assert await read_body(request, 10, IDLE_MS) == b"abc"


async def test_a_body_that_was_cut_does_not() -> None:
    request = make_upload(make_stream([b"abc"], is_whole=False))
    request._cancel(ConnectionResetError())
    with pytest.raises(BodyTruncated):
        await read_body(request, 10, IDLE_MS)


TEXT = b"<MPD/>" * 100
ENCODED = gzip.compress(TEXT)


@pytest.mark.parametrize("body", [b"", b"x", TEXT], ids=["empty", "small", "as-large-as-allowed"])
def test_a_gzip_body_is_decoded(body: bytes) -> None:
    assert decode_gzip(gzip.compress(body), len(TEXT)) == body


BAD_GZIP: list[tuple[str, bytes, int, type[Exception]]] = [
    ("cut-in-the-middle", ENCODED[: len(ENCODED) // 2], 10_000, BodyTruncated),
    ("without-its-checksum", ENCODED[:-8], 10_000, BodyTruncated),
    ("a-byte-short", ENCODED[:-1], 10_000, BodyTruncated),
    ("damaged-checksum", ENCODED[:-8] + b"12345678", 10_000, BodyTruncated),
    ("something-behind-it", ENCODED + b"x", 10_000, BodyTruncated),
    ("not-gzip", TEXT, 10_000, BodyTruncated),
    ("larger-than-allowed", ENCODED, len(TEXT) - 1, BodyTooLarge),
    ("a-bomb", gzip.compress(bytes(10_000_000)), 1_000, BodyTooLarge),
]


@pytest.mark.parametrize(
    ("body", "limit_bytes", "error"), [case[1:] for case in BAD_GZIP], ids=[case[0] for case in BAD_GZIP]
)
def test_half_an_encoding_is_no_body(body: bytes, limit_bytes: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode_gzip(body, limit_bytes)


def test_a_bomb_is_not_decoded_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decode_gzip(bomb, 1_000)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000


async def test_a_client_whose_body_is_here_is_not_told_to_go_on() -> None:
    request = make_request(make_stream([b"abc"]))
    writer = cast(Mock, request.writer)
    await send_continue(request)
    writer.write.assert_not_called()
    assert await read_body(request, 10, IDLE_MS) == b"abc"


# -- 100 Continue


async def continued(stream: StreamReader, error: Exception | None = None) -> Mock:
    writer = Mock(write=AsyncMock(side_effect=error), output_size=25)
    request = make_mocked_request("PUT", "/derby/a/v720/7.m4s", payload=stream, writer=writer)
    await send_continue(request)
    return writer


async def test_a_client_that_waits_is_told_to_go_on() -> None:
    writer = await continued(make_stream(is_whole=False))
    writer.write.assert_awaited_once_with(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert writer.output_size == 0, "the final answer has not begun"


async def test_a_client_that_has_gone_is_found_out_by_its_body() -> None:
    await continued(make_stream(is_whole=False), ConnectionResetError())
