"""Large bodies on the wire: to disk while they arrive, once through memory, and nothing is left beside them."""

import asyncio
import base64
import hashlib
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from origin.spool import STREAM_BYTES
from tests.integration.wire import (
    PATIENCE_S,
    TEXT_RENDITION,
    Answer,
    Close,
    Connection,
    Framing,
    RequestLog,
    ask,
    chunk,
    head,
    path_of,
    request_log,
    send_and_leave,
    upload,
)
from tests.storage.disks import files_below, files_of_at_most
from tests.support.origins import Running, make_settings, running_origin
from tests.support.packagers import number_now

MIB: Final = 1024 * 1024
LARGE: Final = bytes(range(256)) * (5 * MIB // 256)
SMALL: Final = b"WEBVTT\n"
HUGE_BYTES: Final = 64 * MIB
# Beside the body: what the connection buffers, a piece on its way to the disk, and one that gathers.
BESIDE_BYTES: Final = 16 * MIB

for_each_end = pytest.mark.parametrize("how", list(Close), ids=lambda how: how.value)
for_each_framing = pytest.mark.parametrize("framing", list(Framing), ids=lambda framing: framing.value)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    settings = make_settings(tmp_path, event={"renditions": [TEXT_RENDITION]})
    # Shorter than a file may say, so that a body that pauses is given up within the patience of a test.
    limits = settings.limits.model_copy(update={"body_idle_ms": 500})
    async with running_origin(settings.model_copy(update={"limits": limits})) as running:
        yield running


@pytest.fixture
async def log() -> AsyncIterator[RequestLog]:
    with request_log() as lines:
        yield lines


def stored_files(running: Running) -> list[str]:
    return files_below(Path(running.origin.settings.storage.path) / "bodies")


async def exchange(running: Running, *requests: bytes) -> list[Answer]:
    """Send requests on one connection, each after the answer to the one before."""

    def send() -> list[Answer]:
        answers = []
        with Connection(running.origin.publish_address) as connection:
            for request in requests:
                connection.send(request)
                answers.append(connection.receive())
        return answers

    return await asyncio.to_thread(send)


@for_each_framing
async def test_a_large_body_is_stored_and_delivered(running: Running, framing: Framing) -> None:
    number = number_now() - 1
    (answer,) = await exchange(running, upload(path_of(number), LARGE, framing))
    assert (answer.status, answer.json["bytes"]) == (201, len(LARGE))
    assert len(stored_files(running)) == 1
    delivered = await asyncio.to_thread(ask, running.origin.deliver_address, head("GET", f"/derby/cc/{number}.vtt"))
    assert delivered.body == LARGE


@for_each_framing
async def test_an_upload_takes_its_size_in_memory_once(running: Running, framing: Framing) -> None:
    path, piece = path_of(number_now() - 1), bytes(MIB)

    def publish() -> int:
        with Connection(running.origin.publish_address) as connection:
            if framing is Framing.LENGTH:
                connection.send(head("PUT", path, Content_Length=HUGE_BYTES))
                for _ in range(HUGE_BYTES // len(piece)):
                    connection.send(piece)
            else:
                connection.send(head("PUT", path, Transfer_Encoding="chunked"))
                for _ in range(HUGE_BYTES // len(piece)):
                    connection.send(chunk(piece))
                connection.send(chunk(b""))
            return connection.receive().status

    tracemalloc.start()
    try:
        before_bytes = tracemalloc.get_traced_memory()[0]
        assert await asyncio.to_thread(publish) == 201
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes - before_bytes < HUGE_BYTES + BESIDE_BYTES
    (name,) = stored_files(running)
    assert name.startswith("derby/")


@for_each_end
@for_each_framing
async def test_a_large_body_that_is_cut_leaves_no_trace(
    running: Running, log: RequestLog, framing: Framing, how: Close
) -> None:
    cut = upload(path_of(number_now() - 1), LARGE, framing)[: -STREAM_BYTES // 2]
    await asyncio.to_thread(send_and_leave, running.origin.publish_address, cut, how)
    await log.until_count(1)
    assert log.outcomes == {"truncated": 1}
    assert stored_files(running) == []


async def test_a_large_body_that_pauses_too_long_leaves_no_trace(running: Running) -> None:
    cut = upload(path_of(number_now() - 1), LARGE)[:-1]
    (answer,) = await exchange(running, cut)
    assert answer.status == 408
    assert stored_files(running) == []


def wrong_digest() -> str:
    return base64.b64encode(hashlib.sha256(b"other").digest()).decode()


async def test_a_large_body_that_is_refused_leaves_no_trace_and_the_connection_goes_on(running: Running) -> None:
    number = number_now() - 3
    other = b"x" + LARGE[1:]
    too_large = chunk(bytes(MIB)) * 65 + chunk(b"")
    answers = await exchange(
        running,
        upload(path_of(number), LARGE, Content_Digest=f"sha-256=:{wrong_digest()}:"),
        head("PUT", path_of(number), Transfer_Encoding="chunked") + too_large,
        upload(path_of(number), LARGE),
        upload(path_of(number), LARGE),
        upload(path_of(number), other),
        upload(path_of(number + 1), SMALL),
    )
    assert [answer.status for answer in answers] == [400, 413, 201, 200, 409, 201]
    assert [name.rpartition("/")[0].partition("/")[0] for name in stored_files(running)] == ["derby", "derby"]


async def test_a_disk_that_gives_out_within_a_large_body_is_told_and_the_connection_goes_on(running: Running) -> None:
    """Closing the connection would end ffmpeg in persistent mode, and the encoder with it."""
    number = number_now() - 3
    with Connection(running.origin.publish_address) as connection:
        for framing in Framing:
            with files_of_at_most(2 * MIB):
                await asyncio.to_thread(connection.send, upload(path_of(number), LARGE, framing))
                answer = await asyncio.to_thread(connection.receive)
            assert (answer.status, answer.json["title"]) == (503, "Storage fault")
            assert stored_files(running) == []
        await asyncio.to_thread(connection.send, upload(path_of(number), LARGE))
        assert (await asyncio.to_thread(connection.receive)).status == 201


async def test_large_bodies_on_a_slow_disk_keep_no_small_one_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many: they have threads of their own."""
    disk_moves, really_flush = threading.Event(), os.fdatasync

    def flush(descriptor: int) -> None:
        if os.fstat(descriptor).st_size == len(LARGE):
            assert disk_moves.wait(PATIENCE_S)
        really_flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", flush)
    settings = make_settings(tmp_path, event={"renditions": [TEXT_RENDITION]})
    storage = settings.storage.model_copy(update={"acknowledge": "fsync"})
    first, loop = number_now() - 30, asyncio.get_running_loop()
    with ThreadPoolExecutor(12) as pool:
        async with running_origin(settings.model_copy(update={"storage": storage})) as running:
            address = running.origin.publish_address
            large = [
                loop.run_in_executor(pool, ask, address, upload(path_of(first + index), LARGE)) for index in range(10)
            ]
            for index in range(20):
                (answer,) = await exchange(running, upload(path_of(first + index, "b"), SMALL))
                assert answer.status == 201
            assert not any(task.done() for task in large)
            disk_moves.set()
            assert [answer.status for answer in await asyncio.gather(*large)] == [201] * 10
