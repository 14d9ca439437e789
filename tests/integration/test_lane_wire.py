"""The two lanes of the deliver listener on one wire: the same answers, in the order of the requests, none lost."""

import asyncio
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest

from origin import lane, turnout
from origin.heads import Asked, KnownHeads
from tests.integration.lane_site import HELD, NEW, NEXT, encoded, fill, segment_at, until_read
from tests.origin.raw_client import RawClient, body_of, connected, fields_of, request, status_of
from tests.origin.site import EXPIRED, NUMBER, Site, open_site, until

ETAG: Final = "{etag}"
PEERS: Final = [{"url": "http://west.example:8080", "region": "us-west-2"}]

# What it is called, method, path, fields of the request.
ANSWERS: Final[list[tuple[str, str, str, list[str]]]] = [
    ("whole", "GET", NEW, []),
    ("with-a-query", "GET", f"{NEW}?a=1&b=%20", []),
    ("with-a-version", "GET", NEW.replace("derby", "derby@7"), []),
    ("head", "HEAD", NEW, []),
    ("part", "GET", NEW, ["Range: bytes=3-9"]),
    ("last-bytes", "GET", NEW, ["Range: bytes=-4"]),
    ("several-parts", "GET", NEW, ["Range: bytes=0-1,3-4"]),
    ("two-range-lines", "GET", NEW, ["Range: bytes=0-1", "Range: bytes=3-4"]),
    ("head-with-range", "HEAD", NEW, ["Range: bytes=3-9"]),
    ("not-modified", "GET", NEW, [f"If-None-Match: {ETAG}"]),
    ("not-modified-of-two-lines", "GET", NEW, ['If-None-Match: "x"', f"If-None-Match: {ETAG}"]),
    ("head-not-modified", "HEAD", NEW, [f"If-None-Match: {ETAG}"]),
    ("failed-condition", "GET", NEW, ['If-Match: "other"']),
    ("head-failed-condition", "HEAD", NEW, ['If-Match: "other"']),
    ("no-such-part", "GET", NEW, ["Range: bytes=99999-"]),
    ("unknown-event", "GET", "/ascot/v720/1.m4s", []),
    ("unknown-name", "GET", "/derby/v999/1.m4s", []),
    ("head-unknown-name", "HEAD", "/derby/v999/1.m4s", []),
    ("no-path", "GET", "/", []),
    ("doubled-slash", "GET", f"/{NEW}", []),
    ("dots", "GET", "/derby/../derby/v720/1.m4s", []),
    ("all-plain-characters", "GET", "/derby/azAZ09@._~$=,+:-", []),
    ("before-the-window", "GET", f"/derby/v720/{EXPIRED}.m4s", []),
    ("too-early", "GET", f"/derby/v720/{NUMBER + 9}.m4s", []),
    ("head-at-the-edge", "HEAD", HELD, []),
    ("manifest", "GET", "/derby/live.mpd", []),
    ("head-manifest", "HEAD", "/derby/live.mpd", []),
    ("no-manifest", "GET", "/derby/other.mpd", []),
    ("init", "GET", "/derby/v720/init.mp4", []),
    ("no-init", "HEAD", "/derby/a128/init.mp4", []),
    ("probe", "GET", "/healthz", []),
    ("head-probe", "HEAD", "/healthz", []),
    ("no-body", "GET", NEW, ["Content-Length: 0"]),
    ("asked-to-close", "GET", NEW, ["Connection: close"]),
    ("asked-to-stay", "GET", NEW, ["Connection: keep-alive"]),
]


async def etag_of(client: RawClient) -> str:
    return fields_of(await client.ask(request(NEW, method="HEAD")))["ETag"]


@pytest.fixture(name="opened")
def _opened() -> Any:
    """Count what the fast lane took."""
    taken: list[str] = []
    former = lane.LaneDesk.open

    def open_and_count(desk: lane.LaneDesk, connection: lane.Connection, asked: Asked) -> lane.Exchange | None:
        taken.append(asked.request.raw_path)
        return former(desk, connection, asked)

    with patch.object(lane.LaneDesk, "open", open_and_count):
        yield taken


