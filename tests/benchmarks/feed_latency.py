"""How long it takes from a record in the publish process until a deliver process has folded it, over the feed.

    python -m tests.benchmarks.feed_latency --rate 500 --seconds 10 --workers 2

A record says when it was made, by the clock that all processes of a machine share. What is told are the 50th and
99th percentile and the longest time, for each deliver process. With `--copies` the catalog has that many before, and
how long the first snapshot took is told, too.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from origin.clock import SystemClock
from origin.feed.client import FeedClient
from origin.feed.hooks import ClientHooks, ServerHooks
from selection.model import Rule
from storage.catalog import MemoryCatalog
from storage.records import Chosen, Entry, Published
from tests.origin.feed.feeds import Node, listen
from tests.support.events import candidate, make_key

FIRST_NUMBER = 100_000_000
RENDITIONS = 10


def now_us() -> int:
    return time.monotonic_ns() // 1_000


async def follow(path: str, records_count: int) -> None:
    took_us: list[int] = []
    over = asyncio.Event()

    def on_entry(entry: Entry) -> None:
        if entry.kind == "chosen":
            record = entry.record
            assert isinstance(record, Chosen)
            took_us.append(now_us() - record.decided_ms)
            if len(took_us) == records_count:
                over.set()

    client = FeedClient(path, MemoryCatalog, ClientHooks(on_entry=on_entry), SystemClock())
    begun_us = now_us()
    client.start()
    await client.first_sync.wait()
    synced_us = now_us() - begun_us
    client.send_metrics(b"ready")
    await over.wait()
    took_us.sort()
    p50, p99 = took_us[len(took_us) // 2], took_us[len(took_us) * 99 // 100]
    print(f"snapshot in {synced_us / 1e6:.2f} s; p50 {p50} us, p99 {p99} us, longest {took_us[-1]} us")
    await client.close()


async def lead(options: argparse.Namespace) -> None:
    ready: list[str] = []
    count = int(options.rate * options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        listener = listen(Path(folder) / "feed.sock")
        hooks = ServerHooks(on_metrics=lambda worker, payload: ready.append(worker.name))
        node = Node(Path(folder) / "journal", listener, hooks, SystemClock())
        for number in range(options.copies // RENDITIONS):
            for rendition in range(RENDITIONS):
                publish(node, number, rendition, 0)
        command = [sys.executable, "-m", "tests.benchmarks.feed_latency", "--follow", node.path, str(count)]
        children = [subprocess.Popen(command) for _ in range(options.workers)]
        blocked_us = 0
        while len(ready) < len(children):
            turn_us = now_us()
            await asyncio.sleep(0.001)
            blocked_us = max(blocked_us, now_us() - turn_us - 1_000)
        print(f"the publish process's loop stood still for {blocked_us / 1e3:.1f} ms at most while they joined")
        begun = time.monotonic()
        for number in range(count):
            publish(node, FIRST_NUMBER + number, 0, now_us())
            ahead = number / options.rate - (time.monotonic() - begun)
            await asyncio.sleep(max(ahead, 0))
        print(f"{count} copies and choices in {time.monotonic() - begun:.1f} s")
        for child in children:
            await asyncio.to_thread(child.wait)
        await node.close()
        listener.close()


def publish(node: Node, number: int, rendition: int, at_us: int) -> None:
    """Record a copy and a choice. The moment of the choice is in us here, and means nothing to anybody."""
    key = make_key(number, f"v{rendition}")
    (copy,) = node.append(Published(key, candidate("a")))
    node.append(Chosen(key, "a", copy.sequence, Rule.FIRST_IN_ORDER, at_us))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="copies a second, each with its choice")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--copies", type=int, default=0, help="that are there before")
    parser.add_argument("--follow", nargs=2, metavar=("PATH", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.follow:
        uvloop.run(follow(options.follow[0], int(options.follow[1])))
    else:
        uvloop.run(lead(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
