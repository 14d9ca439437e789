"""Real disks that fail: full, read-only, gone, unreadable, slow. Live goes on from memory, and it ends by itself.

The origin is a process of its own, on file systems of its own (`tests.faults.disks`).
"""

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Any, Final
from unittest.mock import patch

import aiohttp
import pytest
import yaml

from storage.hands import Hands
from tests.faults.disks import PLACES, Disk, ForbiddenFiles, server_on, some_disk, start_on
from tests.integration.process import ServerProcess
from tests.support.origins import EVENT, PATIENT, Running, make_settings, running_origin
from tests.support.packagers import number_now
from tests.support.reader import PATIENCE_S, Reader

SIZE: Final = "12m"
BODY_BYTES: Final = 100_000
# More than 1 MiB of RAM holds, so that the oldest are on disk only.
COUNT: Final = 20
IN_RAM: Final = 4
DELAY_S: Final = 0.2
# Requests for what is on disk only, and uploads, while live requests are measured.
OTHERS: Final = 4
FROM_RAM: Final = 'origin_cache_requests_total{result="ram"}'
LIVE_REQUESTS: Final = 300
# Loose, for busy machines; one call of the disk would be several hundred times as long as a request.
RATIO_MAX: Final = 10


def body_of(number: int) -> bytes:
    return random.Random(number).randbytes(BODY_BYTES)


def write_config(folder: Path) -> Path:
    """Write a configuration with 1 MiB of RAM, whose uploads are not looked into."""
    config = folder / "config.yaml"
    document = {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(folder / "data"), "ram": "1MiB", "ssd": "1GiB"},
        "workers": 0,  # whose memory and descriptors are looked at
        "limits": PATIENT | {"segment_bytes": "512KiB"},
        "events": [EVENT | {"inspection": {"checks": "none"}}],
    }
    config.write_text(yaml.safe_dump(document))
    return config


class Client:
    """Publishes as pipeline a, and asks."""

    def __init__(self, server: ServerProcess | Running, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session
        self.newest = number_now() - COUNT

    async def put(self, number: int) -> tuple[int, dict[str, Any]]:
        """Publish one segment; returns status and document."""
        url = f"{self._server.publish}/derby/a/v720/{number}.m4s"
        async with self._session.put(url, data=body_of(number)) as response:
            return response.status, json.loads(await response.read())

    async def put_until_taken(self, number: int) -> set[int]:
        """Send it again until it is taken. Returns the statuses before that."""
        refused: set[int] = set()
        async with asyncio.timeout(PATIENCE_S):
            while (status := (await self.put(number))[0]) not in (200, 201):
                refused.add(status)
        return refused

    async def get(self, number: int) -> tuple[int, bytes]:
        async with self._session.get(f"{self._server.deliver}/derby/v720/{number}.m4s") as response:
            return response.status, await response.read()

    async def get_until_served(self, number: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            while (answer := await self.get(number))[0] != 200:
                pass
        return answer[1]

    async def metric(self, start: str) -> float:
        """Return the sum of the metrics whose lines start like this."""
        text = (await Reader(self._session, "").get_url(f"{self._server.admin}/metrics")).decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))

    async def faults_count(self) -> float:
        """Return how many faults of the storage the origin has counted."""
        return await self.metric("origin_storage_errors_total{")

    async def publish_all(self) -> list[int]:
        """Publish `COUNT` segments, oldest first; returns their numbers."""
        numbers = list(range(self.newest - COUNT + 1, self.newest + 1))
        for number in numbers:
            assert (await self.put(number))[0] == 201
        return numbers

    async def assert_live_goes_on(self) -> None:
        """What is in memory is delivered, whatever the disk does."""
        for number in range(self.newest - IN_RAM + 1, self.newest + 1):
            assert await self.get(number) == (200, body_of(number))
        assert (await Reader(self._session, self._server.admin).get("healthz")).status == 200

    async def assert_all_is_there(self, numbers: list[int]) -> None:
        for number in numbers:
            assert await self.get(number) == (200, body_of(number))

    async def assert_nothing_is_there(self, number: int) -> None:
        url = f"{self._server.admin}/api/v1/events/derby/segments/v720/{number}"
        explanation = json.loads(await Reader(self._session, "").get_url(url))
        assert (explanation["candidates"], explanation["choice"]) == ([], None)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(params=["best", "limited"])
