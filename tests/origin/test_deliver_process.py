"""A deliver process: what it answers while it follows, while there is nobody to follow, and what it tells of itself."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from config.limits import Limits
from origin import deliver_process
from origin.deliver_process import SHARED_LIMITS, DeliverProcess, _deliver, share_of
from origin.supervised import ADMIN
from storage.base import BodyKey
from storage.bodies import FileBodies
from tests.origin.apart import Node, open_node, running_node, until
from tests.origin.site import NUMBER, make_body
from tests.support.origins import make_settings

FIRST, SECOND = "deliver-0", "deliver-1"


# -- Shares


def test_bounds_on_all_deliver_processes_together_are_shared_out(tmp_path: Path) -> None:
    limits = {"holds": 10, "connections": 100, "reads": 7, "unsent": "64MiB", "holds_per_segment": 1}
    share = share_of(make_settings(tmp_path, limits=limits), 4)
    own = share.limits
    assert (own.holds, own.connections, own.reads, own.holds_per_segment) == (3, 25, 2, 1)
    assert own.unsent_bytes == 16 * 1024**2


def test_bounds_on_one_request_or_one_process_are_not_shared_out(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    before, after = (each.limits.model_dump() for each in (settings, share_of(settings, 3)))
    assert {name for name in before if before[name] != after[name]} == set(SHARED_LIMITS)
    assert set(SHARED_LIMITS) <= set(Limits.model_fields)


def test_the_only_deliver_process_has_all(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert share_of(settings, 1) == settings


# -- Following


async def until_applied(node: Node, name: str, sequence: int) -> None:
    """Wait until a deliver process has a record."""
    await until(lambda: node.delivering[name].client.sequence == sequence)


async def test_what_is_published_is_delivered_by_every_process(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node:
        stored = await node.put(NUMBER)
        for name in node.names:
            await until_applied(node, name, 2)
            answer = await node.get(name, NUMBER)
            assert (answer.status, answer.body) == (200, make_body(NUMBER))
            assert answer.headers["ETag"] == stored.document["etag"]


async def test_a_held_request_is_answered_when_its_segment_is_published(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node:
        held = [await node.hold(name, NUMBER) for name in node.names for _ in range(3)]
        await node.put(NUMBER)
        assert [((await each).status, (await each).body) for each in held] == [(200, make_body(NUMBER))] * 6


async def test_bodies_come_from_shared_memory_and_else_from_ssd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[BodyKey] = []
    really_read = FileBodies.read_intact

    async def read(bodies: FileBodies, key: BodyKey) -> bytes:
        reads.append(key)
        return await really_read(bodies, key)

    monkeypatch.setattr(FileBodies, "read_intact", read)
    async with running_node(tmp_path, 1) as node:
        await node.put(NUMBER)
        await until(lambda: node.delivering[FIRST].client.sequence == 2)
        assert ((await node.get(FIRST, NUMBER)).status, reads) == (200, [])
    async with running_node(tmp_path, 1) as node:
        for count in (1, 2):
            answer = await node.get(FIRST, NUMBER)
            # Nothing of it is kept here: the page cache has it once for all processes.
            assert (answer.status, answer.body, len(reads)) == (200, make_body(NUMBER), count)


async def test_a_copy_whose_body_is_gone_is_reported_and_the_next_best_one_is_delivered(tmp_path: Path) -> None:
    async with open_node(tmp_path, 1) as node:
        await node.start_publish()
        await node.put(NUMBER, "a")
        await node.put(NUMBER, "b")
        await node.stop_publish()
        await node.start_publish()  # with no body in memory
        await node.start_deliver(FIRST)
        (lost,) = [path for path in (tmp_path / "data" / "bodies").rglob("*~a~*") if path.is_file()]
        lost.unlink()
        answer = await node.get(FIRST, NUMBER)
        assert (answer.status, answer.body) == (200, make_body(NUMBER, "b"))
        assert answer.headers["Live-Origin-Pipeline"] == "b"


# -- Without a publish process


async def test_while_nobody_publishes_what_was_chosen_is_delivered_and_the_rest_is_held(tmp_path: Path) -> None:
    async with running_node(tmp_path, 1) as node:
        client = node.delivering[FIRST].client
        await node.put(NUMBER - 1)
        await until(lambda: client.sequence == 2)
        await node.stop_publish()
        await until(lambda: not client.is_following)
        assert (await node.get(FIRST, NUMBER - 1)).body == make_body(NUMBER - 1)
        held = await node.hold(FIRST, NUMBER)
        await node.start_publish()
        await until(lambda: client.is_following)
        await node.put(NUMBER)
        assert ((await held).status, (await held).body) == (200, make_body(NUMBER))


async def test_who_is_held_is_answered_with_what_was_chosen_before_the_process_could_follow_again(
    tmp_path: Path,
) -> None:
    async with running_node(tmp_path, 1) as node:
        client = node.delivering[FIRST].client
        held = await node.hold(FIRST, NUMBER)
        await client.close()
        await node.put(NUMBER)
        assert not held.done()
        client.start()
        assert ((await held).status, (await held).body) == (200, make_body(NUMBER))


async def test_following_and_being_behind_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running_node(tmp_path, 1) as node:
        client = node.delivering[FIRST].client
        await node.stop_publish()
        await until(lambda: not client.is_following)
        await until(lambda: "behind" in [record.getMessage() for record in caplog.records])
    own = [record.getMessage() for record in caplog.records if record.name == deliver_process.__name__]
    assert own[:3] == ["following", "delivering", "behind"]


# -- What it tells


async def until_behind(node: Node, names: list[str]) -> dict[str, Any]:
    """Wait until these processes are said not to follow; returns all that is said then."""
    async with asyncio.timeout(20):
        while True:
            answer = await node.ask("GET", ADMIN, "/readyz")
            document: dict[str, Any] = json.loads(answer.body)
            if document["behind"] == names:
                return {"status": answer.status} | document
            await asyncio.sleep(0.001)


async def test_readyz_tells_of_every_process(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node:
        told = await until_behind(node, [])
        assert (told["status"], told["ready"], [each["worker"] for each in told["workers"]]) == (200, True, node.names)
        await node.delivering.pop(SECOND).stop()
        told = await until_behind(node, [SECOND])
        assert (told["status"], told["ready"]) == (200, True)
        await node.delivering.pop(FIRST).stop()
        told = await until_behind(node, [FIRST, SECOND])
        assert (told["status"], told["ready"], told["state"]) == (503, False, "ready")


async def until_shown(node: Node, series: str, value: float) -> None:
    """Wait until `/metrics` shows this."""
    async with asyncio.timeout(20):
        while (page := await node.page()).get(series) != value:
            assert page.get(series, 0.0) <= value
            await asyncio.sleep(0.001)


async def test_its_metrics_are_shown_and_what_another_publish_process_was_told_is_not_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver_process, "METRICS_INTERVAL_S", 0.01)
    hits = 'origin_cache_requests_total{result="ram"}'
    async with running_node(tmp_path, 1) as node:
        client = node.delivering[FIRST].client
        await node.put(NUMBER)
        await until(lambda: client.sequence == 2)
        hits = next(
            name for name in await node.page() if name.startswith("origin_cache_requests_total") and "ram" in name
        )
        for _ in range(3):
            await node.get(FIRST, NUMBER)
        await until_shown(node, hits, 3)
        await node.stop_publish()
        await until(lambda: not client.is_following)
        await node.get(FIRST, NUMBER)  # counted while there is nobody to tell
        await node.start_publish()
        await until_shown(node, hits, 1)


# -- Its life


async def test_who_is_held_at_a_stop_is_answered(tmp_path: Path) -> None:
    async with running_node(tmp_path, 1) as node:
        held = await node.hold(FIRST, NUMBER)
        await node.delivering.pop(FIRST).stop()
        assert (await held).status == 503


async def test_a_process_that_never_followed_can_be_stopped(tmp_path: Path) -> None:
    async with open_node(tmp_path, 1) as node:
        process = DeliverProcess(node.settings, FIRST, node.feed_path, node.clock)
        await process.stop()
        assert not process.client.first_sync.is_set()


async def test_it_is_ready_when_it_has_followed_and_ends_with_sigterm(tmp_path: Path) -> None:
    read, write = os.pipe()
    async with open_node(tmp_path, 1) as node:
        running = asyncio.create_task(_deliver(node.settings, node.feed_path, node.context(FIRST, write)))
        await asyncio.sleep(0)
        os.set_blocking(read, False)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
        await node.start_publish()
        os.set_blocking(read, True)
        assert await asyncio.to_thread(os.read, read, 1) == b"r"
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await running
    for descriptor in (read, write):
        os.close(descriptor)


async def test_sigterm_ends_it_also_while_it_waits_for_a_publish_process(tmp_path: Path) -> None:
    async with open_node(tmp_path, 1) as node:
        context = node.context(FIRST)
        running = asyncio.create_task(_deliver(node.settings, node.feed_path, context))
        for _ in range(3):
            await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await running
        for listener in context.sockets[FIRST]:
            listener.close()
