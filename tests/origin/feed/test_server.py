"""The publish process's end of the feed, seen by plain sockets that say what they like."""

import asyncio
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from origin.feed import server as module
from origin.feed.hooks import MemoryNews, ServerHooks, Worker
from origin.feed.wire import (
    BATCH_BYTES,
    VERSION,
    Frame,
    FrameReader,
    FrameType,
    Heartbeat,
    Hello,
    Join,
    Lost,
    LostDone,
    SnapshotEnd,
    Status,
    decode_message,
    decode_records,
    encode_frame,
    encode_message,
)
from selection.model import SegmentKey
from storage.errors import StorageError
from tests.origin.feed.feeds import Following, Node, descriptors_count, following, open_node, until
from tests.support.clock import FakeClock
from tests.support.events import make_key

JOIN = encode_frame(FrameType.JOIN, encode_message(Join(VERSION, "w1", 4711)))


@dataclass
class Peer:
    """A connection that is read and written by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: FrameReader = field(default_factory=FrameReader)
    received: list[Frame] = field(default_factory=list)

    async def next(self, *kinds: FrameType) -> Frame:
        """Return the next frame of these types; others are passed over."""
        while True:
            while self.received:
                frame = self.received.pop(0)
                if frame.type in kinds:
                    return frame
            data = await asyncio.wait_for(self.reader.read(65_536), 20)
            assert data, "the connection has ended"
            self.received += self.frames.feed(data)

    async def read_to_the_end(self) -> None:
        with suppress(ConnectionError):  # when something that was said is not read any more
            await asyncio.wait_for(self.reader.read(), 20)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def connect(node: Node, hello: bytes = JOIN) -> Peer:
    peer = Peer(*await asyncio.open_unix_connection(node.path))
    peer.writer.write(hello)
    return peer


async def test_who_joins_gets_a_snapshot_and_then_records(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        node.publish(1)
        peer = await connect(node)
        hello = decode_message(Hello, (await peer.next(FrameType.HELLO)).payload)
        assert hello == Hello(node.server.generation, 2)
        snapshot = decode_records((await peer.next(FrameType.SNAPSHOT)).payload)
        assert [text.split()[2] for text in snapshot] == ["published", "chosen"]
        end = decode_message(SnapshotEnd, (await peer.next(FrameType.SNAPSHOT_END)).payload)
        assert end.sequence == 2
        node.publish(2)
        entries = await peer.next(FrameType.ENTRIES)
        assert [text.split()[0] for text in decode_records(entries.payload)] == ["3", "4"]  # together
        beat = decode_message(Heartbeat, (await peer.next(FrameType.HEARTBEAT)).payload)
        assert beat.sequence == 4
        await peer.close()


async def test_a_heartbeat_never_overtakes_a_record(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        peer = await connect(node)
        await peer.next(FrameType.SNAPSHOT_END)
        node.publish(1)
        node.server._beat()
        kinds = (FrameType.ENTRIES, FrameType.HEARTBEAT)
        while (frame := await peer.next(*kinds)).type is FrameType.HEARTBEAT:
            assert decode_message(Heartbeat, frame.payload).sequence == 0
        assert len(decode_records(frame.payload)) == 2
        await peer.close()


async def test_each_start_has_a_generation_of_its_own(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        generation = node.server.generation
        await node.restart()
        assert node.server.generation != generation


@pytest.mark.parametrize(
    "said",
    [
        encode_frame(FrameType.JOIN, encode_message(Join(VERSION + 1, "w1", 1))),
        encode_frame(FrameType.JOIN, b"{}"),
        encode_frame(FrameType.STATUS, encode_message(Status(1, 1))),
        JOIN + JOIN,
        JOIN + encode_frame(FrameType.ENTRIES, b"x"),
        JOIN + encode_frame(FrameType.STATUS, b"x"),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_who_says_what_cannot_be_is_sent_away_and_nobody_else(tmp_path: Path, said: bytes) -> None:
    async with open_node(tmp_path) as node, following(node.path) as client:
        await client.first_sync.wait()
        peer = await connect(node, said)
        await peer.read_to_the_end()
        await peer.close()
        node.publish(1)
        await until(lambda: node.is_followed_by(client))
        assert (client.snapshots_count, [worker.name for worker in node.server.workers]) == (1, ["w0"])


async def test_who_follows_is_known_by_name_place_and_delay(tmp_path: Path) -> None:
    clock, told, left = FakeClock(5_000), list[tuple[str, int]](), list[str]()
    hooks = ServerHooks(
        on_status=lambda worker, sequence: told.append((worker.name, sequence)),
        on_left=lambda worker: left.append(worker.name),
    )
    async with open_node(tmp_path, hooks, clock) as node:
        node.publish(1)
        peer = await connect(node)
        await peer.next(FrameType.SNAPSHOT_END)
        assert node.server.workers == [Worker("w1", 4711, 0, 0, 5_000)]
        clock.move_to(5_070)
        peer.writer.write(encode_frame(FrameType.STATUS, encode_message(Status(2, 5_050))))
        await until(lambda: told == [("w1", 2)])
        assert node.server.workers == [Worker("w1", 4711, 2, 20, 5_000)]
        await peer.close()
        await until(lambda: left == ["w1"])
        assert node.server.workers == []


async def test_metrics_come_with_the_name_of_who_sends_them(tmp_path: Path) -> None:
    told = list[tuple[str, int, bytes]]()
    hooks = ServerHooks(on_metrics=lambda worker, payload: told.append((worker.name, worker.process_id, payload)))
    async with open_node(tmp_path, hooks) as node, following(node.path) as client:
        client.send_metrics(b"before there is a connection")
        await client.first_sync.wait()
        client.send_metrics(b"families")
        await until(lambda: bool(told))
        assert told == [("w0", os.getpid(), b"families")]


async def test_losses_are_looked_into_a_few_at_a_time_and_all_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORTS_AT_ONCE", 2)
    begun, may_end = list[SegmentKey](), asyncio.Event()

    async def on_lost(key: SegmentKey, pipeline_id: str, digest: str) -> None:
        begun.append(key)
        await may_end.wait()
        if key.number == 3:
            raise StorageError("journal-append", "full")

    async with open_node(tmp_path, ServerHooks(on_lost=on_lost)) as node:
        peer = await connect(node)
        for number in range(5):
            lost = Lost(number, "derby", "v720", number, "a", "0" * 32)
            peer.writer.write(encode_frame(FrameType.LOST, encode_message(lost)))
        await until(lambda: len(begun) == 2)
        may_end.set()
        done = [decode_message(LostDone, (await peer.next(FrameType.LOST_DONE)).payload) for _ in range(5)]
        assert sorted(each.report_id for each in done) == list(range(5))
        assert sorted(begun) == [make_key(number) for number in range(5)]
        await peer.close()


async def test_what_a_report_has_led_to_is_told_before_it_is_answered(tmp_path: Path) -> None:
    async def on_lost(key: SegmentKey, pipeline_id: str, digest: str) -> None:
        node.publish(7)

    async with open_node(tmp_path, ServerHooks(on_lost=on_lost)) as node:
        peer = await connect(node)
        await peer.next(FrameType.SNAPSHOT_END)
        lost = Lost(1, "derby", "v720", 7, "a", "0" * 32)
        peer.writer.write(encode_frame(FrameType.LOST, encode_message(lost)))
        kinds = [(await peer.next(FrameType.ENTRIES, FrameType.LOST_DONE)).type for _ in range(2)]
        assert kinds == [FrameType.ENTRIES, FrameType.LOST_DONE]
        await peer.close()


async def test_who_reads_nothing_is_cut_off_and_all_it_was_to_get_is_let_go(tmp_path: Path) -> None:
    """With a snapshot on its way that goes no further."""
    async with open_node(tmp_path) as node:
        await node.server.close()
        node.buffer_bytes_max = 2_000_000
        await node.restart()
        for number in range(0, 32 * 2_000, 8):
            node.publish(number)
        stuck = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stuck.connect(node.path)
        stuck.send(JOIN)
        await until(lambda: bool(node.catalog._snapshots))
        await until(lambda: all(s.channel.buffered_bytes > 0 for s in node.server._sessions))
        async with following(node.path) as client:
            await client.first_sync.wait()
            number = 100_000
            while [worker.name for worker in node.server.workers] != ["w0"]:
                node.publish(number)
                number += 8
                if number % 800 == 0:
                    await asyncio.sleep(0)
            await until(lambda: node.is_followed_by(client))
            assert client.snapshots_count == 1
        await until(lambda: not node.server._sessions)
        assert node.catalog._snapshots == []
        stuck.close()


async def test_many_records_of_one_turn_are_cut_into_frames(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        peer = await connect(node)
        await peer.next(FrameType.SNAPSHOT_END)
        for number in range(1_000):
            node.publish(number)
        sequences = list[int]()
        while len(sequences) < 2_000:
            frame = await peer.next(FrameType.ENTRIES)
            assert len(frame.payload) < 2 * BATCH_BYTES
            sequences += [int(text.split()[0]) for text in decode_records(frame.payload)]
        assert sequences == list(range(1, 2_001))
        await peer.close()


async def test_places_and_records_of_one_turn_are_written_at_once_and_at_its_end(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        peer = await connect(node)
        await peer.next(FrameType.SNAPSHOT_END)
        (session,) = node.server._sessions
        for number in (1, 2):
            node.server.tell_memory(MemoryNews(FrameType.PLACED, str(number).encode()))
            node.publish(number)
        await asyncio.sleep(0)
        assert session.channel.buffered_bytes == 0
        data = await peer.reader.read(65_536)
        told = [frame for frame in peer.frames.feed(data) if frame.type is not FrameType.HEARTBEAT]
        assert [frame.type for frame in told] == [FrameType.PLACED, FrameType.PLACED, FrameType.ENTRIES]
        assert len(decode_records(told[-1].payload)) == 4
        await peer.close()


async def test_places_are_told_while_the_snapshot_is_on_its_way_and_records_after_it(tmp_path: Path) -> None:
    def happen() -> None:
        node.server.tell_memory(MemoryNews(FrameType.PLACED, b"2"))
        node.publish(2)
        node.server.flush()

    def joining() -> list[MemoryNews]:
        asyncio.get_running_loop().call_soon(happen)  # the snapshot has been taken then, and nothing of it is sent
        return []

    async with open_node(tmp_path, ServerHooks(memory=joining)) as node:
        node.publish(1)
        peer = await connect(node)
        kinds = (FrameType.PLACED, FrameType.SNAPSHOT, FrameType.SNAPSHOT_END, FrameType.ENTRIES)
        assert [(await peer.next(*kinds)).type for _ in kinds] == list(kinds)
        await peer.close()


async def test_a_large_bucket_is_cut_into_frames(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        for number in range(32):
            for pipeline_id in "abcdefghijklmnopqrstuvwxyz":
                node.publish(number, pipeline_id)
        peer = await connect(node)
        sizes = []
        kinds = (FrameType.SNAPSHOT, FrameType.SNAPSHOT_END)
        while (frame := await peer.next(*kinds)).type is FrameType.SNAPSHOT:
            sizes.append(len(frame.payload))
        assert len(sizes) > 1
        assert max(sizes) < 2 * BATCH_BYTES
        await peer.close()


async def test_descriptors_from_below_are_closed(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer, socket.socket() as own:
            peer.connect(node.path)
            await until(lambda: len(node.server._sessions) == 1)
            before = descriptors_count()
            join = encode_frame(FrameType.JOIN, encode_message(Join(VERSION, "w1", 1)), 1)
            socket.send_fds(peer, [join], [own.fileno()])
            await until(lambda: len(node.server.workers) == 1)
            assert descriptors_count() == before


async def test_no_more_come_in_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 1)
    async with open_node(tmp_path) as node, following(node.path) as client:
        await client.first_sync.wait()
        peer = await connect(node)
        await peer.read_to_the_end()
        await peer.close()
        assert len(node.server._sessions) == 1


class NoDescriptors:
    """A listening socket that has no descriptors for those who come, at first."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.refused_count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def accept(self) -> Any:
        self.refused_count += 1
        if self.refused_count == 1:
            raise OSError(24, "Too many open files")
        return self._listener.accept()


async def test_without_descriptors_newcomers_wait(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        await node.server.close()
        listener = NoDescriptors(node.listener)
        node.listener = listener  # type: ignore[assignment]
        await node.restart()
        async with following(node.path) as client:
            await client.first_sync.wait()
        assert listener.refused_count == 2


async def test_nobody_there_costs_nothing(tmp_path: Path) -> None:
    async with open_node(tmp_path) as node:
        node.publish(1)
        assert (node.server._batch, node.server.sequence) == ([], 2)
        node.server.tell_memory(MemoryNews(FrameType.GONE, b"1"))


async def test_records_wait_for_no_heartbeat(tmp_path: Path) -> None:
    """They go out at the end of the turn in which they were made."""
    told = Following()
    async with open_node(tmp_path) as node, following(node.path, told) as client:
        await client.first_sync.wait()
        assert node.server._beating is not None
        node.server._beating.cancel()
        node.publish(1)
        await until(lambda: len(told.entries) == 2)
