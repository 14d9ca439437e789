"""What cannot even be parsed gets an answer of ours, too: one that caches may keep, and that says little."""

import asyncio
import json
import logging

import pytest

from tests.origin.site import Site

GARBAGE: list[tuple[str, bytes]] = [
    ("no-http", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("unknown-method-with-odd-characters", b"G\x01T / HTTP/1.1\r\nHost: origin\r\n\r\n"),
    ("header-without-a-colon", b"GET / HTTP/1.1\r\nHost origin\r\n\r\n"),
    ("long-target", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: origin\r\n\r\n"),
    ("long-header", b"GET / HTTP/1.1\r\nHost: origin\r\nX: " + b"x" * 9000 + b"\r\n\r\n"),
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
