"""Those who look at an origin from outside: a CDN edge that asks for segments, and a follower of the journal."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from selection.model import Candidate, Choice, SegmentKey
from storage.base import Journal
from storage.records import Chosen, Entry, Manifest, ManifestPublished, Published
from tests.support.packagers import Track, start_ms, until_ms

# Longer than anything a test waits for on a loaded machine, and a hang still fails the test that hangs.
PATIENCE_S: Final = 30


@dataclass(frozen=True)
class Delivered:
    """One answer as a cache got it. `number` is None for an init segment or a manifest."""

    path: str
    number: int | None
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked_ms: int
    answered_ms: int


class Reader:
    """Asks like a CDN edge, each thing once. Its arithmetic is its own, to catch the origin's being wrong.

    Args:
        deliver: Base URL, without a slash at the end.
    """

    def __init__(self, session: aiohttp.ClientSession, deliver: str) -> None:
        self._session = session
        self._deliver = deliver

    async def get(self, path: str, number: int | None = None) -> Delivered:
        """Ask for one path below the base URL."""
        asked_ms = time.time_ns() // 1_000_000
        async with self._session.get(f"{self._deliver}/{path}") as answer:
            body = await answer.read()
            answered_ms = time.time_ns() // 1_000_000
            return Delivered(path, number, answer.status, answer.headers, body, asked_ms, answered_ms)

    async def get_url(self, url: str) -> bytes:
        """Return what lies at an address elsewhere."""
        async with self._session.get(url, raise_for_status=True) as answer:
            return await answer.read()

    async def watch(self, event_id: str, track: Track, numbers: Iterable[int]) -> list[Delivered]:
        """Ask for every number the moment its media has ended, whether or not the one before was answered."""

        async def read(number: int) -> Delivered:
            await until_ms(start_ms(number + 1))
            return await self.get(f"{event_id}/{track.name(number)}", number)

        return await asyncio.gather(*(read(number) for number in numbers))


class JournalWatch:
    """Everything a journal records from now on."""

    def __init__(self, journal: Journal) -> None:
        self.entries: list[Entry] = []
        self._waiting: set[asyncio.Event] = set()
        journal.follow(self._note)

    def copies(self, event_id: str, pipeline_id: str) -> dict[SegmentKey, Candidate]:
        """Return the newest copy of each segment that a pipeline has published."""
        return {
            record.key: record.candidate
            for record in (entry.record for entry in self.entries)
            if isinstance(record, Published)
            and record.key.event_id == event_id
            and record.candidate.pipeline_id == pipeline_id
        }

    def choices(self, event_id: str) -> dict[SegmentKey, list[Choice]]:
        """Return the choices made for each segment, oldest first."""
        made: dict[SegmentKey, list[Choice]] = {}
        copies: dict[int, Candidate] = {}
        for entry in self.entries:
            record = entry.record
            if isinstance(record, Published):
                copies[entry.sequence] = record.candidate
            elif isinstance(record, Chosen) and record.key.event_id == event_id:
                made.setdefault(record.key, []).append(record.choice(copies[record.copy_sequence]))
        return made

    def manifests(self, event_id: str, pipeline_id: str, name: str) -> list[Manifest]:
        """Return a pipeline's copies of a manifest, oldest first."""
        return [
            record.manifest
            for record in (entry.record for entry in self.entries)
            if isinstance(record, ManifestPublished)
            and (record.event_id, record.name, record.manifest.pipeline_id) == (event_id, name, pipeline_id)
        ]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; it is looked at after every entry."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    changed.clear()
                    await changed.wait()
        finally:
            self._waiting.discard(changed)

    def _note(self, entry: Entry) -> None:
        self.entries.append(entry)
        for changed in self._waiting:
            changed.set()
