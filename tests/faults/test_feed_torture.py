"""The torture of the feed, short: no deliver process ever has another catalog than the journal at its place."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.feed_storm import BadConnection
from tests.faults.feed_torture import BUFFER_BYTES_MAX, Torture, bad_connections
from tests.origin.feed.feeds import open_node, until


async def test_whatever_happens_to_connections_nobody_has_a_catalog_of_his_own(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node, AsyncExitStack() as stack:
        await node.server.close()
        node.buffer_bytes_max = BUFFER_BYTES_MAX
        await node.restart()
        run = Torture(node, tmp_path, seed=1)
        await run.join(stack, "near")
        connections = bad_connections(seed=1)
        for name, connection in connections.items():
            await run.join(stack, name, connection)
        slow = connections["slow"]
        for step in range(80):
            run.record(100)
            await asyncio.sleep(0.002)
            if step % 20 == 0:
                run.check()
            if step == 40:
                await run.join(stack, "late")
        while "slow" in {worker.name for worker in node.server.workers}:  # until it is cut off
            run.record(50)
            await asyncio.sleep(0.002)
        for connection in connections.values():
            connection.fault_every, connection.is_slow = 0, False
        await run.settle()
        clients = {follower.name: follower.client for follower in run.followers}
        assert connections["often"].faults_count > 0
        assert clients["often"].faults_count > 0
        assert slow.connections_count > 1
        assert clients["near"].snapshots_count == clients["late"].snapshots_count == 1


async def test_through_restarts_of_the_publish_process_no_catalog_goes_back(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node, AsyncExitStack() as stack:
        run = Torture(node, tmp_path, seed=2)
        for name in ("w0", "w1"):
            await run.join(stack, name)
        for _ in range(3):
            for _ in range(10):
                run.record(50)
                await asyncio.sleep(0)
                run.check()
            await node.restart()
            node.journal.follow(lambda entry: run.log.append(entry.text))
        await run.settle()
        assert all(follower.client.faults_count == 0 for follower in run.followers)


@pytest.mark.parametrize("seed", range(3))
async def test_a_fault_is_found_by_the_next_heartbeat_at_the_latest(tmp_path: Path, seed: int) -> None:
    """Also when nothing is recorded any more: with every second frame lost, repeated or swapped."""
    async with open_node(tmp_path) as node, AsyncExitStack() as stack:
        run = Torture(node, tmp_path, seed)
        connection = BadConnection(random.Random(seed))
        follower = await run.join(stack, "w0", connection)
        run.record(50)
        await until(lambda: node.is_followed_by(follower.client))
        connection.fault_every = 2
        while not connection.faults_count:
            run.record(1)
            await asyncio.sleep(0.001)
        connection.fault_every = 0
        await run.settle()
        assert follower.client.faults_count >= 1
