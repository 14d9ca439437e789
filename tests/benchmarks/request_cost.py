"""What one request costs the deliver side's own code: no socket, no client, an event loop that has nothing else to do.

    python -m tests.benchmarks.request_cost [--count 20000] [--rounds 7] [--profile ram]

A connection that leads nowhere is given the bytes of requests; all between them and the bytes of the answer runs as in
production: heads, limits, choice, memory, shedding, counting, the log's budget. What the kernel and uvloop take comes
on top of it. The least of all rounds is what the code takes; the median tells how busy the machine was.
"""

import argparse
import asyncio
import cProfile
import pstats
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from config.load import load_settings
from loadtests import media
from origin.app import Origin
from origin.turnout import LaneProtocol, LaneServer
from tests.benchmarks.figures import Row, report
from tests.benchmarks.overload import LIMITS_OFF
from tests.benchmarks.served import EVENT, SEGMENT_MS, Config

BODY_BYTES: Final = 64_000
# Requests between two turns of the event loop.
TURN_COUNT: Final = 100
# As caches send them.
FIELDS: Final = ("Host: origin", "User-Agent: cache/1.0", "Accept: */*", "X-Forwarded-For: 192.0.2.1", "Via: 1.1 edge")


class Nowhere(asyncio.Transport):
    """Takes all that is written, and counts the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bytes] = []

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        self.answers.append(bytes(data[:12]))

    def writelines(self, list_of_data: Any) -> None:
        self.answers.append(list_of_data[0][:12])

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def asked(path: str, *lines: str, method: str = "GET") -> bytes:
    """Return a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", *FIELDS, *lines, "", ""]).encode()


async def cost_us(protocol: LaneProtocol, wire: Nowhere, data: bytes, status: int, count: int) -> float:
    """Return the processor time of one such request.

    Raises:
        RuntimeError: One of them was not answered as it should be.
    """
    wire.answers.clear()
    begun_s = time.process_time()
    for _ in range(count // TURN_COUNT):
        for _ in range(TURN_COUNT):
            protocol.data_received(data)
        await asyncio.sleep(0)
    took_s = time.process_time() - begun_s
    if set(wire.answers) != {f"HTTP/1.1 {status}".encode()} or len(wire.answers) != count // TURN_COUNT * TURN_COUNT:
        raise RuntimeError(f"{data!r} was answered {set(wire.answers)}")
    return took_s / len(wire.answers) * 1e6


async def publish(origin: Origin, number: int) -> str:
    """Publish a segment and wait until it is delivered; returns its ETag."""
    host, port = origin.publish_address
    body = media.media_segment(number, SEGMENT_MS, BODY_BYTES)
    async with aiohttp.ClientSession() as session:
        for name, data in ("init.mp4", media.init_segment()), (f"{number}.m4s", body):
            async with session.put(f"http://{host}:{port}/{EVENT}/a/v0/{name}", data=data) as taken:
                taken.raise_for_status()
        host, port = origin.deliver_address
        async with session.get(f"http://{host}:{port}/{EVENT}/v0/{number}.m4s") as answer:
            answer.raise_for_status()
            return answer.headers["ETag"]


async def rows_of(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Return a row for each kind of request."""
    origin = Origin(load_settings(Config(folder, limits=LIMITS_OFF).write(), {}, ()))
    await origin.start()
    try:
        number = int(time.time() * 1000) // SEGMENT_MS - 2
        etag = await publish(origin, number)
        path = f"/{EVENT}/v0/{number}.m4s"
        kinds = {
            "ram": ("from RAM, head seen before", asked(path), 200),
            "query": ("from RAM, head parsed by aiohttp", asked(f"{path}?x=1"), 200),
            "head": ("HEAD", asked(path, method="HEAD"), 200),
            "not-modified": ("304", asked(path, f"If-None-Match: {etag}"), 304),
            "range": ("Range", asked(path, "Range: bytes=0-999"), 206),
            "ahead": ("404, far ahead", asked(f"/{EVENT}/v0/{number + 10_000}.m4s"), 404),
            "unknown": ("404, no such name", asked(f"/{EVENT}/nothing"), 404),
        }
        server = origin._runners["deliver"].server
        assert isinstance(server, LaneServer)
        return [
            await row(server, what, data, status, arguments, is_profiled=name == arguments.profile)
            for name, (what, data, status) in kinds.items()
        ]
    finally:
        await origin.stop()


async def row(
    server: LaneServer, what: str, data: bytes, status: int, arguments: argparse.Namespace, *, is_profiled: bool
) -> Row:
    """Measure one kind of request on a connection of its own."""
    protocol, wire = server(), Nowhere()
    protocol.connection_made(wire)
    await asyncio.sleep(0)
    costs = [await cost_us(protocol, wire, data, status, arguments.count) for _ in range(arguments.rounds)]
    if is_profiled:
        profile = cProfile.Profile()
        profile.enable()
        await cost_us(protocol, wire, data, status, arguments.count)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    protocol.connection_lost(None)
    return {"request": what, "bytes of its head": len(data), "us": min(costs), "median us": statistics.median(costs)}


def main(options: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What one request costs the deliver side's own code.")
    parser.add_argument("--count", type=int, default=20_000, help="requests in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", help="print cProfile's table of one kind: ram, query, head, range, ahead ...")
    arguments = parser.parse_args(options)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(rows_of(arguments, Path(folder)))
    report(f"one request, {arguments.rounds} rounds of {arguments.count}", rows, [])


if __name__ == "__main__":
    main()
