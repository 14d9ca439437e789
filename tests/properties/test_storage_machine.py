"""Bodies, journal, catalog, recovery and collector together against a dictionary, with crashes at any step.

The suite makes few, short runs of this machine; `STORAGE_MACHINE_EXAMPLES=2000` in the environment makes as many and
longer ones, which takes some minutes.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from origin.intake import Conflict, Stored, Unchanged, Upload
from selection.capacity import CapacityLevel
from selection.model import Defect, SegmentKey
from storage.base import BodyKey, digest_of, parse_body_key
from tests.properties.storage_model import (
    BODIES,
    DVR_WINDOW_MS,
    EVENTS,
    MANIFESTS,
    MINUTE_MS,
    SEGMENT_MS,
    START_MS,
    Model,
)
from tests.properties.storage_world import (
    BALLAST_BYTES,
    Crash,
    Fuse,
    StorageNode,
    address_of,
    bodies_on_disk,
    buckets_in_journal,
    leave_debris,
    spoil,
    temporary_files,
)
from tests.properties.strategies import exact_end_ms
from tests.support.clock import FakeClock

T = TypeVar("T")

DEFECTS: Final = ("", "", "", "short", "slate", "corrupt")
EXAMPLES: Final = int(os.environ.get("STORAGE_MACHINE_EXAMPLES", "60"))
STEPS: Final = 30 if EXAMPLES <= 100 else 60

events_drawn, pipelines_drawn = st.sampled_from(sorted(EVENTS)), st.sampled_from("ab")
bodies_drawn = st.sampled_from(BODIES)
# How many segments before the newest: at the live edge, and around the end of the window.
ages_drawn = st.none() | st.integers(-2, 6) | st.integers(DVR_WINDOW_MS // SEGMENT_MS - 4, DVR_WINDOW_MS // SEGMENT_MS)
debris_drawn = st.frozensets(st.sampled_from(["torn-line", "temporary", "unrecorded"]))
steps_drawn = st.sampled_from([0, 0, 0, -1, 1, -3, 3, 10]).map(lambda minutes: minutes * MINUTE_MS)


class StorageMachine(RuleBasedStateMachine):
    """One node through several lives.

    The true time is the monotonic clock's and what the wall clock is ahead of it with somebody's word for it. Packagers
    go by the true time: they cannot send what has not been filmed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("storage.journal.ROLL_MS", 20_000)
        self.patch.setattr("origin.collector.STEP_FILES", 3)
        self.patch.setattr("origin.collector.STEP_PAUSE_S", 0)
        self.patch.setattr(logging.root.manager, "disable", logging.CRITICAL)
        self.clock = FakeClock(START_MS)
        self.fuse = Fuse()
        self.debris: frozenset[str] = frozenset()
        self.vouched_ms = self.ballast_bytes = 0
        self.orphans: set[BodyKey] = set()
        self.fsync = False
        self.node = self.new_node()
        self.model = Model(lambda: self.true_ms, lambda: self.node.disk.level)

    def teardown(self) -> None:
        self.fuse.steps_left = None
        self.node.kill()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.patch.undo()
        self.temporary.cleanup()

    # -- What time it is

    @property
    def ahead_ms(self) -> int:
        """By how much the wall clock is ahead of the monotonic one."""
        return self.clock.now_ms() - self.clock.monotonic_ms()

    @property
    def true_ms(self) -> int:
        return self.clock.monotonic_ms() + self.vouched_ms

    # -- Lives of the node

    def new_node(self) -> StorageNode:
        return StorageNode(self.folder, EVENTS, self.clock, self.fuse, lambda: self.ballast_bytes, fsync=self.fsync)

    def begin(self, before: dict[str, Any] | None) -> None:
        """Start a node, again if it is killed meanwhile; `before` is what the last one knew."""
        while True:
            self.node = self.new_node()
            self.node.replay()
            if before is not None:
                assert self.snapshot() == before, "a restart knows what was known before it"
            try:
                self.orphans = self.node.recover(self.model.follow)
            except Crash:
                before = self.snapshot()
                self.node.kill()
                continue
            break
        if self.node.time.is_trusted and self.ahead_ms > self.vouched_ms:
            self.vouched_ms = self.ahead_ms  # nothing measured the time in between: only days would be noticed
        self.check_journal(self.buckets())

    def end(self, *, is_killed: bool) -> dict[str, Any]:
        before = self.snapshot()
        (self.node.kill if is_killed else self.node.close)()
        return before

    def snapshot(self) -> dict[str, Any]:
        told = self.node.snapshot(EVENTS, MANIFESTS)
        return told | {str(key): self.node.tell(key) for key in self.model.keys}

    def act(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do something to its end; None if the process came to its own before."""
        try:
            return self.loop.run_until_complete(self.settle(work))
        except Crash:
            self.crash()
            return None

    async def settle(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait also for what goes on in the background, or examples could not be repeated."""
        try:
            return await work
        finally:
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    def crash(self) -> None:
        before = self.end(is_killed=True)
        self.leave_debris(self.debris)
        self.begin(before)

    def leave_debris(self, kinds: frozenset[str]) -> None:
        stray = address_of(SegmentKey("derby", "v", self.newest_number), "a", digest_of(b"nobody was told of this"))
        leave_debris(self.folder, kinds, stray)

    @property
    def newest_number(self) -> int:
        return EVENTS["derby"].timeline.number_at_ms(self.true_ms) - 1

    # -- Rules

    @initialize(fsync=st.booleans())
    def start(self, fsync: bool) -> None:
        self.fsync = fsync
        self.begin(None)

    @rule(
        event_id=events_drawn,
        rendition_id=st.sampled_from("vw"),
        pipeline_id=pipelines_drawn,
        age=ages_drawn,
        body=bodies_drawn,
        defect=st.sampled_from(DEFECTS),
        is_large=st.booleans(),
    )
    def publish(
        self,
        event_id: str,
        rendition_id: str,
        pipeline_id: str,
        age: int | None,
        body: bytes,
        defect: str,
        is_large: bool,
    ) -> None:
        number = None if age is None else self.newest_number - age
        defects = (Defect(defect),) if defect else ()
        upload = Upload(
            SegmentKey(event_id, rendition_id, number), pipeline_id, body, self.clock.now_ms(), defects=defects
        )
        self.take_in(upload, is_large=is_large)

    def take_in(self, upload: Upload, *, is_large: bool = False) -> None:
        key, digest = upload.key, digest_of(upload.body)
        address = address_of(key, upload.pipeline_id, digest)
        former = self.model.copies.get((key, upload.pipeline_id))
        self.orphans |= self.model.replaced(key)
        outcome = self.act(self.node.publish(upload, is_large=is_large))
        copy = self.model.copies.get((key, upload.pipeline_id))
        match outcome:
            case None:
                return
            case Stored(candidate) | Unchanged(candidate):
                assert copy == candidate and copy.digest == digest and copy.size_bytes == len(upload.body)
                self.model.rotten.pop(address, None)  # the same bytes sent again heal what was lost
                if key.number is not None and isinstance(outcome, Stored):
                    age_ms = self.clock.now_ms() - exact_end_ms(EVENTS[key.event_id], key.number) - 1_000
                    assert age_ms < DVR_WINDOW_MS, "nothing is taken that would be collected at once"
            case Conflict(choice):
                assert copy == former and self.model.chosen[key] == choice.candidate
            case _:
                assert copy == former

    @rule(count=st.integers(1, 8), body=bodies_drawn)
    def stream(self, count: int, body: bytes) -> None:
        """Let both pipelines go on in time."""
        for _ in range(count):
            self.pass_time(SEGMENT_MS)
            for pipeline_id in "ab":
                key = SegmentKey("derby", "v", self.newest_number)
                self.take_in(Upload(key, pipeline_id, body, self.clock.now_ms()))
        if count == 8 and self.ahead_ms == self.vouched_ms:
            self.node.time.look()
            assert self.node.time.is_trusted, "who is punctual confirms a clock that is right"

    @rule(event_id=events_drawn, pipeline_id=pipelines_drawn, name=st.sampled_from(MANIFESTS), body=bodies_drawn)
    def publish_manifest(self, event_id: str, pipeline_id: str, name: str, body: bytes) -> None:
        had_one = (event_id, name, pipeline_id) in self.model.manifests
        is_renewed = self.act(self.node.intake.publish_manifest(event_id, pipeline_id, name, body))
        if is_renewed is not None:
            assert is_renewed is had_one
            assert self.model.manifests[event_id, name, pipeline_id] == digest_of(body)

    @rule(passed_ms=st.integers(0, 2_000) | st.integers(0, 200_000))
    def pass_time(self, passed_ms: int) -> None:
        until_ms = self.clock.now_ms() + passed_ms
        try:
            self.clock.move_to(until_ms)
        except Crash:
            self.crash()
            self.clock.move_to(max(until_ms, self.clock.now_ms()))

    @rule(step_ms=steps_drawn)
    def step_clock(self, step_ms: int) -> None:
        self.clock.step(step_ms)
        self.collect()

    @rule()
    def confirm_clock(self) -> None:
        """An operator says that the wall clock is right; the origin looks at it every second."""
        self.node.time.look()
        self.node.time.confirm()
        assert self.node.time.is_trusted
        self.vouched_ms = self.ahead_ms

    @rule(is_full=st.booleans())
    def fill_disk(self, is_full: bool) -> None:
        self.ballast_bytes = BALLAST_BYTES if is_full else 0

    @rule()
    def collect(self) -> None:
        was_there = self.buckets()
        buckets_count = self.act(self.node.collector.collect())
        if buckets_count is None:
            return
        level = CapacityLevel.SHRINK if self.ballast_bytes else CapacityLevel.AMPLE
        assert self.node.disk.level is level
        if self.ahead_ms > self.vouched_ms or not self.node.time.is_trusted:
            assert buckets_count == 0, "nothing is deleted by a clock that nobody has confirmed"
        if self.node.time.is_trusted:
            self.check_bounds()
            if buckets_count:
                self.check_journal(was_there)

    @rule(count=st.integers(1, 6), body=bodies_drawn)
    def grow_old(self, count: int, body: bytes) -> None:
        """Let half a bucket's time pass again and again, with a copy and a collection each time."""
        for _ in range(count):
            key = SegmentKey("derby", "v", self.newest_number)
            self.take_in(Upload(key, "a", body, self.clock.now_ms()))
            self.pass_time(16 * SEGMENT_MS)
            self.collect()

    @rule(steps_count=st.integers(0, 5), debris=debris_drawn)
    def light_fuse(self, steps_count: int, debris: frozenset[str]) -> None:
        """Let the process be killed at one of its next steps on disk."""
        self.fuse.steps_left, self.debris = steps_count, debris

    @rule(is_killed=st.booleans(), debris=debris_drawn, down_ms=st.integers(0, 60_000), step_ms=steps_drawn)
    def restart(self, is_killed: bool, debris: frozenset[str], down_ms: int, step_ms: int) -> None:
        before = self.end(is_killed=is_killed)
        if is_killed:
            self.leave_debris(debris)
        self.clock.move_to(self.clock.now_ms() + down_ms)
        self.clock.step(step_ms)
        self.begin(before)

    @rule(index=st.integers(0), how=st.sampled_from(["flipped", "cut", "gone"]), is_read=st.booleans())
    def rot(self, index: int, how: str, is_read: bool) -> None:
        addresses = sorted(self.model.kept().keys() - self.model.rotten.keys())
        if not addresses:
            return
        address = addresses[index % len(addresses)]
        spoil(self.folder / "bodies" / address, how)
        self.model.rotten[address] = how
        self.node.ram.drop(address)
        key = parse_body_key(address)
        assert key is not None
        if is_read:
            self.look_up(key)

    @rule(index=st.integers(0))
    def read(self, index: int) -> None:
        keys = sorted(self.model.keys, key=str)
        if keys:
            self.look_up(keys[index % len(keys)])

    def look_up(self, key: SegmentKey) -> None:
        body = self.act(self.node.read(key))
        chosen = self.model.chosen.get(key)
        if body is not None:
            assert chosen is not None and body == self.model.bytes_of[chosen.digest]

    # -- What holds after every rule

    @invariant()
    def the_catalog_knows_what_was_acknowledged_and_nothing_else(self) -> None:
        catalog, model = self.node.catalog, self.model
        for key in model.keys:
            copies = {copy.pipeline_id: copy for copy in catalog.candidates(key)}
            choice = catalog.choice(key)
            assert copies == {pipeline: copy for (of, pipeline), copy in model.copies.items() if of == key}
            assert (None if choice is None else choice.candidate) == model.chosen.get(key)
        assert self.node.expected_bodies() == model.kept().keys() | model.kept_manifests().keys()
        assert not self.node.faults

    @invariant()
    def the_disk_holds_it_byte_for_byte_and_nothing_else(self) -> None:
        kept, manifests, rotten = self.model.kept(), self.model.kept_manifests(), self.model.rotten
        found = bodies_on_disk(self.folder)
        digests = {address: copy.digest for address, copy in kept.items()} | manifests
        gone = {address for address, how in rotten.items() if how == "gone"}
        assert found.keys() - self.orphans - digests.keys() == set()
        assert digests.keys() - found.keys() == gone
        for address, digest in digests.items():
            assert address in rotten or found[address].read_bytes() == self.model.bytes_of[digest]
        assert temporary_files(self.folder) == []
        assert self.node.catalog.used_bytes == self.model.recorded_bytes()

    @invariant()
    def what_is_in_memory_is_on_disk(self) -> None:
        kept = self.model.kept().keys() | self.model.kept_manifests().keys() | self.orphans
        for address, body in self.node.ram._cache.items():
            assert address in kept
            assert body == self.model.bytes_of[address.rpartition("~")[2]]

    def check_bounds(self) -> None:
        """After collecting by a clock that is trusted, nothing is left that has aged out."""
        for address in {*bodies_on_disk(self.folder), *self.node.ram._cache, *self.node.expected_bodies()}:
            event = EVENTS[address.partition("/")[0]]
            now_ms, retention_ms = self.clock.now_ms(), 0 if self.ballast_bytes else event.retention_ms
            kept_ms = event.publish_delay_ms + event.dvr_window_ms + retention_ms
            if event.last_number is not None:
                over_ms = exact_end_ms(event, event.last_number) + event.retry_deadline_ms + kept_ms
                assert now_ms < over_ms, f"{address} is left of an event that is over"
            key = parse_body_key(address)
            if key is not None and key.number is not None:
                assert now_ms < exact_end_ms(event, key.number | 31) + kept_ms, f"{address} is left"

    def buckets(self) -> set[tuple[str, int]]:
        return {(event_id, bucket) for event_id in EVENTS for bucket in self.node.catalog.buckets(event_id)}

    def check_journal(self, was_there: set[tuple[str, int]]) -> None:
        """No file is left at the beginning of the journal that nobody needs.

        But for what was needed when the collection began: while files are being dropped, others wait for the next one.
        """
        for _ in "ab":  # the first one may only say what stands, in a file that has just begun
            self.loop.run_until_complete(self.node.journal.sync())
        spoken_of = buckets_in_journal(self.folder)
        assert len(spoken_of) <= 2 or not self.node.journal._has_collected or spoken_of[0] & was_there


# Hypothesis takes up to five minutes to find the shortest way to a failure.
TestStorage = pytest.mark.timeout(600 + EXAMPLES)(StorageMachine.TestCase)
TestStorage.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    phases=set(Phase) - {Phase.explain},  # takes longer than all others together
)
