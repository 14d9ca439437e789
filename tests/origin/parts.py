"""The parts of one node without HTTP: real journal, catalog, rules, intake; bodies and clock that tests own."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from origin.admission import Admission
from origin.clock import Clock
from origin.decider import Decider
from origin.inspector import Inspected, Inspector
from origin.intake import Intake, Outcome, Upload
from selection.model import Candidate, Choice, Defect, Event, Facts, Moment
from selection.shedding import LoadLimits
from storage.base import Bodies, Body, Stores
from storage.catalog import MemoryCatalog
from storage.errors import StorageError
from storage.journal import FileJournal
from storage.ram import RamTier
from storage.records import Entry, Record, Standing
from storage.tiered import TieredBodies
from tests.support.bodies import FaultyBodies, MemoryBodies
from tests.support.clock import FakeClock
from tests.support.events import make_key

DUE_MS = 23_000  # of segment 10 of `make_event()`
BODY = b"the whole segment"


class NoLoad:
    """A machine that is never busy: implements `selection.shedding.Signals`."""

    reads_count = 0
    unsent_bytes = 0
    loop_lag_ms = 0.0


def make_admission() -> Admission:
    """Return an admission on a machine that is never busy."""
    return Admission(LoadLimits(100, 1_000_000, 100.0), 50, NoLoad(), lambda *refused: None)


def unbuffered(bodies: Bodies) -> TieredBodies:
    """Return bodies as delivery reads them, over a RAM tier that holds none."""
    return TieredBodies(RamTier(0, lambda key: None), bodies, lambda result: None)


class FaultyJournal(FileJournal):
    """A journal whose disk fails when told to: `append_fault` and `sync_fault` are raised while they are set."""

    def __init__(self, folder: Path, standing: Callable[[], Sequence[Standing]]) -> None:
        super().__init__(folder, fsync=False, standing=standing)
        self.append_fault: StorageError | None = None
        self.sync_fault: StorageError | None = None
        self.flushed = asyncio.Event()
        self.flushed.set()

    def append(self, record: Record, moment: Moment) -> Entry:
        if self.append_fault is not None:
            raise self.append_fault
        return super().append(record, moment)

    async def sync(self) -> None:
        await self.flushed.wait()
        if self.sync_fault is not None:
            raise self.sync_fault


class Node:
    """One node below HTTP. `entries` is what its journal told, `faults` what its parts reported."""

    def __init__(self, folder: Path, event: Event, clock: FakeClock, timers: Clock | None = None) -> None:
        self.event = event
        self.clock = clock
        self.held = MemoryBodies()
        self.bodies = FaultyBodies(self.held)
        self.catalog = MemoryCatalog()
        self.journal = FaultyJournal(folder / "journal", self.catalog.standing)
        self.entries: list[Entry] = []
        self.faults: list[StorageError] = []
        self.stores = Stores(self.bodies, self.journal, self.catalog)
        events, timers = {event.id: event}, timers or clock
        self.decider = Decider(events, self.stores, timers, self.faults.append)
        self.intake = Intake(events, self.stores, self.decider, clock, self.faults.append)
        self.journal.follow(self.catalog.apply)
        self.journal.open()
        self.journal.follow(self.entries.append)

    @property
    def records(self) -> list[Record]:
        """What was recorded since this node started."""
        return [entry.record for entry in self.entries]

    async def publish(
        self, pipeline_id: str = "a", number: int | None = 10, body: bytes = BODY, *defects: Defect
    ) -> Outcome:
        """Take one upload in that arrives now."""
        return await self.intake.publish(
            Upload(make_key(number), pipeline_id, body, self.clock.now_ms(), defects=defects)
        )

    async def make_healthy(self, *pipeline_ids: str, before: int = 10) -> None:
        """Let these pipelines publish the two segments before `before`, so that they are not down."""
        for number in (before - 2, before - 1):
            for pipeline_id in pipeline_ids:
                await self.publish(pipeline_id, number)
        self.entries.clear()

    def record(self, record: Record) -> None:
        """Record something as if it had just happened."""
        self.journal.append(record, self.journal.next_moment(self.clock.now_ms()))

    def choice(self, number: int | None = 10) -> Choice | None:
        """Return the choice in force."""
        return self.catalog.choice(make_key(number))

    def copies(self, number: int | None = 10) -> list[Candidate]:
        """Return the copies of a segment."""
        return list(self.catalog.candidates(make_key(number)))

    def copy_of(self, pipeline_id: str, number: int | None = 10) -> Candidate:
        """Return one pipeline's copy of a segment."""
        return next(copy for copy in self.copies(number) if copy.pipeline_id == pipeline_id)

    def facts_of(self, pipeline_id: str, number: int | None = 10) -> Facts:
        """Return what inspection found in one pipeline's copy."""
        facts = self.copy_of(pipeline_id, number).facts
        assert facts is not None, "it was looked into"
        return facts

    async def look_into(
        self, body: Body, *, number: int | None = 10, pipeline_id: str = "a", event: Event | None = None
    ) -> Inspected:
        """Inspect one body as an origin does that has just started, and take nothing in."""
        return await Inspector(self.stores).inspect(event or self.event, make_key(number), pipeline_id, body)


@contextmanager
def running_node(
    folder: Path, event: Event, clock: FakeClock | None = None, timers: Clock | None = None
) -> Iterator[Node]:
    """Yield a node whose clock stands when segment 10 is due; on leaving, only its journal is left."""
    node = Node(folder, event, clock or FakeClock(DUE_MS), timers)
    try:
        yield node
    finally:
        node.decider.stop()
        node.journal.close()


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)
