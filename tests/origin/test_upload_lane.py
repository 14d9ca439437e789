"""Uploads past aiohttp: which are, how their bodies come, and that nobody can move the end of a body.

What becomes of a connection that ends, and of what goes wrong, is in `test_upload_lane_ends`.
"""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import patch

import pytest

from origin.spool import STREAM_BYTES
from origin.upload_lane import _InPlace
from tests.origin.plain import JUNK
from tests.origin.raw_client import connected, request, status_of
from tests.origin.site import until
from tests.origin.upload_lanes import UploadLanes, chunked, head_of, open_uploads, path_of, upload

BODY = b"the whole segment"
MIB = 1024 * 1024
GZIP = gzip.compress(b"body", mtime=0)
LARGE = bytes(range(256)) * (MIB // 256)
# Bodies that a parser must not look into.
HOSTILE = [
    upload(7, b"smuggled"),
    b"\r\n\r\n" + upload(7, b"smuggled"),
    b"x\r\n\r\nGET / HTTP/1.1\r\nHost: origin\r\n\r\n",
    b"0\r\n\r\n",
    b"\r\n" * 50,
]


@pytest.fixture
async def lanes(tmp_path: Path) -> AsyncIterator[UploadLanes]:
    async with open_uploads(tmp_path) as lanes:
        yield lanes


# -- How a body comes


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_an_upload_in_one_piece_is_taken_without_aiohttp(lanes: UploadLanes, method: str) -> None:
    async with connected(lanes.address) as client:
        for number in range(3):
            body = b"%d" % number
            answer = await client.ask(head_of(path_of(number), len(body), method=method) + body)
            assert status_of(answer) == 201
    assert (lanes.slow, lanes.stored) == ([], [b"0", b"1", b"2"])


@pytest.mark.parametrize("cuts", [(0,), (1,), (5, 11), tuple(range(1, len(BODY)))], ids=len)
async def test_a_body_may_come_after_its_head_and_in_pieces(lanes: UploadLanes, cuts: tuple[int, ...]) -> None:
    async with connected(lanes.address) as client:
        await client.ask(upload(0, b"first"))
        connection = lanes.connection
        connection.data_received(head_of(path_of(1), len(BODY)))
        for start, end in zip((0, *cuts), (*cuts, len(BODY)), strict=True):
            connection.data_received(BODY[start:end])
        assert status_of(await client.receive()) == 201
    assert (lanes.slow, lanes.stored[1:]) == ([], [BODY])


@pytest.mark.parametrize("size_bytes", [128 * 1024, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
@pytest.mark.parametrize("with_head_bytes", [0, 1, 60_000])
async def test_a_large_body_is_received_in_place_and_the_next_head_is_not(
    lanes: UploadLanes, size_bytes: int, with_head_bytes: int
) -> None:
    body = (LARGE * 4)[:size_bytes]
    received: list[int] = []
    note = _InPlace.buffer_updated

    def buffer_updated(self: _InPlace, nbytes: int) -> None:
        received.append(nbytes)
        note(self, nbytes)

    async with connected(lanes.address) as client:
        with patch.object(_InPlace, "buffer_updated", buffer_updated):
            await client.ask(upload(0, b"first"))
            lanes.connection.data_received(head_of(path_of(1), size_bytes) + body[:with_head_bytes])
            client.send(body[with_head_bytes:] + upload(2, BODY))
            answers = [status_of(await client.receive()) for _ in range(2)]
    assert answers == [201, 201]
    assert set(lanes.stored) == {b"first", body, BODY}
    left_bytes = size_bytes - with_head_bytes
    assert sum(received) == (left_bytes if left_bytes >= 128 * 1024 else 0)


async def test_a_body_larger_than_what_stays_in_memory_goes_to_disk_while_it_comes(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client:
        client.send(head_of(path_of(0), 4 * STREAM_BYTES), LARGE * 3)
        await until(lambda: sum(map(len, lanes.node.held.incoming_bytes.values())) >= STREAM_BYTES)
        assert lanes.stored == []
        assert status_of(await client.ask(LARGE)) == 201
    assert (lanes.slow, lanes.stored) == ([], [LARGE * 4])


# -- Which bytes are whose


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_body_is_never_taken_for_a_request_wherever_it_is_cut(
    lanes: UploadLanes, body: bytes, is_taken: bool, parser: str
) -> None:
    head = head_of(path_of(1) if is_taken else "/derby/none/x", len(body))
    data = head + body
    async with connected(lanes.address) as client:
        await client.ask(upload(0, b"first"))
        for count, cut in enumerate((0, len(head), len(head) + 1, len(head) + len(body) // 2, len(data) - 1), 2):
            lanes.connection.data_received(data[:cut])
            lanes.connection.data_received(data[cut:])
            assert status_of(await client.receive()) in ((200, 201) if is_taken else (404,))
            assert len(lanes.told) == count
        await client.ask(upload(2, BODY))
    assert lanes.slow == ([] if is_taken else ["/derby/none/x"] * 5)
    assert lanes.stored == [b"first", *([body] if is_taken else []), BODY]


async def test_every_cut_of_two_uploads_gives_two_uploads(lanes: UploadLanes) -> None:
    first, second = upload(0, BODY), upload(1, b"\r\n\r\nPUT")
    data = first + second
    for cut in range(1, len(data)):
        async with connected(lanes.address) as client:
            await until(lambda: len(lanes.server.connections) == 1)
            lanes.connection.data_received(data[:cut])
            lanes.connection.data_received(data[cut:])
            assert [status_of(await client.receive()) for _ in range(2)] in ([201, 201], [200, 200])
        await until(lambda: not lanes.server.connections)
    assert set(lanes.stored) == {BODY, b"\r\n\r\nPUT"}


@pytest.mark.parametrize(
    "wire",
    [
        head_of(path_of(1).replace("v", "%76", 1), 4) + b"body",
        request(path_of(1), "Content-Length: 4", "Expect: 100-continue", method="PUT") + b"body",
        head_of(path_of(1), len(GZIP), "Content-Encoding: gzip") + GZIP,
        request(f"http://origin{path_of(1)}", "Content-Length: 4", method="PUT") + b"body",
        request(path_of(1) + "?x=1", "Content-Length: 4", method="PUT") + b"body",
        head_of(path_of(1), 0),
        request(path_of(1), method="PUT"),
        head_of(path_of(1), 4, method="DELETE") + b"body",
        head_of("/derby/none/x", 4) + b"body",
        head_of(path_of(99_999), 4) + b"body",
        b"\r\n" + upload(1, b"body"),
    ],
    ids=["escaped", "expect", "gzip", "absolute", "query", "empty", "no-length", "delete", "unknown", "early", "line"],
)
async def test_what_the_lane_does_not_take_goes_the_other_way_and_the_next_upload_is_taken(
    lanes: UploadLanes, wire: bytes, parser: str
) -> None:
    async with connected(lanes.address) as client:
        for number in range(2):
            answer = await client.ask(wire)
            if b"100 Continue" in answer:
                answer = await client.receive()
            assert len(lanes.slow) == number + 1
            assert status_of(await client.ask(upload(2 + number, BODY))) == 201
            assert len(lanes.slow) == number + 1


@pytest.mark.parametrize(
    "wire", [chunked(1, BODY), request("/", "Connection: upgrade", "Upgrade: h2c"), b"\r\n\r\n" + request("/")]
)
async def test_a_connection_that_cannot_be_followed_stays_with_aiohttp(
    lanes: UploadLanes, wire: bytes, parser: str
) -> None:
    async with connected(lanes.address) as client:
        assert status_of(await client.ask(wire)) in (201, 404, 405)
        assert status_of(await client.ask(upload(2, BODY))) == 201
    assert lanes.slow[-1] == path_of(2)


async def test_what_came_with_a_head_that_cannot_be_parsed_is_no_request(lanes: UploadLanes, parser: str) -> None:
    async with connected(lanes.address) as client:
        client.send(upload(0, BODY) + JUNK + upload(7, b"smuggled"))
        assert [status_of(await client.receive()) for _ in range(2)] == [201, 400]
        await until(lambda: not lanes.server.connections)
    assert lanes.stored == [BODY]


# -- Order, and how many


async def test_uploads_that_come_at_once_are_answered_in_their_order(lanes: UploadLanes, parser: str) -> None:
    wires = [upload(n, b"%d" % n) if n % 3 else head_of("/derby/none/x", 3) + b"abc" for n in range(11)]
    async with connected(lanes.address) as client:
        for statuses in (201, 200):
            answers = await client.ask_all(wires)
            assert [status_of(answer) for answer in answers] == [statuses if n % 3 else 404 for n in range(11)]


@pytest.mark.parametrize("is_first_taken", [True, False])
async def test_what_comes_while_an_upload_is_being_stored_is_answered_behind_it(
    lanes: UploadLanes, is_first_taken: bool
) -> None:
    first = upload(1, BODY) if is_first_taken else upload(1, BODY).replace(b"v", b"%76", 1)
    async with connected(lanes.address) as client:
        with lanes.node.bodies.gate("write") as gate:
            client.send(first)
            await gate.reached()
            client.send(upload(2, b"two") + head_of("/derby/none/x", 1) + b"x" + upload(3, b"three"))
            await until(lambda: lanes.connection.heads_count == 4)
            assert lanes.told == []
        assert [status_of(await client.receive()) for _ in range(4)] == [201, 201, 404, 201]


async def test_more_than_aiohttp_queues_wait_in_its_parser(lanes: UploadLanes, parser: str) -> None:
    async with connected(lanes.address) as client:
        await client.ask(upload(0, b"first"))
        connection = lanes.connection
        connection.data_received(head_of("/derby/none/x", 1).join([b"", *[b"x"] * 1_000]))
        assert len(connection.queued) <= 33
        assert [status_of(await client.receive()) for _ in range(999)] == [404] * 999
        assert lanes.refused == [], "what the parser holds back is no head that is too long"


async def test_a_client_that_takes_no_answers_is_not_given_more(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client:
        await client.ask(upload(0, BODY))
        lanes.connection.pause_writing()
        client.send(upload(1, BODY))
        await until(lambda: lanes.slow == [path_of(1)])
        lanes.connection.resume_writing()
        assert status_of(await client.receive()) == 201
