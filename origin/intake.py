"""Takes a whole upload in: check, store, record, decide. Knows no HTTP.

The order on disk is body, record, announcement: whatever a record speaks of is there. Checks are made
twice, before the body is written and again when it is, because time passes and other uploads end in
between; from the second check to the record nothing waits.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from origin.clock import Clock
from origin.decider import Decider
from origin.inspector import Inspected, Inspector, digest_body
from origin.logs import fields
from origin.one_at_a_time import OneAtATime
from selection.judge import merged
from selection.model import Candidate, Choice, Defect, Event, SegmentKey
from selection.rank import flaws
from selection.window import OUTSIDE, WindowClass, classify, opens_ms
from storage.base import Body, BodyKey, Incoming, Stores, body_key, copy_of, manifest_key
from storage.errors import BodyDamaged, BodyMissing, StorageError
from storage.records import Manifest, ManifestPublished, Published

log = logging.getLogger(__name__)


class Upload(NamedTuple):
    """One pipeline's whole body for a segment or init segment, with what the packager said of it.

    Args:
        received_ms: Arrival of the last byte.
        incoming: Where a large body lies already. The caller discards it in the end.
    """

    key: SegmentKey
    pipeline_id: str
    body: Body
    received_ms: int
    defects: tuple[Defect, ...] = ()
    score: int | None = None
    incoming: Incoming | None = None


class Stored(NamedTuple):
    """It is a candidate now, and survives a kill."""

    candidate: Candidate
    replaced: bool


class Unchanged(NamedTuple):
    """The same bytes were a candidate already."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class TooFarAhead:
    """The clock is more than one segment behind this number."""

    opens_ms: int


@dataclass(frozen=True, slots=True)
class OutsideWindow:
    """Before the event, after it, or out of its DVR window."""

    window_class: WindowClass


@dataclass(frozen=True, slots=True)
class Conflict:
    """This pipeline's copy was chosen and may be in caches; only a less flawed one may replace it."""

    choice: Choice


Refusal = TooFarAhead | OutsideWindow | Conflict
Outcome = Stored | Unchanged | Refusal


