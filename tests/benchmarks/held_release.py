"""Publish-to-first-byte: from the last byte of a PUT to the first byte at each request held for that segment.

    python -m tests.benchmarks.held_release [--waiters 1,50] [--rounds 100] [--bytes 100000]

The origin is a process of its own, as in production, with `acknowledge: disk`; packager and caches are raw
asyncio connections in this process, over loopback. What this process spends on reading 50 answers is part of
the figure. Each round is one segment: its requests are held, then pipeline `a` publishes it.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, cast
from urllib.request import urlopen

import uvloop

from loadtests import media

# Twelve frames of the segments that `loadtests.media` makes.
SEGMENT_MS: Final = 480
RENDITIONS_COUNT: Final = 10
# How long to wait until the held requests have reached the origin; far more than loopback needs.
SETTLE_S: Final = 0.03
ANSWER_S_MAX: Final = 20

CONFIG: Final = """
listen: {{publish: 127.0.0.1:0, deliver: 127.0.0.1:0, admin: 127.0.0.1:0}}
storage: {{path: {folder}/data}}
log: {{requests: false}}
events:
  - id: bench
    segment_duration: {segment_ms}ms
    publish_delay: 1s
    renditions: [{renditions}]
    pipelines: [{{id: a}}, {{id: b}}]
"""


class HeldRequest(asyncio.Protocol):
    """One GET on a connection of its own; notes when the first byte of the answer came and how many came."""

    def __init__(self, path: str, size_bytes: int) -> None:
        self._head = f"GET {path} HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n".encode()
        self._size_bytes = size_bytes
        self._received_bytes = 0
        self.first_byte_s = 0.0
        self.status = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._head)  # uvloop's are none by class

    def data_received(self, data: bytes) -> None:
        if not self.first_byte_s:
            self.first_byte_s = time.perf_counter()
            self.status = data[9:12]
        self._received_bytes += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            complete = self.status == b"200" and self._received_bytes > self._size_bytes
            if complete:
                self.done.set_result(None)
            else:
                self.done.set_exception(RuntimeError(f"status {self.status!r}, {self._received_bytes} bytes, {exc}"))


@asynccontextmanager
async def origin_process(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run an origin; yields its addresses as its own log tells them."""
    renditions = ", ".join(f"{{id: v{i}, kind: video, bandwidth: 1000000}}" for i in range(RENDITIONS_COUNT))
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(folder=folder, segment_ms=SEGMENT_MS, renditions=renditions))
    process = subprocess.Popen(
        [sys.executable, "-m", "origin", "serve", "--config", str(config)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            fields = json.loads(line)
            if fields["message"] == "ready":
                yield fields
                break
        else:
            raise RuntimeError("the origin did not start")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _host_and_port(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


async def publish(address: tuple[str, int], path: str, body: bytes) -> float:
    """PUT one segment; returns when its last byte was handed to the kernel."""
    reader, writer = await asyncio.open_connection(*address)
    head = f"PUT {path} HTTP/1.1\r\nHost: origin\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    sent_s = time.perf_counter()
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 201"), answer
    writer.close()
    return sent_s


def _same(request: HeldRequest) -> HeldRequest:
    return request


async def measure(addresses: dict[str, str], waiters_count: int, rounds: int, size_bytes: int) -> list[float]:
    """Return the latency of every held request in ms."""
    loop = asyncio.get_running_loop()
    deliver, publish_to = _host_and_port(addresses["deliver"]), _host_and_port(addresses["publish"])
    latencies_ms: list[float] = []
    done_rounds = 0
    number = int(time.time() * 1000) // SEGMENT_MS
    while done_rounds < rounds:
        number = max(number + 1, int(time.time() * 1000) // SEGMENT_MS)
        await asyncio.sleep(max(number * SEGMENT_MS / 1000 - time.time(), 0))
        for rendition in range(RENDITIONS_COUNT):
            path = f"v{rendition}/{number}.m4s"
            held = [HeldRequest(f"/bench/{path}", size_bytes) for _ in range(waiters_count)]
            await asyncio.gather(*(loop.create_connection(partial(_same, each), *deliver) for each in held))
            body = media.media_segment(number, SEGMENT_MS, size_bytes)
            await asyncio.sleep(SETTLE_S)
            sent_s = await publish(publish_to, f"/bench/a/{path}", body)
            async with asyncio.timeout(ANSWER_S_MAX):
                await asyncio.gather(*(each.done for each in held))
            latencies_ms += [(each.first_byte_s - sent_s) * 1000 for each in held]
            done_rounds += 1
            if done_rounds == rounds:
                break
    return latencies_ms


async def run(waiters: list[int], rounds: int, size_bytes: int) -> list[dict[str, float]]:
    """Return one row of figures for each number of waiters."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        async with origin_process(Path(folder)) as addresses:
            for rendition in range(RENDITIONS_COUNT):
                path = f"/bench/a/v{rendition}/init.mp4"
                await publish(_host_and_port(addresses["publish"]), path, media.init_segment())
            await measure(addresses, 1, RENDITIONS_COUNT, size_bytes)  # warm up
            for waiters_count in waiters:
                latencies_ms = await measure(addresses, waiters_count, rounds, size_bytes)
                cuts = statistics.quantiles(latencies_ms, n=100, method="inclusive")
                rows.append(
                    {
                        "waiters": waiters_count,
                        "segments": rounds,
                        "p50_ms": round(cuts[49], 2),
                        "p99_ms": round(cuts[98], 2),
                        "max_ms": round(max(latencies_ms), 2),
                    }
                )
            with urlopen(f"{addresses['admin']}/metrics") as metrics:
                assert b"origin_storage_errors_total{" not in metrics.read()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Publish-to-first-byte of held requests.")
    parser.add_argument("--waiters", default="1,50", help="requests held for each segment, comma-separated")
    parser.add_argument("--rounds", type=int, default=100, help="segments")
    parser.add_argument("--bytes", type=int, default=100_000, help="size of a segment")
    arguments = parser.parse_args()
    waiters = [int(count) for count in arguments.waiters.split(",")]
    rows = uvloop.run(run(waiters, arguments.rounds, arguments.bytes))
    print(f"publish-to-first-byte, {arguments.bytes} bytes, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| requests held | segments | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['waiters']} | {row['segments']} | {row['p50_ms']} | {row['p99_ms']} | {row['max_ms']} |")


if __name__ == "__main__":
    main()
