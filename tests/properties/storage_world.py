"""One node below HTTP with real files, which can be killed at every step that it takes on disk."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from config.model import Storage
from origin.collector import Collector
from origin.decider import Decider
from origin.disk_watch import DiskWatch
from origin.intake import Intake, Outcome, Upload
from origin.metrics import Metrics
from origin.recovery import sweep
from origin.time_watch import TimeWatch
from selection.model import Event, Moment, SegmentKey
from storage.base import Body, BodyKey, Incoming, Removed, Stores
from storage.bodies import FileBodies
from storage.buckets import INCOMING_FOLDER
from storage.catalog import MemoryCatalog
from storage.errors import BodyDamaged, BodyMissing, StorageError
from storage.journal import FileJournal
from storage.journal_files import list_files, of_line
from storage.media_places import media_place
from storage.ram import RamTier
from storage.records import Entry, Record
from storage.tiered import TieredBodies
from tests.support.clock import FakeClock

# Little enough that bodies of some bytes push each other out of it.
RAM_BYTES: Final = 600
SSD_BYTES: Final = 1024**2
# What others must store so that the disk level is `shrink`, and no more.
BALLAST_BYTES: Final = SSD_BYTES * 92 // 100


class Crash(BaseException):
    """The process is no more. Nothing may handle this but whoever starts the next one."""


class Fuse:
    """Ends the process at one of its next steps on disk, if it was lit."""

    def __init__(self) -> None:
        self.steps_left: int | None = None

    def burn(self) -> None:
        """Come to a step."""
        if self.steps_left == 0:
            self.steps_left = None
            raise Crash
        if self.steps_left is not None:
            self.steps_left -= 1


class FragileBodies:
    """Implements `storage.base.Bodies` with files; a crash may come before and after whatever changes them."""

    def __init__(self, files: FileBodies, fuse: Fuse) -> None:
        self._files = files
        self._fuse = fuse

    async def write(self, key: BodyKey, body: Body) -> None:
        self._fuse.burn()
        await self._files.write(key, body)
        self._fuse.burn()

    def incoming(self) -> Incoming:
        return self._files.incoming()

    async def adopt(self, incoming: Incoming, key: BodyKey, body: Body) -> None:
        self._fuse.burn()
        await self._files.adopt(incoming, key, body)
        self._fuse.burn()

    async def read(self, key: BodyKey) -> bytes:
        return await self._files.read(key)

    async def delete(self, key: BodyKey) -> None:
        self._fuse.burn()
        await self._files.delete(key)
        self._fuse.burn()

    async def set_aside(self, key: BodyKey) -> bool:
        self._fuse.burn()
        is_set_aside = await self._files.set_aside(key)
        self._fuse.burn()
        return is_set_aside

    async def remove_bucket(self, event_id: str, bucket: int | None, files_count_max: int) -> Removed:
        self._fuse.burn()
        removed = await self._files.remove_bucket(event_id, bucket, files_count_max)
        self._fuse.burn()
        return removed


class FragileJournal(FileJournal):
    """A journal before and after whose records a crash may come."""

    def __init__(self, folder: Path, fuse: Fuse, catalog: MemoryCatalog, *, fsync: bool) -> None:
        super().__init__(folder, fsync=fsync, standing=catalog.standing)
        self._fuse = fuse

    def append(self, record: Record, moment: Moment) -> Entry:
        self._fuse.burn()
        entry = super().append(record, moment)
        self._fuse.burn()
        return entry

    def kill(self) -> None:
        """Close as the kernel does when a process ends: nothing is written, nothing flushed, the lock is free."""
        for descriptor in (*self._former, self._descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._former.clear()
        self._descriptor = self._lock = -1


class StorageNode:
    """One life of a node, put together as `origin.app` does it; `recover` begins it, `kill` or `close` ends it.

    Args:
        fuse: Lit by whoever wants this life to end early.
        ballast_bytes: Returns what others store on the same disk.
    """

    def __init__(
        self,
        folder: Path,
        events: Mapping[str, Event],
        clock: FakeClock,
        fuse: Fuse,
        ballast_bytes: Callable[[], int],
        *,
        fsync: bool,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.catalog = MemoryCatalog()
        self.files = FileBodies(folder / "bodies", fsync=fsync)
        self.journal = FragileJournal(folder / "journal", fuse, self.catalog, fsync=fsync)
        self.ram = RamTier(RAM_BYTES, partial(media_place, events))
        self.bodies = TieredBodies(self.ram, FragileBodies(self.files, fuse), lambda _: None)
        self.faults: list[StorageError] = []
        self.stores = stores = Stores(self.bodies, self.journal, self.catalog)
        self.decider = Decider(events, stores, clock, self.faults.append)
        self.intake = Intake(events, stores, self.decider, clock, self.faults.append)
        self.time = TimeWatch(events, clock, folder / "clock-in-doubt")
        # A file system that cannot be asked: how full this machine's is must not matter.
        nowhere, storage = folder / "nowhere", Storage.model_validate({"ssd": SSD_BYTES})
        self.disk = DiskWatch(nowhere, storage, lambda: self.catalog.used_bytes + ballast_bytes(), clock)
        metrics = Metrics(CollectorRegistry(), events.values(), clock.now_ms, self.catalog.newest_number)
        self.collector = Collector(events, stores, clock, self.time, self.disk, metrics)

    def replay(self) -> None:
        """Read the journal."""
        self.journal.follow(self.catalog.apply)
        replay = self.journal.open()
        assert replay.damaged_count == replay.missing_count == 0, "a crash damages no record"
        self.has_records = replay.entries_count > 0

    def recover(self, follower: Callable[[Entry], None]) -> set[BodyKey]:
        """Do what comes after the replay. Returns bodies that nothing speaks of any more and that stay until the next.

        Where a crash came between a better copy and its choice, the former copy is still chosen when the bodies are
        swept, and no longer when that choice is made up for.

        Args:
            follower: Told what is recorded from now on.
        """
        self.journal.follow(follower)
        newest_ms = self.journal.next_moment(0).ms or None
        self.files.open(self.catalog.used_bytes)
        sweep(self.files, self.stores, self.clock, is_complete=self.has_records)
        self.time.compare_with_records(newest_ms)
        self.disk.look()
        self.journal.follow(self.time.observe_entry)
        swept = self.expected_bodies()
        self.decider.resume()
        return swept - self.expected_bodies()

    def kill(self) -> None:
        """End without a last word."""
        self.decider.stop()
        self.journal.kill()
        self.files.close()  # its threads have nothing to do; nothing is written by this

    def close(self) -> None:
        """End as `origin.app` does when it is told to."""
        self.decider.stop()
        self.files.close()
        self.journal.close()

    async def publish(self, upload: Upload, *, is_large: bool) -> Outcome:
        """Take an upload in; a large one has come in by pieces."""
        if not is_large:
            return await self.intake.publish(upload)
        incoming = self.intake.incoming()
        await incoming.write(upload.body)
        await incoming.finish()
        outcome = await self.intake.publish(upload._replace(incoming=incoming))
        await incoming.discard()
        return outcome

    async def read(self, key: SegmentKey) -> bytes | None:
        """Look a choice up and read it, as a request does; None if there is nothing to deliver."""
        while (choice := self.catalog.choice(key)) is not None:
            copy = choice.candidate
            try:
                return await self.bodies.read(address_of(key, copy.pipeline_id, copy.digest))
            except (BodyMissing, BodyDamaged):
                self.decider.lose(key, copy)
                assert self.catalog.choice(key) != choice, "what is lost is not chosen"
        return None

    def expected_bodies(self) -> set[BodyKey]:
        """Return what the catalog says lies on disk."""
        return {
            body
            for event_id in self.catalog.event_ids()
            for bucket in (None, *self.catalog.buckets(event_id))
            for body in self.catalog.expected_bodies(event_id, bucket)
        }

    def snapshot(self, events: Mapping[str, Event], manifest_names: tuple[str, ...]) -> dict[str, Any]:
        """Return all that the catalog says, but for the newest numbers: of those a restart may know less."""
        told: dict[str, Any] = {"used": self.catalog.used_bytes, "undecided": set(self.catalog.undecided())}
        for event_id in events:
            told[f"{event_id} buckets"] = dict(self.catalog.buckets(event_id))
            for name in manifest_names:
                told[f"{event_id} {name}"] = {copy.pipeline_id: copy for copy in self.catalog.manifests(event_id, name)}
        for address in self.expected_bodies():
            told[address] = None
        return told

    def tell(self, key: SegmentKey) -> tuple[object, ...]:
        """Return all that the catalog says of one segment."""
        candidates = {copy.pipeline_id: copy for copy in self.catalog.candidates(key)}
        return candidates, self.catalog.choice(key), self.catalog.has_lost_choice(key)


def address_of(key: SegmentKey, pipeline_id: str, digest: str) -> BodyKey:
    """Return where a copy lies, told without `storage.base.body_key`."""
    number = "init" if key.number is None else str(key.number)
    bucket = "init" if key.number is None else str(key.number // 32)
    return BodyKey(f"{key.event_id}/{bucket}/{key.rendition_id}~{number}~{pipeline_id}~{digest}")


def bodies_on_disk(folder: Path) -> dict[BodyKey, Path]:
    """Return every body there is, by its address."""
    root = folder / "bodies"
    paths = [path for path in root.glob("*/*/*") if not path.relative_to(root).parts[0].startswith(".")]
    return {BodyKey(path.relative_to(root).as_posix()): path for path in paths}


def temporary_files(folder: Path) -> list[Path]:
    """Return what lies where bodies come in."""
    return list((folder / "bodies" / INCOMING_FOLDER).glob("*"))


def buckets_in_journal(folder: Path) -> list[set[tuple[str, int]]]:
    """Return for every journal file, oldest first, event and time bucket of the segments that it speaks of."""
    found = []
    for file in list_files(folder / "journal"):
        entries = [entry for line in file.path.read_bytes().splitlines(keepends=True) if (entry := of_line(line))]
        found.append({(entry.words[3], entry.number // 32) for entry in entries if entry.number is not None})
    return found


def leave_debris(folder: Path, kinds: frozenset[str], stray: BodyKey) -> None:
    """Leave behind what a crash can, while no process is there."""
    if "torn-line" in kinds:
        with list_files(folder / "journal")[-1].path.open("ab") as journal:
            journal.write(b'0f00ba5e 999999 1000000 published derby v 1000 a 00112233445566778899aabbccddeeff 7 {"rec')
    if "temporary" in kinds:
        path = folder / "bodies" / INCOMING_FOLDER / "7.tmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half of")
    if "unrecorded" in kinds:
        path = folder / "bodies" / stray
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"nobody was told of this")


def spoil(path: Path, how: str) -> None:
    """Do to a file what a bad disk does."""
    content = path.read_bytes()
    match how:
        case "flipped":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "cut":
            path.write_bytes(content[:-1])
        case "gone":
            with suppress(FileNotFoundError):
                path.unlink()
