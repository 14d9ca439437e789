"""The load under which an origin is killed: packagers of both pipelines and caches, all of it noted in a ledger.

Everything at once: bodies of 1 byte to 3 MiB, of known length and chunked, fast and slow; new segments, other bytes
for old ones, the same bytes again, declared defects and what takes their place, init segments and manifests.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import aiohttp

from tests.faults.ledger import INIT, MANIFEST, Copy, Fate, Ledger, Target, Told, etag_of

EVENT_ID: Final = "derby"
SEGMENT_MS: Final = 200
RENDITIONS: Final = ("v720", "v1080")
MANIFESTS: Final = ("live.mpd", "v720/media.m3u8")
PIPELINES: Final = ("a", "b")
WITH_TEXT: Final = {"Content-Type": "application/octet-stream"}

# Smallest and largest size in bytes, and how many of a hundred bodies are between them.
SIZES: Final = (((1, 4_096), 62), ((4_096, 200_000), 32), ((200_000, 3 * 1024**2), 6))
PIECE_BYTES: Final = 64 * 1024
PACKAGERS: Final = 24
SLOW_PACKAGERS: Final = 6
READERS: Final = 4
# How long a slow packager rests between two pieces: the crash shall find it within a body.
REST_S: Final = 0.01
# Of what waits for a better copy, one is told what one is told of a hole.
NOT_CHOSEN: Final = (404, 410)
MISFORTUNES: Final = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError)


class Load:
    """Packagers and readers of one run of an origin; they stop when it is gone.

    Args:
        numbers: Segment numbers that nobody has published yet, newest first.
    """

    def __init__(self, ledger: Ledger, luck: random.Random, numbers: list[int]) -> None:
        self._ledger = ledger
        self._luck = luck
        self._numbers = numbers
        self._busy: set[tuple[Target, str]] = set()
        self._waiting_for_b: list[Target] = []
        self._acknowledged: list[Target] = []
        self._answered = asyncio.Event()
        self.touched: set[Target] = set()

    async def run(self, publish: str, deliver: str, kill: Callable[[], Awaitable[None]], uploads_count: int) -> None:
        """Publish and read until `kill` has ended the origin; it is called after about `uploads_count` uploads."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            for index in range(PACKAGERS + SLOW_PACKAGERS):
                group.create_task(self._publish(session, publish, is_slow=index >= PACKAGERS))
            for _ in range(READERS):
                group.create_task(self._read(session, deliver))
            goal = self._ledger.counts["uploads kept"] + uploads_count
            while self._ledger.counts["uploads kept"] < goal:
                self._answered.clear()
                await self._answered.wait()
            # Not at an answer, but at any moment between two.
            await asyncio.sleep(self._luck.random() * 0.02)
            await kill()

    async def _publish(self, session: aiohttp.ClientSession, publish: str, *, is_slow: bool) -> None:
        while True:
            copy = self._next_copy(is_slow=is_slow)
            self._busy.add((copy.target, copy.pipeline))
            try:
                if not await self._put(session, publish, copy, is_slow=is_slow):
                    return
            finally:
                self._busy.discard((copy.target, copy.pipeline))

    async def _put(self, session: aiohttp.ClientSession, publish: str, copy: Copy, *, is_slow: bool) -> bool:
        """Send one upload and note how it ended. Returns whether the origin is still there."""
        self.touched.add(copy.target)
        sent = _Sent(copy.body, REST_S if is_slow else 0)
        headers = dict(WITH_TEXT)
        if copy.defect:
            headers["Live-Origin-Defects"] = copy.defect
        if not is_slow:
            headers["Content-Length"] = str(copy.size_bytes)
        url = f"{publish}/{EVENT_ID}/{copy.pipeline}/{copy.target.path}"
        try:
            async with session.put(url, data=sent.pieces(), headers=headers) as response:
                status, text = response.status, await response.read()
        except MISFORTUNES:
            self._ledger.note(copy, Fate.LOST if sent.is_whole else Fate.CUT)
            return False
        self._take_answer(copy, status, text)
        self._answered.set()
        return True

    def _take_answer(self, copy: Copy, status: int, text: bytes) -> None:
        if status == 409:
            self._ledger.note(copy, Fate.REFUSED)
            return
        if status not in (200, 201):
            self._ledger.note(copy, Fate.REFUSED)
            self._ledger.breach(f"PUT {copy.target.path} of {copy.pipeline}: answered {status} {text!r}")
            return
        self._ledger.note(copy, Fate.KEPT)
        self._acknowledged.append(copy.target)
        if copy.target.is_manifest:
            return
        told = json.loads(text)
        if told["etag"] != copy.etag:
            self._ledger.breach(f"PUT {copy.target.path} of {copy.pipeline}: answered {told['etag']}, sent {copy.etag}")
        self._ledger.counts[f"answered {told['outcome']}"] += 1
        if told["choice"] is not None:
            etag = copy.etag if told["chosen"] else None
            self._ledger.tell(copy.target, Told(told["choice"]["pipeline"], etag))
            if told["choice"]["rule"] == "upgrade":
                self._ledger.counts["upgrades told"] += 1

    async def _read(self, session: aiohttp.ClientSession, deliver: str) -> None:
        while True:
            if not self._acknowledged:
                self._answered.clear()
                await self._answered.wait()
                continue
            target = self._luck.choice(self._acknowledged[-50:])
            is_certain = target.is_manifest or self._ledger.is_chosen(target)
            try:
                async with session.get(f"{deliver}/{EVENT_ID}/{target.path}") as response:
                    told = Told(response.headers.get("Live-Origin-Pipeline", ""), response.headers.get("ETag", ""))
                    status, body = response.status, await response.read()
            except MISFORTUNES:
                return
            if status == 200 and etag_of(body) != told.etag:
                self._ledger.breach(f"{target.path}: {told} delivered with another body")
            elif status == 200 and not target.is_manifest:
                self._ledger.tell(target, told)
            elif status not in ((200,) if is_certain else (200, *NOT_CHOSEN)):
                self._ledger.breach(f"{target.path}: answered {status} while others are served")

    # -- What is sent next

    def _next_copy(self, *, is_slow: bool) -> Copy:
        luck = self._luck
        turn = luck.random()
        if turn < 0.06:
            place = (Target(luck.choice(RENDITIONS), INIT), luck.choice(PIPELINES))
        elif turn < 0.12:
            place = (Target(MANIFEST, luck.choice(MANIFESTS)), luck.choice(PIPELINES))
        elif turn < 0.35 and self._acknowledged:
            place = (luck.choice(self._acknowledged), luck.choice(PIPELINES))
        elif turn < 0.6 and self._waiting_for_b:
            place = (self._waiting_for_b.pop(luck.randrange(len(self._waiting_for_b))), "b")
        else:
            place = self._new_segment()
        if place in self._busy:
            place = self._new_segment()
        kept = self._ledger.kept(*place)
        if kept is not None and luck.random() < 0.3:
            return kept
        return Copy(*place, luck.getrandbits(48), self._size_bytes(is_slow=is_slow), self._defect(place[0]))

    def _new_segment(self) -> tuple[Target, str]:
        target = Target(self._luck.choice(RENDITIONS), str(self._numbers.pop()))
        self._waiting_for_b.append(target)
        return target, "a" if self._luck.random() < 0.9 else "b"

    def _size_bytes(self, *, is_slow: bool) -> int:
        if is_slow:
            return self._luck.randrange(2 * PIECE_BYTES, 20 * PIECE_BYTES)
        ((smallest, largest),) = self._luck.choices([span for span, _ in SIZES], [share for _, share in SIZES])
        return self._luck.randint(smallest, largest)

    def _defect(self, target: Target) -> str | None:
        if target.is_manifest or target.name == INIT:
            return None
        return self._luck.choices([None, "odd", "short", "slate"], [70, 10, 10, 10])[0]


class _Sent:
    """A body on its way."""

    def __init__(self, body: bytes, rest_s: float) -> None:
        self._body = body
        self._rest_s = rest_s
        self.is_whole = False

    async def pieces(self) -> AsyncIterator[bytes]:
        for begin in range(0, len(self._body), PIECE_BYTES):
            if begin and self._rest_s:
                await asyncio.sleep(self._rest_s)
            piece = self._body[begin : begin + PIECE_BYTES]
            self.is_whole = begin + len(piece) == len(self._body)
            yield piece