class Intake:
    """The publish side of one node, below HTTP.

    Args:
        events: By id.
        on_fault: Told of faults that do not fail an upload.
    """

    def __init__(
        self,
        events: Mapping[str, Event],
        stores: Stores,
        decider: Decider,
        clock: Clock,
        on_fault: Callable[[StorageError], None],
    ) -> None:
        self._events = events
        self._bodies = stores.bodies
        self._journal = stores.journal
        self._catalog = stores.catalog
        self._decider = decider
        self._clock = clock
        self._on_fault = on_fault
        self._inspector = Inspector(stores)
        # Uploads of one object by one pipeline come in one at a time. Addresses are made of digests: without it, bytes
        # that come back just after they were replaced could be written and then deleted as the former ones.
        self._turns = OneAtATime()

    def refuse_by_clock(self, key: SegmentKey) -> TooFarAhead | OutsideWindow | None:
        """Return why no copy of `key` can be taken now, or None. Arithmetic only."""
        if key.number is None:
            return None
        event, now_ms = self._events[key.event_id], self._clock.now_ms()
        window_class = classify(event, key.number, now_ms)
        if window_class in OUTSIDE:
            return OutsideWindow(window_class)
        if now_ms < opens_ms(event, key.number):
            return TooFarAhead(opens_ms(event, key.number))
        return None

    async def publish(self, upload: Upload) -> Outcome:
        """Store one upload as a candidate, record it, and let the rules decide.

        Raises:
            StorageFull, StorageError: Nothing is promised: it may be recorded, but not survive a power cut.
        """
        async with self._turns.turn(upload.key, upload.pipeline_id):
            outcome = await self._publish(upload)
        if isinstance(outcome, Unchanged):
            await self._journal.sync()  # the flush of the upload that recorded it may have failed
        return outcome

    async def _publish(self, upload: Upload) -> Outcome:
        event = self._events[upload.key.event_id]
        found = await self._inspector.inspect(event, upload.key, upload.pipeline_id, upload.body)
        if found.defects or upload.defects:
            found = found._replace(defects=merged(found.defects, upload.defects))
        digest = found.digest
        settled = self._settle(upload, found)
        if settled is not None and not isinstance(settled, Unchanged):
            return settled
        # Written again even if it is unchanged: the file may have been lost since, and this heals it.
        await self._write(body_key(upload.key, upload.pipeline_id, digest), upload)
        settled = self._settle(upload, found)
        if settled is not None:
            await self._discard_unused(upload.key, upload.pipeline_id, digest)
            return settled
        former = copy_of(self._catalog, upload.key, upload.pipeline_id)
        choice = self._catalog.choice(upload.key)
        try:
            candidate = self._record(upload, found)
        except StorageError:
            await self._discard_unused(upload.key, upload.pipeline_id, digest)
            raise
        await self._journal.sync()
        if former is not None:
            await self._discard_unused(upload.key, upload.pipeline_id, former.digest)
        if choice is not None and choice.candidate.pipeline_id == upload.pipeline_id and choice.candidate != former:
            # One that was delivered on after a corrupt copy had replaced it, until now.
            await self._discard_unused(upload.key, upload.pipeline_id, choice.candidate.digest)
        return Stored(candidate, replaced=former is not None)

    def incoming(self) -> Incoming:
        """Return where the body of an upload may be written while it arrives."""
        return self._bodies.incoming()

    async def _write(self, address: BodyKey, upload: Upload) -> None:
        if upload.incoming is None:
            await self._bodies.write(address, upload.body)
        else:
            await self._bodies.adopt(upload.incoming, address, upload.body)

    async def publish_manifest(self, event_id: str, pipeline_id: str, name: str, body: Body) -> bool:
        """Renew one pipeline's manifest. Returns whether it had one by this name before.

        Raises:
            StorageFull, StorageError: The former one stays.
        """
        async with self._turns.turn(event_id, pipeline_id, name):
            return await self._publish_manifest(event_id, pipeline_id, name, body)

    async def _publish_manifest(self, event_id: str, pipeline_id: str, name: str, body: Body) -> bool:
        digest = await digest_body(body)
        address = manifest_key(event_id, name, pipeline_id, digest)
        await self._bodies.write(address, body)
        copies = self._catalog.manifests(event_id, name)
        former = next((copy for copy in copies if copy.pipeline_id == pipeline_id), None)
        is_new = former is None or former.digest != digest
        moment = self._journal.next_moment(self._clock.now_ms())
        manifest = Manifest(pipeline_id, digest, len(body), moment.ms, moment.sequence)
        try:
            self._journal.append(ManifestPublished(event_id, name, manifest), moment)
        except StorageError:
            if is_new:
                await self._discard(address)
            raise
        await self._journal.sync()
        if former is not None and is_new:
            await self._discard(manifest_key(event_id, name, pipeline_id, former.digest))
        return former is not None

    async def check_lost(self, key: SegmentKey, candidate: Candidate) -> None:
        """Look once more for a body that a reader missed, and have it recorded as lost if it is not there, or damaged.

        In turn with uploads of the same copy: one that was just acknowledged has healed it.
        """
        async with self._turns.turn(key, candidate.pipeline_id):
            try:
                await self._bodies.read(body_key(key, candidate.pipeline_id, candidate.digest))
            except (BodyMissing, BodyDamaged):
                self._decider.lose(key, candidate)
            except StorageError as exc:
                self._on_fault(exc)

    def _settle(self, upload: Upload, found: Inspected) -> Unchanged | Refusal | None:
        """Return how an upload ends without a new record, or None if it is to be recorded."""
        copy = copy_of(self._catalog, upload.key, upload.pipeline_id)
        choice = self._catalog.choice(upload.key)
        is_chosen = choice is not None and choice.candidate.pipeline_id == upload.pipeline_id
        # What is said of a copy counts until it is chosen: the choice was made with what was known then.
        says_the_same = copy is not None and (copy.defects, copy.score) == (found.defects, upload.score)
        if copy is not None and copy.digest == found.digest and (is_chosen or says_the_same):
            return Unchanged(copy)
        refusal = self.refuse_by_clock(upload.key)
        if refusal is not None:
            return refusal
        if choice is not None and is_chosen and not upload.key.is_init:
            # Only a less flawed copy may take the place of one that caches may hold: that is an upgrade.
            return None if flaws(found.defects) < flaws(choice.candidate.defects) else Conflict(choice)
        return None

    def _record(self, upload: Upload, found: Inspected) -> Candidate:
        moment = self._journal.next_moment(self._clock.now_ms())
        candidate = Candidate(
            pipeline_id=upload.pipeline_id,
            digest=found.digest,
            size_bytes=len(upload.body),
            published_ms=moment.ms,
            sequence=moment.sequence,
            received_ms=upload.received_ms,
            defects=found.defects,
            score=upload.score,
            facts=found.facts,
        )
        self._journal.append(Published(upload.key, candidate), moment)
        self._decider.consider(upload.key)
        return candidate

    async def _discard_unused(self, key: SegmentKey, pipeline_id: str, digest: str) -> None:
        """Delete a body unless a copy or the choice in force still speaks of it."""
        copy, choice = copy_of(self._catalog, key, pipeline_id), self._catalog.choice(key)
        if copy is not None and copy.digest == digest:
            return
        if choice is not None and (choice.candidate.pipeline_id, choice.candidate.digest) == (pipeline_id, digest):
            return
        await self._discard(body_key(key, pipeline_id, digest))

    async def _discard(self, address: BodyKey) -> None:
        """Delete a body no record speaks of. One that stays costs space only, so a fault here fails nothing."""
        try:
            await self._bodies.delete(address)
        except StorageError as exc:
            log.warning("body not deleted", extra=fields(error=str(exc)))
            self._on_fault(exc)