async def any_disk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Disk]:
    """The best disk to be had here, and what stands in for it elsewhere: that is shown to work, too."""
    if request.param == "limited":
        yield ForbiddenFiles(tmp_path)
        return
    async with some_disk(tmp_path, SIZE) as disk:
        yield disk


@pytest.mark.parametrize("place", PLACES)
async def test_while_the_disk_is_full_uploads_are_refused_and_live_goes_on(
    any_disk: Disk, place: str, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    config = write_config(tmp_path)
    async with server_on(any_disk, config) as (server, pid):
        client = Client(server, session)
        numbers = await client.publish_all()
        refused = numbers[-1] + 1
        await any_disk.fill(place, pid)
        unchosen: list[int] = []
        # The last page of the journal may still take a record or two, and then none that it was chosen.
        while (answer := await client.put(refused))[0] == 201:
            (numbers if answer[1]["chosen"] else unchosen).append(refused)
            refused += 1
        assert answer[0] == any_disk.full_status, any_disk.kind
        assert answer[1]["type"].endswith("disk-full" if any_disk.full_status == 507 else "storage")
        await client.assert_live_goes_on()
        await client.assert_all_is_there(numbers)
        await client.assert_nothing_is_there(refused)
        await any_disk.make_room(place, pid)
        await client.put_until_taken(refused)
        numbers += [*unchosen, refused]
        for number in numbers:
            assert await client.get_until_served(number) == body_of(number)
        server.send(SIGTERM)
        assert await server.wait() == 0
    async with server_on(any_disk, config) as (server, _):
        await Client(server, session).assert_all_is_there(numbers)


async def test_while_the_disk_is_read_only_uploads_are_refused_and_live_goes_on(
    any_disk: Disk, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with server_on(any_disk, write_config(tmp_path)) as (server, pid):
        client = Client(server, session)
        numbers = await client.publish_all()
        await any_disk.set_read_only(pid, is_read_only=True)
        refused = numbers[-1] + 1
        for _ in range(3):
            status, document = await client.put(refused)
            assert (status, document["type"]) == (503, "urn:live-origin:problem:storage"), any_disk.kind
        assert await client.faults_count() >= 3
        await client.assert_live_goes_on()
        await client.assert_all_is_there(numbers)
        await client.assert_nothing_is_there(refused)
        await any_disk.set_read_only(pid, is_read_only=False)
        await client.put_until_taken(refused)
        await client.assert_all_is_there([*numbers, refused])


async def test_an_origin_says_why_it_cannot_start_on_a_disk_and_starts_when_it_can(
    any_disk: Disk, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    config = write_config(tmp_path)
    async with server_on(any_disk, config) as (server, _):
        numbers = await Client(server, session).publish_all()
    await any_disk.set_unusable(is_unusable=True)
    _, server = await start_on(any_disk, config)
    with pytest.raises(RuntimeError, match="it did not start"):
        await server.until_ready()
    assert await server.wait() == 1
    assert server.lines[-1].startswith("live-origin cannot run: "), server.lines
    await any_disk.set_unusable(is_unusable=False)
    async with server_on(any_disk, config) as (server, _):
        await Client(server, session).assert_all_is_there(numbers)


@pytest.mark.parametrize("leaves_a_file", [True, False], ids=["a-file-in-its-place", "nothing-in-its-place"])
async def test_what_was_on_a_disk_that_vanished_is_delivered_when_it_is_back(
    leaves_a_file: bool, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Nobody is told that a segment is gone for good because a disk is away for a while."""
    bodies, away = tmp_path / "data" / "bodies", tmp_path / "away"
    async with server_on(ForbiddenFiles(tmp_path), write_config(tmp_path)) as (server, _):
        client = Client(server, session)
        numbers = await client.publish_all()
        bodies.rename(away)
        if leaves_a_file:
            bodies.touch()
            assert (await client.put(numbers[-1] + 1))[0] == 503
        assert (await client.get(numbers[0]))[0] == 503
        await client.assert_live_goes_on()
        if leaves_a_file:
            bodies.unlink()
        if bodies.exists():  # made anew, with nothing that anybody needs
            bodies.rename(tmp_path / "anew")
        away.rename(bodies)
        assert await client.get_until_served(numbers[0]) == body_of(numbers[0])
        await client.put_until_taken(numbers[-1] + 1)
        await client.assert_all_is_there([*numbers, numbers[-1] + 1])


async def test_a_file_that_cannot_be_read_is_a_fault_that_may_pass(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The memory of a process, read from its beginning, is a file that the kernel answers with EIO."""
    async with server_on(ForbiddenFiles(tmp_path), write_config(tmp_path)) as (server, _):
        client = Client(server, session)
        numbers = await client.publish_all()
        (path,) = (tmp_path / "data" / "bodies").rglob(f"v720~{numbers[0]}~a~*")
        path.rename(tmp_path / "away")
        path.symlink_to("/proc/self/mem")
        for count in (1, 2):
            assert (await client.get(numbers[0]))[0] == 503
            assert await client.faults_count() == count
        await client.assert_live_goes_on()
        path.unlink()
        (tmp_path / "away").rename(path)
        assert await client.get_until_served(numbers[0]) == body_of(numbers[0])


# -- A slow disk


class SlowDisk:
    """Takes its time for everything."""

    delay_s = 0.0
    calls_count = 0

    @classmethod
    def slow(cls, work: Callable[..., Any]) -> Callable[..., Any]:
        cls.calls_count += 1

        def slowly(*arguments: Any, **options: Any) -> Any:
            time.sleep(cls.delay_s)
            return work(*arguments, **options)

        return slowly


class SlowThreads(ThreadPoolExecutor):
    def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        return super().submit(SlowDisk.slow(work), *arguments, **options)


class SlowHands(Hands):
    def do(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        return super().do(SlowDisk.slow(work))


async def test_a_slow_disk_slows_no_live_request(
    tmp_path: Path, session: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packagers and viewers of old segments wait for the disk meanwhile; whoever is at the live edge does not."""
    storage = {"path": str(tmp_path / "data"), "ram": "1MiB", "ssd": "1GiB"}
    limits = {"segment_bytes": "512KiB"}
    event = {"inspection": {"checks": "none"}}
    slow = patch.multiple("storage.bodies", ThreadPoolExecutor=SlowThreads, Hands=SlowHands)
    with slow, patch.object(SlowDisk, "delay_s", 0.0):
        async with running_origin(make_settings(tmp_path, event=event, storage=storage, limits=limits)) as running:
            client = Client(running, session)
            numbers = await client.publish_all()
            quiet_s = await live_latencies_s(client)
            SlowDisk.delay_s = DELAY_S
            calls_count = SlowDisk.calls_count
            async with busy_disk(client, numbers):
                slow_s = await live_latencies_s(client)
            assert SlowDisk.calls_count >= calls_count + 2 * OTHERS
            SlowDisk.delay_s = 0.0
    with capsys.disabled():
        ratio = statistics.median(slow_s) / statistics.median(quiet_s)
        p99_ratio = p99(slow_s) / p99(quiet_s)
        sys.stdout.write(
            f"\nlive requests, ms: {shown(quiet_s)} with a quiet disk; {shown(slow_s)} with one that takes"
            f" {DELAY_S * 1000:.0f} ms a call; ratios {ratio:.2f} and {p99_ratio:.2f}\n"
        )
    assert ratio < RATIO_MAX


@asynccontextmanager
async def busy_disk(client: Client, numbers: Sequence[int]) -> AsyncIterator[None]:
    """Let others ask for what only the disk has, and publish, which is written to it, until the block ends."""

    async def read(number: int) -> None:
        while True:
            assert (await client.get(number))[0] == 200

    async def send(number: int) -> None:
        while True:
            assert (await client.put(number))[0] in (200, 201)

    others = [asyncio.create_task(read(number)) for number in numbers[:OTHERS]]
    others += [asyncio.create_task(send(numbers[-1] + 1 + index)) for index in range(OTHERS)]
    try:
        yield
    finally:
        for other in others:
            other.cancel()
        results = await asyncio.gather(*others, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results


async def live_latencies_s(client: Client) -> list[float]:
    """Return how long requests at the live edge take; each is answered from memory."""
    latencies_s, from_ram = [], await client.metric(FROM_RAM)
    for index in range(LIVE_REQUESTS):
        number = client.newest - index % IN_RAM
        begin_s = time.perf_counter()
        assert await client.get(number) == (200, body_of(number))
        latencies_s.append(time.perf_counter() - begin_s)
    assert await client.metric(FROM_RAM) == from_ram + LIVE_REQUESTS
    return latencies_s


def p99(latencies_s: Sequence[float]) -> float:
    return statistics.quantiles(latencies_s, n=100)[98]


def shown(latencies_s: Sequence[float]) -> str:
    return f"median {statistics.median(latencies_s) * 1000:.2f}, p99 {p99(latencies_s) * 1000:.2f}"
