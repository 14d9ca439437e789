"""Bodies on the wire: what has arrived whole is kept whatever the client does next, what was cut leaves no trace.

ffmpeg closes its connection right after the last byte of each body and never looks at the answer. So here the
disk stands still until every client has gone: the origin is busy with one body while the end of the connection,
and the bodies behind it, arrive.
"""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from origin.receive import UploadProtocol, UploadServer, read_body
from storage.base import BodyKey, Incoming
from tests.integration.wire import (
    PATIENCE_S,
    TEXT_RENDITION,
    Close,
    Connection,
    Framing,
    RequestLog,
    ask,
    chunk,
    head,
    in_threads,
    key_of,
    path_of,
    request_log,
    send_and_leave,
    upload,
)
from tests.support.origins import Running, make_settings, running_origin
from tests.support.packagers import SEGMENT_MS, number_now, until_ms

CLIENTS: Final = 100
# Far above the 512 KiB of a body at which aiohttp pauses reading by default.
LARGE_BYTES: Final = 4_000_000
BODY: Final = bytes(range(250)) * 20

for_each_end = pytest.mark.parametrize("how", list(Close), ids=lambda how: how.value)
for_each_framing = pytest.mark.parametrize("framing", list(Framing), ids=lambda framing: framing.value)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_origin(make_settings(tmp_path, event={"renditions": [TEXT_RENDITION]})) as running:
        yield running


@pytest.fixture
async def log() -> AsyncIterator[RequestLog]:
    """What the origin says of requests that have ended."""
    with request_log() as lines:
        yield lines


