"""A deliver process follows its publish process: through joins, restarts, and connections that break."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from origin.feed.client import LAG_MS_MAX, FeedClient
from origin.feed.hooks import MemoryNews, ServerHooks
from origin.feed.wire import FrameType
from selection.model import Mask, SegmentKey
from storage.base import Catalog
from storage.records import Lost, Masked, Withdrawn, decode
from tests.origin.feed.feeds import Following, descriptors_count, following, open_node, until
from tests.support.clock import FakeClock
from tests.support.events import candidate, make_key


async def test_what_was_there_and_what_happens_later_is_followed(tmp_path: Path) -> None:
    told = Following()
    async with open_node(tmp_path) as node:
        for number in range(100):
            node.publish(number)
        node.append(Masked("derby", Mask("m", "b", 1)))
        async with following(node.path, told) as client:
            assert not client.is_in_sync
            await client.first_sync.wait()
            assert node.is_followed_by(client)
            assert told.entries == []
            entries = [*node.append(Withdrawn(make_key(1))), *node.append(Lost(make_key(2), "a", 5))]
            await until(lambda: node.is_followed_by(client))
            assert told.entries == entries
            assert client.catalog.choice(make_key(1)) is None
            assert client.is_in_sync


async def test_the_catalog_has_a_record_before_anybody_is_told_of_it(tmp_path: Path) -> None:
    """Who is woken by a choice looks it up."""
    told, seen = Following(), list[bool]()
    async with open_node(tmp_path) as node, following(node.path, told) as client:
        await client.first_sync.wait()
        told.watch = lambda entry: seen.append(client.catalog.choice(entry.key) is not None)
        node.publish(7)
        await until(lambda: node.is_followed_by(client))
        assert seen == [False, True]


async def test_records_while_the_snapshot_is_on_its_way_come_after_it(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        for number in range(0, 6_400, 8):
            node.publish(number)
        async with following(node.path) as client:
            number = 10_000
            while not client.first_sync.is_set():
                node.publish(number)  # a new one, and one that the snapshot may have told or not
                node.append(Withdrawn(make_key((number * 8) % 6_400)))
                number += 1
                await asyncio.sleep(0)
            await until(lambda: node.is_followed_by(client))
        assert number > 10_010


async def test_after_a_restart_of_the_publish_process_everything_is_told_anew(tmp_path: Path) -> None:
    told = Following()
    async with open_node(tmp_path) as node, following(node.path, told) as client:
        node.publish(1)
        await until(lambda: node.is_followed_by(client))
        generation, catalog = client.generation, client.catalog.current
        await node.restart()
        node.publish(2)
        assert client.catalog.choice(make_key(1)) is not None  # delivery goes on with what it has
        await until(lambda: client.snapshots_count == 2 and node.is_followed_by(client))
        assert told.synced == [True, False, True]
        assert client.generation != generation
        assert client.catalog.current is not catalog
        assert client.faults_count == 0


async def test_who_waits_is_told_of_choices_that_were_made_while_the_publish_process_was_away(tmp_path: Path) -> None:
    told = Following(waiting=[make_key(5), make_key(6)])
    async with open_node(tmp_path) as node, following(node.path, told) as client:
        await client.first_sync.wait()
        node.publish(1)
        await node.server.close()
        await until(lambda: told.synced == [True, False])
        node.publish(5)
        await node.restart()
        await until(lambda: client.snapshots_count == 2)
        assert told.swapped == [[], [make_key(5)]]


async def test_the_former_catalog_is_given_back_step_by_step(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node, following(node.path) as client:
        for number in range(320):
            node.publish(number)
        await until(lambda: node.is_followed_by(client))
        former = client.catalog.current
        await node.restart()
        await until(lambda: client.catalog.current is not former and not former.event_ids())
        assert former.used_bytes == 0
        assert node.is_followed_by(client)


async def test_a_deliver_process_may_start_before_the_publish_process(tmp_path: Path) -> None:
    async with following(str(tmp_path / "feed.sock")) as client:
        await asyncio.sleep(0)
        assert not client.is_in_sync
        async with open_node(tmp_path) as node:
            node.publish(1)
            await until(lambda: node.is_followed_by(client))


async def test_silence_is_not_being_in_sync(tmp_path: Path) -> None:
    """As when the publish process is stopped, or its loop blocked: what it knows is not known here."""
    clock = FakeClock(1_000)
    async with open_node(tmp_path, clock=clock) as node, following(node.path, clock=clock) as client:
        await client.first_sync.wait()
        assert (client.lag_ms, client.is_in_sync) == (0, True)
        node.server._beating.cancel()  # type: ignore[union-attr]
        await until(lambda: node.server.workers != [])
        clock.move_to(1_000 + LAG_MS_MAX)
        assert client.is_in_sync
        clock.move_to(1_001 + LAG_MS_MAX)
        assert client.is_following
        assert (client.lag_ms, client.is_in_sync) == (LAG_MS_MAX + 1, False)
        node.server._beat()
        await until(lambda: client.lag_ms == 0)
        assert client.is_in_sync


async def test_a_lost_body_is_reported_once_and_waited_for(tmp_path: Path) -> None:
    reports, may_end = list[tuple[SegmentKey, str, str]](), asyncio.Event()

    async def on_lost(key: SegmentKey, pipeline_id: str, digest: str) -> None:
        reports.append((key, pipeline_id, digest))
        await may_end.wait()
        node.append(Lost(key, pipeline_id, 1))

    async with open_node(tmp_path, ServerHooks(on_lost=on_lost)) as node, following(node.path) as client:
        node.publish(1)
        node.publish(2, "b")
        await until(lambda: node.is_followed_by(client))
        waiting = [asyncio.create_task(client.report_lost(make_key(1), candidate("a"))) for _ in range(3)]
        await until(lambda: bool(reports))
        assert client.catalog.choice(make_key(1)) is not None
        seen = list[bool]()
        for report in waiting:
            report.add_done_callback(lambda _: seen.append(client.catalog.choice(make_key(1)) is None))
        may_end.set()
        await asyncio.gather(*waiting)
        assert seen == [True] * 3
        assert reports == [(make_key(1), "a", candidate("a").digest)]
        assert client.catalog.choice(make_key(1)) is None  # told before the answer
        await client.report_lost(make_key(1), candidate("a"))
        assert len(reports) == 2


async def test_a_report_that_fails_or_takes_very_long_keeps_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("origin.feed.client.REPORT_MS_MAX", 20)
    answers = iter([RuntimeError("disk"), None])

    async def on_lost(key: SegmentKey, pipeline_id: str, digest: str) -> None:
        fault = next(answers)
        if fault is not None:
            raise fault
        await asyncio.Event().wait()

    async with open_node(tmp_path, ServerHooks(on_lost=on_lost)) as node, following(node.path) as client:
        await client.first_sync.wait()
        await client.report_lost(make_key(1), candidate("a"))
        await client.report_lost(make_key(1), candidate("a"))
        await until(lambda: not client._reports)
        assert client.is_following


async def test_a_report_ends_with_the_connection_and_none_is_begun_without_one(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def on_lost(key: SegmentKey, pipeline_id: str, digest: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with open_node(tmp_path, ServerHooks(on_lost=on_lost)) as node, following(node.path) as client:
        await client.first_sync.wait()
        report = asyncio.create_task(client.report_lost(make_key(1), candidate("a")))
        await begun.wait()
        await node.server.close()
        await report
        await until(lambda: not client.is_following)
        await client.report_lost(make_key(1), candidate("a"))
        assert client._reports == {}


async def test_shared_memory_is_told_of_with_its_descriptors_before_the_record_of_a_body(tmp_path: Path) -> None:
    told = Following()
    before = descriptors_count()
    arena = os.memfd_create("arena")
    os.write(arena, b"bytes")
    hooks = ServerHooks(memory=lambda: [MemoryNews(FrameType.ARENA, b"1", arena), MemoryNews(FrameType.PLACED, b"p1")])
    async with open_node(tmp_path, hooks) as node, following(node.path, told) as client:
        await client.first_sync.wait()
        node.publish(1)
        node.server.tell_memory(MemoryNews(FrameType.PLACED, b"p2"))
        told_before = list[int]()
        told.watch = lambda entry: told_before.append(len(told.told))
        node.publish(2)
        node.server.tell_memory(MemoryNews(FrameType.GONE, b"1"))
        await until(lambda: len(told.told) == 4)
        assert told.told == [("arena", b"1"), ("placed", b"p1"), ("placed", b"p2"), ("gone", b"1")]
        assert told_before == [3, 3, 3, 3]
        (received,) = told.descriptors
        assert os.pread(received, 10, 0) == b"bytes"
        os.close(received)
    os.close(arena)
    assert descriptors_count() == before


async def test_an_arena_that_nobody_wants_is_closed(tmp_path: Path) -> None:
    with os.fdopen(os.memfd_create("arena")) as arena:
        news = MemoryNews(FrameType.ARENA, b"1", arena.fileno())
        async with open_node(tmp_path, ServerHooks(memory=lambda: [news])) as node, following(node.path) as client:
            before = descriptors_count()
            await client.first_sync.wait()
            assert descriptors_count() == before + 2  # the two ends of the connection


async def test_following_leaves_nothing_open(tmp_path: Path) -> None:
    before = descriptors_count()
    for _ in range(3):
        async with open_node(tmp_path) as node, following(node.path) as client:
            await client.first_sync.wait()
        (tmp_path / "feed.sock").unlink()
    assert descriptors_count() == before


def catalog_of(client: FeedClient) -> Catalog:
    return client.catalog


async def test_the_following_catalog_answers_as_the_one_behind_it(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node, following(node.path) as client:
        node.publish(1)
        node.append(Masked("derby", Mask("m", "b", 1)))
        await until(lambda: node.is_followed_by(client))
        one: Catalog = node.catalog
        other = catalog_of(client)
        questions: list[Callable[[Catalog], object]] = [
            lambda catalog: catalog.candidates(make_key(1)),
            lambda catalog: catalog.choice(make_key(1)),
            lambda catalog: catalog.masks("derby"),
            lambda catalog: catalog.manifests("derby", "live.mpd"),
            lambda catalog: catalog.undecided(),
            lambda catalog: catalog.has_lost_choice(make_key(1)),
            lambda catalog: catalog.event_ids(),
            lambda catalog: catalog.bucket_numbers("derby"),
            lambda catalog: catalog.buckets("derby"),
            lambda catalog: catalog.expected_bodies("derby", 0),
            lambda catalog: catalog.newest_number("derby", "a"),
            lambda catalog: catalog.live_edge("derby", "v720"),
            lambda catalog: catalog.standing(),
            lambda catalog: catalog.used_bytes,
        ]
        for question in questions:
            assert question(other) == question(one)
        other.apply(decode("9 1000 withdrawn derby v720 1"))
        assert client.catalog.current.choice(make_key(1)) is None
        other.used_bytes = 7
        assert client.catalog.current.used_bytes == 7
