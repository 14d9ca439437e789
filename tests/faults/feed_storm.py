"""Records as a busy origin makes them, at random, and a connection that loses, repeats, swaps and delays frames."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from origin.feed.wire import FrameReader, FrameType, encode_frame
from selection.model import Mask, Rule
from storage.base import bucket_of
from storage.records import (
    Chosen,
    Collected,
    Lost,
    Manifest,
    ManifestPublished,
    Masked,
    Published,
    Record,
    Unmasked,
    Withdrawn,
)
from tests.support.events import candidate, make_key

RENDITIONS = ("v720", "v1080", "a128")
PIPELINES = ("a", "b")
NUMBERS_KEPT = 200


class RecordStorm:
    """Makes records one after the other; what they speak of is what the ones before have left, as a rule."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self._collected = -1
        self._copies: dict[tuple[int, str], tuple[str, int]] = {}

    def records(self, next_sequence: int) -> Iterator[Record]:
        """Yield what happens next; the first gets this place in the journal, and so on."""
        for sequence, record in enumerate(self._some(next_sequence), start=next_sequence):
            if isinstance(record, Published) and record.key.number is not None:
                self._copies[record.key.number, record.key.rendition_id] = (record.candidate.pipeline_id, sequence)
            yield record

    def _some(self, next_sequence: int) -> Iterator[Record]:
        chance = self._random.random()
        if chance < 0.90:
            yield from self._segment(next_sequence)
        elif chance < 0.96:
            yield from self._change()
        elif chance < 0.98:
            name = self._random.choice(["live.mpd", "live.m3u8"])
            yield ManifestPublished("derby", name, Manifest(self._pipeline(), self._digest(), 100, 0, 0))
        elif chance < 0.99:
            yield Masked("derby", Mask(self._random.choice("mn"), self._pipeline(), self._number))
        else:
            yield Unmasked("derby", self._random.choice("mn"))
        oldest = bucket_of(max(self._number - NUMBERS_KEPT, 0)) - 1
        if oldest > self._collected:
            self._collected = oldest
            self._copies = {place: copy for place, copy in self._copies.items() if bucket_of(place[0]) > oldest}
            yield Collected("derby", oldest)

    def _segment(self, next_sequence: int) -> Iterator[Record]:
        if self._random.random() < 0.3:
            self._number += 1
        number, rendition_id = self._number - self._random.choice((0, 0, 0, 1, 5)), self._random.choice(RENDITIONS)
        key = make_key(None if self._random.random() < 0.01 else max(number, 0), rendition_id)
        pipeline_id = self._pipeline()
        yield Published(key, candidate(pipeline_id, digest=self._digest(), size_bytes=self._random.randrange(1, 9_999)))
        if self._random.random() < 0.7:
            yield Chosen(key, pipeline_id, next_sequence, Rule.FIRST_IN_ORDER, 0)

    def _change(self) -> Iterator[Record]:
        """Something about a copy that is there, or was."""
        if not self._copies:
            return
        (number, rendition_id), (pipeline_id, sequence) = self._random.choice(list(self._copies.items()))
        key = make_key(number, rendition_id)
        changes: list[Record] = [
            Withdrawn(key),
            Lost(key, pipeline_id, sequence),
            Chosen(key, pipeline_id, sequence, Rule.MASK, 0),
            Chosen(key, pipeline_id, sequence, Rule.UPGRADE, 0),
        ]
        yield self._random.choice(changes)

    def _pipeline(self) -> str:
        return self._random.choice(PIPELINES)

    def _digest(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


@dataclass
class BadConnection:
    """Stands between a deliver process and the feed.

    Args:
        fault_every: On average one frame in so many that go down is dropped, repeated or swapped; 0 for none.
        is_slow: The first connection hands on one byte a ms, until this is set to False.
    """

    random: random.Random
    fault_every: int = 0
    is_slow: bool = False
    faults_count: int = 0
    connections_count: int = 0

    @asynccontextmanager
    async def listening(self, path: Path, feed_path: str) -> AsyncIterator[None]:
        """Listen at a path, and connect to the feed for everybody who comes."""

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections_count += 1
            may_be_slow = self.connections_count == 1
            down, up = await asyncio.open_unix_connection(feed_path, limit=1024)
            copying = [
                asyncio.create_task(self._copy_up(reader, up)),
                asyncio.create_task(self._copy_down(down, writer, may_be_slow=may_be_slow)),
            ]
            meetings.append((copying, up, writer))
            with suppress(asyncio.CancelledError):
                await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            await _part(copying, up, writer)

        meetings: list[tuple[list[asyncio.Task[None]], asyncio.StreamWriter, asyncio.StreamWriter]] = []
        server = await asyncio.start_unix_server(meet, str(path))
        try:
            yield
        finally:
            server.close()
            for meeting in meetings:
                await _part(*meeting)

    async def _copy_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def _copy_down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_be_slow: bool
    ) -> None:
        frames = FrameReader()
        while may_be_slow and self.is_slow:
            # What was read one by one ends somewhere in a frame, and is put together here.
            for frame in self._garbled(frames, await reader.readexactly(1)):
                writer.write(frame)
            await asyncio.sleep(0.001)
        while data := await reader.read(65_536):
            for frame in self._garbled(frames, data):
                writer.write(frame)
            await writer.drain()

    def _garbled(self, frames: FrameReader, data: bytes) -> Iterator[bytes]:
        held: bytes | None = None
        for kind, payload, _ in frames.feed(data):
            frame = encode_frame(kind, payload)
            fault = self._draw(kind)
            if fault == "swap" and held is None:
                held = frame
                continue
            self.faults_count += bool(fault) or held is not None
            for _ in range({"drop": 0, "repeat": 2}.get(fault, 1)):
                yield frame
            if held is not None:
                yield held
                held = None
        if held is not None:  # nothing came that it could be swapped with
            yield held

    def _draw(self, kind: FrameType) -> str:
        """Draw what happens to a frame; of heartbeats any number may be lost, so that they are left alone."""
        if not self.fault_every or kind is FrameType.HEARTBEAT or self.random.randrange(self.fault_every):
            return ""
        return self.random.choice(["drop", "repeat", "swap"])


async def _part(copying: list["asyncio.Task[None]"], *writers: asyncio.StreamWriter) -> None:
    for task in copying:
        task.cancel()
    await asyncio.gather(*copying, return_exceptions=True)
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