@pytest.fixture
def disk(running: Running, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Write bodies, and pieces of large ones, only while this is set."""
    moves = asyncio.Event()
    bodies = running.origin.stores.bodies
    write_at_once, open_incoming = bodies.write, bodies.incoming

    async def write(key: BodyKey, body: bytes) -> None:
        await moves.wait()
        await write_at_once(key, body)

    def incoming() -> Incoming:
        made = open_incoming()
        write_piece_at_once = made.write

        async def write_piece(piece: bytes) -> None:
            await moves.wait()
            await write_piece_at_once(piece)

        monkeypatch.setattr(made, "write", write_piece)
        return made

    monkeypatch.setattr(bodies, "write", write)
    monkeypatch.setattr(bodies, "incoming", incoming)
    return moves


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Released once for every connection that the origin has seen end."""
    ends = asyncio.Semaphore(0)
    notice = UploadProtocol.connection_lost

    def connection_lost(self: UploadProtocol, exc: BaseException | None) -> None:
        notice(self, exc)
        ends.release()

    monkeypatch.setattr(UploadProtocol, "connection_lost", connection_lost)
    return ends


async def take(ends: asyncio.Semaphore, count: int) -> None:
    """Wait until that many connections have ended."""
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(count):
            await ends.acquire()


def make_body(number: int, size: int) -> bytes:
    """Return a body that no other number has."""
    return random.Random(number).randbytes(size)


def stored_files(running: Running) -> dict[str, Path]:
    """Return every file in the folder of bodies, by name."""
    folder = Path(running.origin.settings.storage.path) / "bodies"
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


def kept(running: Running, bodies: dict[int, bytes]) -> list[int]:
    """Return the numbers that are chosen and lie on disk with these bytes."""
    files, numbers = stored_files(running), []
    for number, body in bodies.items():
        choice = running.origin.catalog.choice(key_of(number))
        if choice is not None:
            name = f"cc~{number}~a~{choice.candidate.digest}"
            if name in files and files[name].read_bytes() == body:
                numbers.append(number)
    return numbers


@for_each_end
@for_each_framing
async def test_a_whole_body_is_kept_although_the_client_leaves_at_once(
    running: Running, log: RequestLog, disk: asyncio.Event, gone: asyncio.Semaphore, framing: Framing, how: Close
) -> None:
    """One hundred of one hundred, from 1 byte to 4 MB."""
    first = number_now() - CLIENTS
    sizes = [LARGE_BYTES if index % 25 == 24 else int(1.13**index) for index in range(CLIENTS)]
    bodies = {first + index: make_body(first + index, size) for index, size in enumerate(sizes)}
    requests = [upload(path_of(number), body, framing) for number, body in bodies.items()]
    address = running.origin.publish_address
    await in_threads([partial(send_and_leave, address, request, how) for request in requests])
    await take(gone, CLIENTS)
    assert not log.lines
    disk.set()
    await log.until_count(CLIENTS)
    assert log.outcomes == {"stored": CLIENTS}
    assert kept(running, bodies) == list(bodies)


@for_each_end
@for_each_framing
@pytest.mark.parametrize(
    ("rows_count", "row_length", "size"),
    [(10, 10, 2_000), (4, 10, 300_000), (4, 2, LARGE_BYTES)],
    ids=["10-small", "10-medium", "2-large"],
)
async def test_whole_bodies_in_a_row_are_all_kept_although_the_client_leaves_at_once(
    running: Running,
    log: RequestLog,
    disk: asyncio.Event,
    gone: asyncio.Semaphore,
    rows_count: int,
    row_length: int,
    size: int,
    framing: Framing,
    how: Close,
) -> None:
    """ffmpeg sends on in persistent mode, whatever has become of the request before."""
    count = rows_count * row_length
    first = number_now() - count
    bodies = {number: make_body(number, size) for number in range(first, first + count)}
    requests = [upload(path_of(number), body, framing) for number, body in bodies.items()]
    rows = [b"".join(requests[at : at + row_length]) for at in range(0, count, row_length)]
    address = running.origin.publish_address
    await in_threads([partial(send_and_leave, address, row, how) for row in rows])
    await take(gone, rows_count)
    assert not log.lines
    disk.set()
    await log.until_count(count)
    assert log.outcomes == {"stored": count}
    assert kept(running, bodies) == list(bodies)


@for_each_end
async def test_a_whole_body_is_kept_behind_an_answer_that_finds_the_client_gone(
    running: Running, log: RequestLog, disk: asyncio.Event, how: Close
) -> None:
    """Since Python 3.12 a DELETE is answered before the event loop gets to tell of the end of its connection."""
    disk.set()
    first = number_now() - 2
    bodies = {number: make_body(number, 2_000) for number in (first, first + 1)}
    uploads = [upload(path_of(number), body) for number, body in bodies.items()]
    deletes_count = 4
    row = uploads[0] + head("DELETE", path_of(first)) * deletes_count + uploads[1]
    stands_still, has_left = threading.Event(), threading.Event()

    def stand_still() -> None:
        """Keep the event loop, just before the first answer, from seeing that the client goes."""
        stands_still.set()
        assert has_left.wait(PATIENCE_S)

    def publish() -> None:
        with Connection(running.origin.publish_address) as connection:
            connection.send(row)
            assert stands_still.wait(PATIENCE_S)
            connection.close(how)
        has_left.set()

    log.before_answer = stand_still
    await asyncio.to_thread(publish)
    await log.until_count(len(uploads) + deletes_count)
    assert log.outcomes == {"stored": len(uploads), "delete-ignored": deletes_count}
    assert kept(running, bodies) == list(bodies)


@for_each_end
@for_each_framing
async def test_a_whole_body_waits_for_a_handler_that_reads_late(
    gone: asyncio.Semaphore, framing: Framing, how: Close
) -> None:
    received: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = None
        try:
            await take(gone, 1)
            body = await read_body(request, LARGE_BYTES, idle_ms=1_000)
        finally:
            received.put_nowait(body)
        return web.Response(status=201)

    server = UploadServer(handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        await asyncio.to_thread(send_and_leave, runner.addresses[0], upload("/", BODY, framing), how)
        assert await received.get() == BODY
    finally:
        await runner.cleanup()


async def test_a_body_may_begin_a_whole_segment_after_its_head(running: Running, disk: asyncio.Event) -> None:
    """As ffmpeg's DASH muxer has it, which opens the upload of a segment when its media begins."""
    disk.set()
    number = number_now()

    async def publish(number: int, framing: Framing) -> int:
        request = upload(path_of(number), BODY, framing)
        head_bytes = request.index(b"\r\n\r\n") + 4
        with Connection(running.origin.publish_address) as connection:
            await asyncio.to_thread(connection.send, request[:head_bytes])
            await until_ms(sent_ms)
            await asyncio.to_thread(connection.send, request[head_bytes:])
            answer = await asyncio.to_thread(connection.receive)
        assert answer.status == 201
        late_ms: int = answer.json["late_ms"] + answer.json["due_ms"] - sent_ms
        return late_ms

    sent_ms = time.time_ns() // 1_000_000 + SEGMENT_MS
    # One of the next segment, too: ffmpeg is a segment early with every head.
    late_ms = await asyncio.gather(publish(number, Framing.LENGTH), publish(number + 1, Framing.CHUNKED))
    # A segment has arrived with its last byte, not with its head.
    assert all(0 <= ms < SEGMENT_MS // 2 for ms in late_ms)
    assert kept(running, {number: BODY, number + 1: BODY}) == [number, number + 1]


CUTS: Final = [
    ("length-without-a-byte", Framing.LENGTH, b""),
    ("length-but-one-byte", Framing.LENGTH, BODY[:-1]),
    ("chunked-without-a-byte", Framing.CHUNKED, b""),
    ("within-a-size", Framing.CHUNKED, b"13"),
    ("within-a-chunk", Framing.CHUNKED, chunk(BODY)[:-100]),
    ("between-chunks", Framing.CHUNKED, chunk(BODY) + chunk(BODY)),
    ("within-the-last-chunk", Framing.CHUNKED, chunk(BODY) + b"0\r\n"),
]


@for_each_end
@pytest.mark.parametrize(("framing", "sent"), [case[1:] for case in CUTS], ids=[case[0] for case in CUTS])
async def test_a_cut_body_leaves_no_trace(
    running: Running, log: RequestLog, disk: asyncio.Event, framing: Framing, sent: bytes, how: Close
) -> None:
    disk.set()
    number = number_now() - 1
    address = running.origin.publish_address
    whole = upload(path_of(number), BODY, framing)
    head_bytes = whole.index(b"\r\n\r\n") + 4
    await asyncio.to_thread(send_and_leave, address, whole[:head_bytes] + sent, how)
    await log.until_count(1)
    assert log.outcomes == {"truncated": 1}
    assert running.origin.catalog.candidates(key_of(number)) == ()
    assert running.origin.catalog.choice(key_of(number)) is None
    assert not stored_files(running)
    answer = await asyncio.to_thread(ask, address, whole)
    assert answer.status == 201
    assert kept(running, {number: BODY}) == [number]


@for_each_end
async def test_a_cut_body_behind_a_whole_one_takes_only_itself_away(
    running: Running, log: RequestLog, disk: asyncio.Event, gone: asyncio.Semaphore, how: Close
) -> None:
    first = number_now() - 2
    whole, cut = (upload(path_of(number), BODY, Framing.CHUNKED) for number in (first, first + 1))
    await asyncio.to_thread(send_and_leave, running.origin.publish_address, whole + cut[:-3], how)
    await take(gone, 1)
    disk.set()
    await log.until_count(1)
    assert log.lines[0]["outcome"] == "stored"
    assert kept(running, {first: BODY, first + 1: BODY}) == [first]
    assert len(stored_files(running)) == 1


async def test_a_connection_carries_a_hundred_uploads(running: Running, log: RequestLog, disk: asyncio.Event) -> None:
    disk.set()
    first = number_now() - CLIENTS
    bodies = {number: make_body(number, 3_000) for number in range(first, first + CLIENTS)}

    def publish() -> list[int]:
        statuses = []
        with Connection(running.origin.publish_address) as connection:
            for index, (number, body) in enumerate(bodies.items()):
                connection.send(upload(path_of(number), body, list(Framing)[index % 2]))
                statuses.append(connection.receive().status)
        return statuses

    assert await asyncio.to_thread(publish) == [201] * CLIENTS
    assert kept(running, bodies) == list(bodies)
