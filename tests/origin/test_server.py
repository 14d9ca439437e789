"""What cannot even be parsed gets an answer of ours, too: one that caches may keep, and that says little. What slow
clients, many clients and large heads get is in `test_server_limits`."""

import asyncio
import json
import logging
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from origin.reply import Problem, Reply, problem
from origin.server import OriginServer, response_of
from selection import cache_policy
from tests.origin.site import Site

GARBAGE: list[tuple[str, bytes]] = [
    ("no-http", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("unknown-method-with-odd-characters", b"G\x01T / HTTP/1.1\r\nHost: origin\r\n\r\n"),
    ("header-without-a-colon", b"GET / HTTP/1.1\r\nHost origin\r\n\r\n"),
    ("bad-version", b"GET / HTTP/x\r\nHost: origin\r\n\r\n"),
    ("bad-length", b"PUT / HTTP/1.1\r\nHost: origin\r\nContent-Length: many\r\n\r\n"),
    ("length-and-chunks", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
]


async def ask(url: str, request: bytes) -> tuple[str, dict[str, str], bytes]:
    """Send bytes and read to the end of the connection: status line, headers, body."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize("request_bytes", [case[1] for case in GARBAGE], ids=[case[0] for case in GARBAGE])
@pytest.mark.parametrize("listener", ["publish", "deliver", "admin"])
async def test_garbage_is_answered_like_any_other_refusal(
    site: Site, listener: str, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    status, headers, body = await ask(getattr(site.running, listener), request_bytes)
    assert status.startswith(("HTTP/1.1 400", "HTTP/1.0 400"))
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "public, max-age=1, stale-while-revalidate=0"
    assert headers["Server"] == "Live-Origin"
    assert json.loads(body)["type"] == "urn:live-origin:problem:bad-request"
    # The level is about us: what a stranger sends is no error of ours, and costs no traceback.
    assert {record.levelname for record in caplog.records if record.name != "asyncio"} == {"INFO"}


async def test_an_answer_that_has_begun_is_cut_so_that_no_cache_keeps_half_of_it() -> None:
    protocol = OriginServer(Mock())()
    request = make_mocked_request("GET", "/", writer=Mock(output_size=1))
    with pytest.raises(ConnectionError, match="the answer has begun"):
        protocol.handle_error(request, 500)


def test_a_reply_becomes_a_response_with_our_name_on_it() -> None:
    response = response_of(problem(Problem.UNKNOWN_NAME, "Nothing here.", cache_policy.unknown()))
    assert response.status == 404
    assert response.headers["Server"] == "Live-Origin"
    assert response.headers["Cache-Control"] == "public, max-age=5, stale-while-revalidate=0"
    assert response.keep_alive is None, "HTTP decides"


def test_a_reply_can_end_its_connection() -> None:
    assert response_of(Reply(200, "stored", close=True)).keep_alive is False


def test_a_view_of_shared_memory_is_sent_as_any_body() -> None:
    """However large: aiohttp warns of large payloads, and names them after their type."""
    body = bytes(2_000_000)
    response = response_of(Reply(200, "served", {"Content-Type": "video/mp4"}, memoryview(body)))
    assert response.body == body
    assert response.content_type == "video/mp4"
