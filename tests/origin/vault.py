"""What deletes and recovers on one node, without HTTP: real files, RAM tier, journal and catalog; a clock tests own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from config.model import Storage
from origin.collector import Collector
from origin.disk_watch import DiskWatch
from origin.metrics import Metrics
from origin.time_watch import TimeWatch
from selection.model import Candidate, Choice, Event, Rule
from storage.base import SEGMENTS_PER_BUCKET, Body, BodyKey, Stores, body_key, digest_of, manifest_key
from storage.bodies import FileBodies
from storage.catalog import MemoryCatalog
from storage.ram import RamTier
from storage.records import Chosen, Collected, Entry, Manifest, ManifestPublished, Published, Record
from storage.tiered import TieredBodies
from tests.origin.parts import FaultyJournal
from tests.storage.disks import files_below
from tests.support.bodies import FaultyFileBodies
from tests.support.clock import FakeClock
from tests.support.events import make_event, make_key

SSD_BYTES = 1024**2
BODY = b"the whole segment"
# Of an event of `make_event()`: the last segment of bucket b is due at 2000 * 32 * (b + 1) + 1000, leaves the DVR
# window 60 s later, and its retention is over after 30 s more.
BUCKET_MS = 2_000 * SEGMENTS_PER_BUCKET
DVR_WINDOW_MS = 60_000
RETENTION_MS = 30_000


def expired_ms(bucket: int) -> int:
    """Return from when on a bucket may go, reckoned apart from the origin's own arithmetic."""
    return BUCKET_MS * (bucket + 1) + 1_000 + DVR_WINDOW_MS + RETENTION_MS


class Vault:
    """One node's storage and what watches over it; `entries` is what its journal told since it started.

    `others_bytes` is what the budget of the disk is filled with beside what is recorded. The file system that is
    looked at is none, so that a test never depends on how full the machine's own disk is.
    """

    def __init__(self, folder: Path, events: Sequence[Event], clock: FakeClock) -> None:
        self.folder = folder / "bodies"
        self.clock = clock
        self.others_bytes = 0
        self.entries: list[Entry] = []
        self._stored: set[BodyKey] = set()
        self.catalog = MemoryCatalog()
        self.files = FileBodies(self.folder, fsync=False)
        self.bodies = FaultyFileBodies(self.files)
        self.ram = RamTier(SSD_BYTES, lambda _: None)
        self.tiers = TieredBodies(self.ram, self.bodies, lambda _: None)
        self.journal = FaultyJournal(folder / "journal", self.catalog.standing)
        self.stores = Stores(self.tiers, self.journal, self.catalog)
        known = {event.id: event for event in events}
        self.metrics = Metrics(CollectorRegistry(), events, clock.now_ms, self.catalog.newest_number)
        self.time = TimeWatch(known, clock)
        storage = Storage(ssd=SSD_BYTES)
        self.disk = DiskWatch(folder / "none", storage, lambda: self.catalog.used_bytes + self.others_bytes, clock)
        self.collector = Collector(known, self.stores, clock, self.time, self.disk, self.metrics)
        self.journal.follow(self.catalog.apply)
        self.journal.open()
        self.files.open(self.catalog.used_bytes)
        self.journal.follow(self.entries.append)

    @property
    def records(self) -> list[Record]:
        """What was recorded since this node started."""
        return [entry.record for entry in self.entries]

    @property
    def paths(self) -> list[str]:
        """The files of bodies that are there."""
        return [path for path in files_below(self.folder) if not path.startswith(".")]

    @property
    def folders(self) -> list[str]:
        """The folders of buckets in which something lies."""
        return sorted({path.rpartition("/")[0] for path in self.paths})

    @property
    def collected(self) -> list[Collected]:
        """What was recorded as gone."""
        return [record for record in self.records if isinstance(record, Collected)]

    async def fill(self) -> None:
        """Store two copies in bucket 0, one in bucket 1, one of an init segment, as if before this node started."""
        for number, pipeline_id in ((0, "a"), (SEGMENTS_PER_BUCKET - 1, "b"), (SEGMENTS_PER_BUCKET, "a"), (None, "a")):
            await self.store(number, pipeline_id)
        self.entries.clear()

    @property
    def in_memory(self) -> list[BodyKey]:
        """The bodies that were stored here and are in memory."""
        return sorted(key for key in self._stored if self.ram.get(key) is not None)

    async def store(
        self, number: int | None, pipeline_id: str = "a", body: bytes = BODY, *, event_id: str = "derby"
    ) -> Candidate:
        """Store and record a copy, in files and in memory, whatever the clock says."""
        key = make_key(number, event_id=event_id)
        digest = digest_of(body)
        await self._write(body_key(key, pipeline_id, digest), body)
        moment = self.journal.next_moment(self.clock.now_ms())
        copy = Candidate(pipeline_id, digest, len(body), moment.ms, moment.sequence, moment.ms)
        self.journal.append(Published(key, copy), moment)
        return copy

    async def store_manifest(self, name: str = "live.mpd", pipeline_id: str = "a", *, event_id: str = "derby") -> None:
        """Store and record a manifest."""
        digest = digest_of(BODY)
        await self._write(manifest_key(event_id, name, pipeline_id, digest), BODY)
        moment = self.journal.next_moment(self.clock.now_ms())
        copy = Manifest(pipeline_id, digest, len(BODY), moment.ms, moment.sequence)
        self.journal.append(ManifestPublished(event_id, name, copy), moment)

    def record(self, record: Record) -> None:
        """Record something as if it had just happened."""
        self.journal.append(record, self.journal.next_moment(self.clock.now_ms()))

    def choose(self, copy: Candidate, number: int | None) -> None:
        """Record that a copy was chosen."""
        self.record(Chosen.of(make_key(number), Choice(copy, Rule.FIRST_IN_ORDER, self.clock.now_ms())))

    async def _write(self, key: BodyKey, body: Body) -> None:
        await self.tiers.write(key, body)
        self._stored.add(key)


@contextmanager
def open_vault(folder: Path, *events: Event, clock: FakeClock | None = None) -> Iterator[Vault]:
    """Yield what lies in a folder; on leaving, only its files are left."""
    vault = Vault(folder, events or [make_event()], clock or FakeClock())
    try:
        yield vault
    finally:
        vault.files.close()
        vault.journal.close()