async def ask_anew(site: Site, data: bytes) -> bytes:
    """Ask on a connection of its own."""
    async with connected(site.origin.deliver_address) as client:
        return await client.ask(data)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_both_lanes_give_the_same_bytes(tmp_path: Path, opened: list[str], version: str) -> None:
    async with open_site(tmp_path, peers=PEERS, region="us-east-1") as site:
        await fill(site)
        async with connected(site.origin.deliver_address) as client:
            etag = await etag_of(client)
        for case, method, path, lines in ANSWERS:
            data = request(path, *(line.replace(ETAG, etag) for line in lines), method=method, version=version)
            opened.clear()
            with patch.object(KnownHeads, "find", return_value=None):
                parsed = await ask_anew(site, data)
                assert len(opened) == 1, case
                with patch.object(turnout, "plain_request", return_value=None):
                    slow = await ask_anew(site, data)
                assert len(opened) == 1, case
            with patch.object(turnout, "plain_request", side_effect=lane.plain_request) as reads_anew:
                known = await ask_anew(site, data)
            assert len(opened) == 2, case
            assert bool(reads_anew.call_count) == (version == "1.0" or "?" in path), case
            assert parsed == slow == known, case


# What it is called, the request, the status of its answer.
ODD: Final[list[tuple[str, bytes, int]]] = [
    ("percent", encoded(NEW), 200),
    ("with-a-body", request(NEW, "Content-Length: 5") + b"12345", 200),
    ("with-chunks", request(NEW, "Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n\r\n", 200),
    ("with-empty-chunks", request(NEW, "Transfer-Encoding: chunked") + b"0\r\n\r\n", 200),
    ("expecting", request(NEW, "Expect: 100-continue"), 200),
    ("upgrading", request(NEW, "Connection: upgrade", "Upgrade: websocket"), 200),
    ("upgrading-to-what-is-unknown", request(NEW, "Connection: upgrade", "Upgrade: h2c"), 200),
    ("absolute", request(f"http://origin{NEW}"), 200),
    ("with-a-fragment", request(f"{NEW}#t=1"), 200),
    ("escaped-line-break", request("/derby/%0d%0aX:%201/1.m4s"), 404),
    ("post", request(NEW, "Content-Length: 0", method="POST"), 405),
    ("delete", request(NEW, method="DELETE"), 405),
    ("options-for-all", request("*", method="OPTIONS"), 405),
]


@pytest.mark.parametrize(("data", "status"), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
async def test_what_is_not_plain_goes_the_other_way_and_the_connection_goes_on(
    tmp_path: Path, opened: list[str], data: bytes, status: int
) -> None:
    async with open_site(tmp_path, peers=PEERS, region="us-east-1") as site:
        await fill(site)
        async with connected(site.origin.deliver_address) as client:
            answers = await client.ask_all([request(NEW), data])
            assert [status_of(answer) for answer in answers] == [200, status]
            assert b"\r\nX:" not in answers[1]
            assert opened == [NEW]
            head, whole = await client.ask_all([request(NEW, method="HEAD"), request(NEW)])
            assert (status_of(head), whole) == (200, answers[0])


@pytest.mark.parametrize("path", [b"/derby/\xc3\xa9", b"/derby/\xff\xfe", b"/derby/\x00", b"/de rby"], ids=repr)
async def test_a_target_that_is_none_is_told(site: Site, path: bytes) -> None:
    async with connected(site.origin.deliver_address) as client:
        assert status_of(await client.ask(request("/healthz"))) == 200
        answer = await client.ask(b"GET " + path + b" HTTP/1.1\r\nHost: origin\r\n\r\n")
        assert (status_of(answer), b"problem:bad-request" in answer) == (400, True)
        assert await client.rest() == b""


async def test_a_target_that_is_too_long_is_told(site: Site) -> None:
    async with connected(site.origin.deliver_address) as client:
        assert [status_of(await client.ask(request("/" + "a" * count))) for count in (8_000, 9_000)] == [404, 414]
        assert await client.rest() == b""


# -- Many requests at once


@pytest.mark.parametrize("count", [31, 32, 33, 100, 1_000])
async def test_however_many_come_at_once_all_are_answered(site: Site, count: int) -> None:
    await fill(site)
    paths = [(NEW, "/healthz", "/ascot/x", f"/derby/v720/{NUMBER + 9}.m4s")[n % 4] for n in range(count)]
    async with connected(site.origin.deliver_address) as client:
        expected = {path: await client.ask(request(path)) for path in set(paths)}
        assert await client.ask_all([request(path) for path in paths]) == [expected[path] for path in paths]


MIXED: Final = [
    request(NEW),
    encoded(NEW),
    request(HELD),
    request(NEW, method="HEAD"),
    request(NEW, method="DELETE"),
    request("/ascot/x"),
    encoded(HELD),
    request(NEW, "Range: bytes=0-3"),
]


@pytest.mark.parametrize("first", range(len(MIXED)))
async def test_both_lanes_and_held_requests_are_answered_in_their_order(site: Site, first: int) -> None:
    await fill(site)
    requests = MIXED[first:] + MIXED[:first]
    async with connected(site.origin.deliver_address) as client, asyncio.TaskGroup() as group:
        answering = group.create_task(client.ask_all(requests))
        await until(lambda: site.origin.waiters.count == 1)
        await site.put(NEXT)
        statuses = [status_of(answer) for answer in await answering]
        expected = [200, 200, 200, 200, 405, 404, 200, 206]
        assert statuses == expected[first:] + expected[:first]
        bodies = [body_of(answer) for answer in await answering]
        assert bodies[-first % 8] == segment_at(NUMBER)
        assert bodies[(2 - first) % 8] == bodies[(6 - first) % 8] == segment_at(NEXT)
    assert site.origin.waiters.count == 0


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
async def test_what_comes_behind_a_held_request_is_answered_behind_it(site: Site, count: int) -> None:
    await fill(site)
    async with connected(site.origin.deliver_address) as client, asyncio.TaskGroup() as group:
        client.send(request(HELD))
        await until(lambda: site.origin.waiters.count == 1)
        answering = group.create_task(client.ask_all([request(NEW)] * count))
        await site.put(NEXT)
        assert await client_first(client, answering) == segment_at(NEXT)


async def client_first(client: RawClient, answering: "asyncio.Task[list[bytes]]") -> bytes:
    """Return the body of the first of the answers, which is one more than was asked for in the task."""
    answers = [*await answering, await client.receive()]
    assert [body_of(answer) for answer in answers[1:]] == [segment_at(NUMBER)] * (len(answers) - 1)
    return body_of(answers[0])


async def test_requests_may_be_split_anywhere(site: Site) -> None:
    await fill(site)
    data = request(NEW, "Range: bytes=0-3") + request("/healthz", method="HEAD") + encoded(NEW)
    methods = ("GET", "HEAD", "GET")
    async with connected(site.origin.deliver_address) as client:
        client.send(data)
        whole = [await client.receive(method) for method in methods]
        for cut in range(1, len(data)):
            client.send(data[:cut])
            await until_read()
            client.send(data[cut:])
            assert [await client.receive(method) for method in methods] == whole, cut
        for byte in range(len(data)):
            client.send(data[byte : byte + 1])
            await until_read()
        assert [await client.receive(method) for method in methods] == whole


@pytest.mark.parametrize("first", [request(HELD), encoded(HELD)], ids=["fast", "slow"])
async def test_what_is_no_request_is_answered_behind_those_before_it(site: Site, first: bytes) -> None:
    async with connected(site.origin.deliver_address) as client:
        client.send(first)
        await until(lambda: site.origin.waiters.count == 1)
        client.send(b"\x00 is no method\r\n\r\n")
        await until_read()
        await site.put(NEXT)
        assert [status_of(await client.receive()) for _ in range(2)] == [200, 400]
        assert await client.rest() == b""
