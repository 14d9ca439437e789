"""Deliver processes follow a storm of records over connections of every kind, and are compared with the journal.

At every moment the catalog of each is what the journal makes of its records up to the place that it names, or it
would give another answer than somebody else.

    python -m tests.faults.feed_torture --seconds 60 --rate 10000
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvloop

from origin.feed.client import FeedClient
from storage.catalog import MemoryCatalog
from storage.records import decode
from tests.faults.feed_storm import BadConnection, RecordStorm
from tests.origin.feed.feeds import Node, following, open_node, until

# Small, so that who is slow is cut off soon.
BUFFER_BYTES_MAX = 512 * 1024


@dataclass
class Follower:
    """A deliver process, and what the journal says at its place."""

    name: str
    client: FeedClient
    log: list[str]
    expected: MemoryCatalog = field(default_factory=MemoryCatalog)
    folded_count: int = 0
    checks_count: int = 0
    behind_count: int = 0

    def check(self) -> None:
        """Compare; whoever is behind must have what was there at its place all the same."""
        sequence = self.client.sequence
        assert sequence >= self.folded_count, f"{self.name} went back from {self.folded_count} to {sequence}"
        while self.folded_count < sequence:
            self.expected.apply(decode(self.log[self.folded_count]))
            self.folded_count += 1
        assert self.client.catalog.current.digest() == self.expected.digest(), f"{self.name} differs at {sequence}"
        self.checks_count += 1
        self.behind_count += not self.client.is_following


@dataclass
class Torture:
    """A node in a storm, and those who follow it.

    Args:
        log: The texts of all records, in their order.
    """

    node: Node
    folder: Path
    seed: int
    log: list[str] = field(default_factory=list)
    followers: list[Follower] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._storm = RecordStorm(self.seed)
        self._random = random.Random(self.seed)
        self.node.journal.follow(lambda entry: self.log.append(entry.text))

    def record(self, count: int) -> None:
        """Let about so many records happen at once."""
        end = len(self.log) + count
        while len(self.log) < end:
            self.node.append(*self._storm.records(len(self.log) + 1))

    async def join(self, stack: AsyncExitStack, name: str, connection: BadConnection | None = None) -> Follower:
        """Let a deliver process follow."""
        path = self.node.path
        if connection is not None:
            bad_path = self.folder / f"{name}.sock"
            await stack.enter_async_context(connection.listening(bad_path, path))
            path = str(bad_path)
        client = await stack.enter_async_context(following(path, name=name))
        follower = Follower(name, client, self.log)
        self.followers.append(follower)
        return follower

    def check(self) -> None:
        for follower in self.followers:
            follower.check()

    async def settle(self) -> None:
        """Wait until everybody follows and has everything. A connection that goes on losing is no longer bad then."""
        for follower in self.followers:
            await until(partial(self.node.is_followed_by, follower.client))
        self.check()


def bad_connections(seed: int) -> dict[str, BadConnection]:
    """Return connections that lose frames now and then, that do so all the time, and that are slow at first."""
    return {
        "seldom": BadConnection(random.Random(seed), fault_every=500),
        "often": BadConnection(random.Random(seed + 1), fault_every=20),
        "slow": BadConnection(random.Random(seed + 2), is_slow=True),
    }


async def torture(folder: Path, seed: int, seconds: float, rate: int) -> None:
    async with open_node(folder) as node, AsyncExitStack() as stack:
        await node.server.close()
        node.buffer_bytes_max = BUFFER_BYTES_MAX
        await node.restart()
        run = Torture(node, folder, seed)
        await run.join(stack, "near")
        connections = bad_connections(seed)
        for name, connection in connections.items():
            await run.join(stack, name, connection)
        begun = last_check = time.monotonic()
        while (elapsed := time.monotonic() - begun) < seconds:
            run.record(min(int(elapsed * rate) - len(run.log), 1_000))  # no storm that no buffer could take
            if time.monotonic() - last_check > seconds / 100:
                run.check()
                last_check = time.monotonic()
                if len(run.followers) < 8:  # somebody joins in the storm
                    await run.join(stack, f"late-{len(run.followers)}")
            await asyncio.sleep(0.005)
        recorded_count, took_s = len(run.log), time.monotonic() - begun
        for connection in connections.values():
            connection.fault_every, connection.is_slow = 0, False
        await run.settle()
        say = sys.stdout.write
        say(f"{recorded_count:,} records in {took_s:.1f} s ({recorded_count / took_s:,.0f} a second)\n")
        for each in run.followers:
            client = each.client
            say(
                f"{each.name:8} at {client.sequence:,}: {each.checks_count} checks, {each.behind_count} while behind,"
                f" {client.snapshots_count} snapshots, {client.faults_count} faults found\n"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(torture(Path(folder), options.seed, options.seconds, options.rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
