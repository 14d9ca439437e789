"""Live traffic on an origin of several processes, and the judge of it.

Two pipelines publish every segment of some renditions at its time. Readers ask for each of them at the moment its
media has ended, on connections they keep; rewinders ask for older ones. A client may repeat a request once, on a new
connection, when its connection broke; it never repeats one that was answered. A packager tries until it is answered.
"""

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.faults.ledger import etag_of
from tests.integration.process import ServerProcess, address_of

EVENT_ID: Final = "derby"
SEGMENT_MS: Final = 480
RENDITIONS: Final = ("v1", "v2", "a1")
# From the end of the media to the first try of a PUT. b is later: its copies are chosen only when a has none.
PIPELINE_DELAYS_MS: Final = {"a": 40, "b": 70}
BODY_BYTES: Final = 30_000
READERS: Final = 6
REWINDERS: Final = 3
REWIND_NUMBERS: Final = 100
REWIND_PAUSE_S: Final = 0.05
RETRY_S: Final = 0.02
# How long a packager goes on trying, and how long the last requests may take when the load ends.
PACKAGER_S: Final = 8.0
ANSWER_S: Final = 15.0
EXPLAINING_AT_ONCE: Final = 16

Segment = tuple[str, int]


class Broken(Exception):
    """A connection ended before its answer did."""


class Answer(NamedTuple):
    """One response; the names of its headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """A connection that is kept, for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_last = False

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent, as far as can be seen from here."""
        return not (self.is_last or self._reader.at_eof() or self._writer.is_closing())

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer.

        Raises:
            Broken: The connection ended first.
        """
        try:
            self._writer.write(request)
            first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, asyncio.IncompleteReadError) as exc:
            self.close()
            raise Broken from exc
        self.is_last = headers.get("connection", "").lower() == "close"
        return Answer(int(first.split()[1]), headers, body)

    def close(self) -> None:
        self.is_last = True
        self._writer.close()


