"""Bodies on the wire: what has arrived whole is kept whatever the client does next, what was cut leaves no trace.

ffmpeg closes its connection right after the last byte of each body and never looks at the answer. The disk is
made slow here, so that the origin is still busy with one body while the end of the connection and the bodies
behind it arrive.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from selection.model import SegmentKey
from storage.base import BodyKey
from tests.integration.wire import (
    Address,
    Close,
    Connection,
    Framing,
    RequestLog,
    chunk,
    head,
    in_threads,
    request_log,
    send_and_leave,
    upload,
)
from tests.support.origins import Running, make_settings, running_origin
from tests.support.packagers import SEGMENT_MS, number_now, start_ms, until_ms

DISK_S: Final = 0.02
CLIENTS: Final = 100
# aiohttp reads on only while it holds less than 512 KiB of a body.
LARGE_BYTES: Final = 4 * 1024 * 1024
MEDIUM_BYTES: Final = 300_000

for_each_end = pytest.mark.parametrize("how", list(Close), ids=lambda how: how.value)
for_each_framing = pytest.mark.parametrize("framing", list(Framing), ids=lambda framing: framing.value)


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """An origin whose disk is slow."""
    async with running_origin(make_settings(tmp_path)) as running:
        bodies = running.origin.stores.bodies
        write_at_once = bodies.write

        async def write_slowly(key: BodyKey, body: bytes) -> None:
            await asyncio.sleep(DISK_S)
            await write_at_once(key, body)

        monkeypatch.setattr(bodies, "write", write_slowly)
        yield running


@pytest.fixture
async def log() -> AsyncIterator[RequestLog]:
    """What the origin says of requests that have ended."""
    with request_log() as lines:
        yield lines


def make_body(number: int, size: int) -> bytes:
    """Return a body that no other number has."""
    return random.Random(number).randbytes(size)


def path_of(number: int) -> str:
    return f"/derby/a/v720/{number}.m4s"


def key_of(number: int) -> SegmentKey:
    return SegmentKey("derby", "v720", number)


async def kept(running: Running, bodies: dict[int, bytes]) -> list[int]:
    """Return the numbers that are stored with these bytes."""
    numbers = []
    for number, body in bodies.items():
        choice = running.origin.catalog.choice(key_of(number))
        if choice is not None and choice.candidate.size_bytes == len(body):
            address = next(file for file in stored_files(running) if choice.candidate.digest in file.name)
            if address.read_bytes() == body:
                numbers.append(number)
    return numbers


def stored_files(running: Running) -> list[Path]:
    folder = Path(running.origin.settings.storage.path)
    return [path for path in (folder / "bodies").rglob("*") if path.is_file()]


@for_each_end
@for_each_framing
async def test_a_whole_body_is_kept_although_the_client_leaves_at_once(
    running: Running, log: RequestLog, framing: Framing, how: Close
) -> None:
    first = number_now() - CLIENTS
    sizes = [LARGE_BYTES if index % 25 == 0 else int(1.13**index) for index in range(CLIENTS)]
    bodies = {first + index: make_body(first + index, size) for index, size in enumerate(sizes)}
    address = running.origin.publish_address

    def publish(number: int) -> None:
        send_and_leave(address, upload(path_of(number), bodies[number], framing), how)

    await in_threads([lambda number=number: publish(number) for number in bodies])
    await log.until_count(CLIENTS)
    assert log.outcomes == {"stored": CLIENTS}
    assert await kept(running, bodies) == list(bodies)


@for_each_end
@for_each_framing
@pytest.mark.parametrize("size", [2_000, MEDIUM_BYTES], ids=["small", "medium"])
async def test_whole_requests_in_a_row_are_all_kept_although_the_client_leaves_at_once(
    running: Running, log: RequestLog, size: int, framing: Framing, how: Close
) -> None:
    connections_count, requests_count = 8, 10
    first = number_now() - connections_count * requests_count
    numbers = range(first, first + connections_count * requests_count)
    bodies = {number: make_body(number, size) for number in numbers}
    address = running.origin.publish_address

    def publish(numbers: tuple[int, ...]) -> None:
        requests = [upload(path_of(number), bodies[number], framing) for number in numbers]
        send_and_leave(address, b"".join(requests), how)

    rows = [tuple(numbers[at : at + requests_count]) for at in range(0, len(numbers), requests_count)]
    await in_threads([lambda row=row: publish(row) for row in rows])
    await log.until_count(len(numbers))
    assert log.outcomes == {"stored": len(numbers)}
    assert await kept(running, bodies) == list(bodies)