class Wires:
    """The connections of one client to one listener."""

    def __init__(self, url: str) -> None:
        self._address = address_of(url)
        self._idle: list[Wire] = []
        self._all: set[Wire] = set()

    async def ask(self, request: bytes, *, is_new: bool = False) -> Answer:
        """Send a request on a connection that is idle, or on a new one.

        Raises:
            Broken: The connection broke, or could not be made.
        """
        wire = await self._connect() if is_new else await self._take()
        answer = await wire.ask(request)
        if wire.is_last:
            wire.close()
            self._all.discard(wire)
        else:
            self._idle.append(wire)
        return answer

    def close(self) -> None:
        for wire in self._all:
            wire.close()

    async def _take(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if wire.is_usable:
                return wire
            wire.close()
            self._all.discard(wire)
        return await self._connect()

    async def _connect(self) -> Wire:
        try:
            wire = Wire(*await asyncio.open_connection(*self._address))
        except OSError as exc:
            raise Broken from exc
        self._all.add(wire)
        return wire


@dataclass
class Tally:
    """What clients saw.

    Args:
        problems: What nobody should see.
        choices: Every (pipeline, ETag) with which a segment was delivered.
        live_ms: From the end of a segment's media to the whole of its answer, for each live delivery.
        put_ms: From the first try of a PUT to its answer.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    choices: defaultdict[Segment, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    published: set[Segment] = field(default_factory=set)
    live_ms: list[float] = field(default_factory=list)
    put_ms: list[float] = field(default_factory=list)

    def judge_get(self, kind: str, segment: Segment, answer: Answer) -> bool:
        """Take in an answer to a reader. Returns whether it is the segment."""
        rendition, number = segment
        if answer.status != 200:
            self.problems.append(f"{kind} {rendition}/{number}: {answer.status} {answer.body[:300]!r}")
            return False
        pipeline, etag = answer.headers["live-origin-pipeline"], answer.headers["etag"]
        if answer.body != body_of(segment, pipeline) or etag != etag_of(answer.body):
            self.problems.append(f"{kind} {rendition}/{number}: not the bytes of {pipeline}, or not their ETag")
            return False
        self.choices[segment].add((pipeline, etag))
        return True

    def judge_choices(self) -> None:
        """Look whether all readers got the same copy of each segment."""
        for (rendition, number), choices in self.choices.items():
            if len(choices) != 1:
                self.problems.append(f"{rendition}/{number}: delivered as {sorted(choices)}")


class LiveLoad:
    """The clients of one event.

    Args:
        server: A running origin that has the event of `event_document`.
        event_id: Whose segments they publish and ask for.
        early_ms: How long before the end of its media readers ask for a segment; they are held for that time longer.
    """

    def __init__(self, server: ServerProcess, tally: Tally, event_id: str = EVENT_ID, early_ms: int = 0) -> None:
        self._server = server
        self.tally = tally
        self._event_id = event_id
        self._early_ms = early_ms
        self._is_over = False
        self._luck = random.Random(1)
        self._packagers = {each: Wires(server.publish) for each in PIPELINE_DELAYS_MS}
        self._readers = [Wires(server.deliver) for _ in range(READERS)]
        self._rewinders = [Wires(server.deliver) for _ in range(REWINDERS)]
        self.goes = asyncio.Event()  # the first live segment has been delivered

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish and read until the block ends; what is asked for by then is waited for."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._live())
                for wires in self._rewinders:
                    group.create_task(self._rewind(wires))
                yield
                self._is_over = True
        finally:
            self.close()

    def close(self) -> None:
        """Close all connections."""
        for wires in (*self._packagers.values(), *self._readers, *self._rewinders):
            wires.close()

    async def put(self, rendition: str, number: int, pipeline: str, *, is_new: bool = False) -> Answer:
        """Publish a copy, trying until it is answered.

        Raises:
            TimeoutError: Nobody answers.
        """
        body = body_of((rendition, number), pipeline)
        path = f"/{self._event_id}/{pipeline}/{rendition}/{number}.m4s"
        head = f"PUT {path} HTTP/1.1\r\nHost: origin\r\nContent-Length: {len(body)}\r\n\r\n"
        async with asyncio.timeout(PACKAGER_S):
            while True:
                with suppress(Broken):
                    return await self._packagers[pipeline].ask(head.encode() + body, is_new=is_new)
                self.tally.counts["PUT tried again"] += 1
                await asyncio.sleep(RETRY_S)

    async def get(self, wires: Wires, segment: Segment) -> Answer:
        """Ask for a segment; once more if the connection breaks.

        Raises:
            Broken: It broke twice. TimeoutError: Nobody answers.
        """
        request = f"GET /{self._event_id}/{segment[0]}/{segment[1]}.m4s HTTP/1.1\r\nHost: origin\r\n\r\n".encode()
        async with asyncio.timeout(ANSWER_S):
            try:
                return await wires.ask(request)
            except Broken:
                self.tally.counts["GET tried again"] += 1
                return await wires.ask(request, is_new=True)

    async def _live(self) -> None:
        """Start what is to be done for each segment."""
        async with asyncio.TaskGroup() as group:
            number = number_now() + 1
            while not self._is_over:
                await asyncio.sleep(max(end_ms(number) - self._early_ms - time.time() * 1000, 0) / 1000)
                self.tally.counts["live segments"] += len(RENDITIONS)
                for rendition in RENDITIONS:
                    for wires in self._readers:
                        group.create_task(self._read(wires, (rendition, number)))
                    for pipeline in PIPELINE_DELAYS_MS:
                        group.create_task(self._publish((rendition, number), pipeline))
                number += 1

    async def _publish(self, segment: Segment, pipeline: str) -> None:
        await asyncio.sleep((self._early_ms + PIPELINE_DELAYS_MS[pipeline]) / 1000)
        self.tally.counts["PUT wanted"] += 1
        begun_s = time.monotonic()
        try:
            answer = await self.put(*segment, pipeline)
        except TimeoutError:
            self.tally.problems.append(f"PUT {segment} of {pipeline}: no answer")
            return
        self.tally.put_ms.append((time.monotonic() - begun_s) * 1000)
        if answer.status not in (200, 201):
            self.tally.problems.append(f"PUT {segment} of {pipeline}: {answer.status} {answer.body[:300]!r}")
            return
        self.tally.counts["PUT answered"] += 1
        self.tally.published.add(segment)

    async def _read(self, wires: Wires, segment: Segment) -> None:
        self.tally.counts["live wanted"] += 1
        if await self._ask_and_judge("live", wires, segment):
            self.tally.live_ms.append(time.time() * 1000 - end_ms(segment[1]))
            self.tally.counts["live delivered"] += 1
            self.goes.set()

    async def _rewind(self, wires: Wires) -> None:
        while not self._is_over:
            await asyncio.sleep(REWIND_PAUSE_S)
            recent = [each for each in self.tally.published if each[1] > number_now() - REWIND_NUMBERS]
            if recent:
                self.tally.counts["rewinds wanted"] += 1
                segment = self._luck.choice(sorted(recent))
                is_delivered = await self._ask_and_judge("rewind", wires, segment)
                self.tally.counts["rewinds delivered"] += is_delivered

    async def _ask_and_judge(self, kind: str, wires: Wires, segment: Segment) -> bool:
        try:
            answer = await self.get(wires, segment)
        except (Broken, TimeoutError) as exc:
            self.tally.problems.append(f"{kind} {segment}: {type(exc).__name__}")
            return False
        return self.tally.judge_get(kind, segment, answer)


async def judge_explanations(server: ServerProcess, tally: Tally, event_id: str = EVENT_ID) -> None:
    """Compare what was delivered with the journal, as the origin explains it."""
    wires, gate = Wires(server.admin), asyncio.Semaphore(EXPLAINING_AT_ONCE)

    async def judge(segment: Segment, delivered: set[tuple[str, str]]) -> None:
        path = f"/api/v1/events/{event_id}/segments/{segment[0]}/{segment[1]}"
        async with gate:
            answer = await wires.ask(f"GET {path} HTTP/1.1\r\nHost: origin\r\n\r\n".encode())
        choice = json.loads(answer.body)["choice"]
        if choice is None or {(choice["pipeline"], choice["etag"])} != delivered:
            tally.problems.append(f"{segment}: delivered as {sorted(delivered)}, explained as {choice}")
        tally.counts["choices explained"] += 1

    try:
        await asyncio.gather(*(judge(*each) for each in tally.choices.items()))
    finally:
        wires.close()


def event_document(event_id: str = EVENT_ID) -> dict[str, object]:
    """Return an event as a configuration has it; any bytes are media to it."""
    return {
        "id": event_id,
        "segment_duration": f"{SEGMENT_MS}ms",
        "publish_delay": "100ms",
        "dvr_window": "30m",
        "inspection": {"checks": "none"},
        "selection": {"prefer_wait": "50ms"},
        "renditions": [{"id": each, "kind": "video", "bandwidth": 500_000} for each in RENDITIONS],
        "pipelines": [{"id": each} for each in PIPELINE_DELAYS_MS],
    }


def body_of(segment: Segment, pipeline: str) -> bytes:
    """Return the copy that a pipeline makes of a segment; no two are equal."""
    return f"{segment[0]} {segment[1]} {pipeline}\n".encode().ljust(BODY_BYTES, b".")


def number_now() -> int:
    """Return the number of the segment whose media ends next."""
    return int(time.time() * 1000) // SEGMENT_MS


def end_ms(number: int) -> int:
    """Return when the media of a segment ends, in ms of the wall clock."""
    return (number + 1) * SEGMENT_MS
