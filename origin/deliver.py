"""The deliver side: GET and HEAD of CDN caches.

The order of one GET: read the target from the path; if a choice is recorded, serve it; else let arithmetic
say whether waiting makes sense, hold the request until the choice is made, and look again. Storage is
asked only for the body of a choice.

`begin` decides without waiting and returns what is to be done: an answer, a wait, a read of the lower tier. Who
asked (`origin.lane`, or `answer` here) waits, and asks again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cachetools import LRUCache

from origin.admission import Admission
from origin.backup import Backups
from origin.clock import Clock
from origin.conditional import Representation
from origin.headers import life_time, manifest_headers, media_type, segment_headers
from origin.logs import fields
from origin.manifests import fresh_manifests
from origin.metrics import Metrics
from origin.refusals import (
    no_such_event,
    no_such_name,
    not_there,
    overloaded,
    probe,
    stopping,
    storage_fault,
    wrong_method,
)
from origin.reply import Problem, Reply, problem
from origin.representation import Prepared, Sending, evaluate
from origin.target import Programme, Programmes, event_of, split_path
from origin.waiters import Waiters
from selection import cache_policy
from selection.model import Candidate, Choice, Event, SegmentKey
from selection.names import ManifestName
from selection.rank import is_corrupt
from selection.request_class import RequestClass, request_class
from selection.window import OUTSIDE, WindowClass, classify, expires_ms, gives_up_ms, init_class
from storage.base import Catalog, SharedReads, body_key, manifest_key
from storage.errors import BodyDamaged, BodyMissing, StorageError
from storage.records import Manifest

log = logging.getLogger(__name__)

METHODS: Final = ("GET", "HEAD")
# Where caches ask whether this origin takes requests. No name of an event: those have two parts.
PROBE_PATH: Final = "/healthz"
# Answers kept ready, about 3 KB each, and for how long: their life times in caches are those of the moment they
# were made.
PREPARED_COUNT: Final = 4_096
PREPARED_MS: Final = 1_000

_HOLDABLE: Final = (WindowClass.NEXT, WindowClass.DUE)


@dataclass(frozen=True, slots=True)
class DeliverRequest:
    """A GET or HEAD.

    Args:
        path: Of its target, decoded. raw_path: As it was received, without a query.
        headers: Those that `conditional.FIELDS` names.
    """

    method: str
    path: str
    raw_path: str
    headers: Mapping[str, str]

    @property
    def is_head(self) -> bool:
        return self.method == "HEAD"


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait for the choice of `key`, but no longer than `timeout_ms`, then ask again."""

    key: SegmentKey
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Read:
    """Wait for the body, which is being read from the lower tier; ask `heal` if that fails."""

    prepared: Prepared
    sending: Sending
    reading: "asyncio.Task[bytes]"
    heal: "Heal"


Step = Reply | Hold | Read
Heal = Callable[[StorageError], Awaitable[Step]]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from.

    Args:
        on_lost: Told of a chosen copy whose body is missing or damaged; on return it is decided what takes its place.
    """

    catalog: Catalog
    reads: SharedReads
    on_lost: Callable[[SegmentKey, Candidate], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Gates:
    """What a request passes beside the stores: where it waits, whether it is let in, where else it can go."""

    waiters: Waiters
    admission: Admission
    backups: Backups


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer kept ready: true for this choice, from `made_ms` until `until_ms`."""

    key: SegmentKey
    choice: Choice
    prepared: Prepared
    made_ms: int
    until_ms: int


class Deliverer:
    """Answers requests of the deliver listener."""

    def __init__(
        self,
        programmes: Programmes,
        sources: Sources,
        gates: Gates,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._programmes = programmes
        self._catalog = sources.catalog
        self._reads = sources.reads
        self._on_lost = sources.on_lost
        self._waiters = gates.waiters
        self._admission = gates.admission
        self._backups = gates.backups
        self.clock = clock
        self._metrics = metrics
        self._known: LRUCache[str, _Known] = LRUCache(PREPARED_COUNT)

    async def answer(self, request: DeliverRequest) -> Reply:
        """Answer one request, waiting for what it takes; never raises for what a client or the disk can do."""
        held_ms = 0
        step = self.begin(request)
        while not isinstance(step, Reply):
            if isinstance(step, Read):
                step = await self.fetch(step)
                continue
            begun_ms = self.clock.now_ms()
            woken = await self._waiters.wait(step.key, step.timeout_ms) is not None
            held_ms += self.note_hold(begun_ms, woken=woken)
            step = self.begin(request, held_ms)
        # In the log, not in a header: an answer is the same for everyone.
        return replace(step, facts={**step.facts, "hold_ms": held_ms}) if held_ms else step

    def note_hold(self, begun_ms: int, *, woken: bool) -> int:
        """Count one wait that began at `begun_ms`; returns how many ms it was."""
        waited_ms = max(self.clock.now_ms() - begun_ms, 0)
        self._metrics.observe_hold(waited_ms, woken)
        return waited_ms

    def begin(self, request: DeliverRequest, held_ms: int = 0) -> Step:
        """Return what is to be done for a request that has been held for `held_ms` so far.

        From here to joining the waiting list nothing may await, or a choice made in between would be missed.
        """
        known = self._known.get(request.raw_path)
        if known is not None and known.made_ms <= self.clock.now_ms() < known.until_ms:
            if self._catalog.choice(known.key) == known.choice and request.method in METHODS:
                heal = self._healer(request, known.key, known.choice)
                return self._complete(request, self._send(request, known.key, known.prepared, heal))
            del self._known[request.raw_path]
        return self._complete(request, self._begin(request, held_ms))

    async def fetch(self, read: Read) -> Step:
        """Wait for what is to be sent; returns the answer, or what is to be done instead."""
        try:
            body = await asyncio.shield(read.reading)
        except StorageError as exc:
            return await read.heal(exc)
        return read.sending.reply(read.prepared, body)

    def _begin(self, request: DeliverRequest, held_ms: int) -> Step:
        if request.method not in METHODS:
            return wrong_method(METHODS)
        if request.path == PROBE_PATH:
            return probe(is_stopping=self._waiters.is_closed)
        first, text = split_path(request.path)
        programme = self._programmes.get(event_of(first))
        if programme is None:
            return no_such_event(event_of(first))
        name = programme.names.parse(text)
        if isinstance(name, SegmentKey):
            return self._begin_segment(request, programme, name, text, held_ms)
        if isinstance(name, ManifestName):
            return self._begin_manifest(request, programme.event, name.name)
        return no_such_name(programme.event, text)

    # -- Segments and init segments

    def _begin_segment(
        self, request: DeliverRequest, programme: Programme, key: SegmentKey, text: str, held_ms: int
    ) -> Step:
        event, now_ms = programme.event, self.clock.now_ms()
        choice = self._catalog.choice(key)
        if choice is not None:
            if key.number is not None and classify(event, key.number, now_ms) in OUTSIDE:
                return self._edge_told(key, not_there(event, key, now_ms))
            prepared = self._prepare(request, event, key, choice, text)
            return self._send(request, key, prepared, self._healer(request, key, choice))
        timeout_ms = 0 if request.is_head else self._hold_ms(event, key, now_ms, held_ms)
        if timeout_ms <= 0:
            return self._edge_told(key, not_there(event, key, now_ms))
        if self._waiters.is_closed:
            return self._edge_told(key, stopping())
        bound = self._waiters.refusal(key)
        if bound is not None:
            self._metrics.observe_shed(RequestClass.LIVE_EDGE, bound.replace("_", "-"))
            return self._edge_told(
                key, overloaded(RequestClass.LIVE_EDGE, f"As many requests are held as limits.{bound} allows")
            )
        return Hold(key, timeout_ms)

    def _hold_ms(self, event: Event, key: SegmentKey, now_ms: int, held_ms: int) -> int:
        """Return how much longer a request may wait that has waited `held_ms`: 0 or less where it must not."""
        left_ms = self._waiters.hold_ms_max - held_ms
        if key.number is None:
            return left_ms if init_class(event, now_ms) is WindowClass.NEXT else 0
        if classify(event, key.number, now_ms) not in _HOLDABLE:
            return 0
        return min(left_ms, gives_up_ms(event, key.number) - now_ms)

    def _prepare(self, request: DeliverRequest, event: Event, key: SegmentKey, choice: Choice, text: str) -> Prepared:
        candidate, now_ms = choice.candidate, self.clock.now_ms()
        headers = segment_headers(event, key, choice)
        headers["Content-Type"] = media_type(text, event.rendition(key.rendition_id).kind)
        headers |= life_time(cache_policy.segment(event, key.number, candidate.is_good, now_ms))
        headers |= self._backups.headers(request.raw_path)
        prepared = Prepared(
            body_key(key, candidate.pipeline_id, candidate.digest),
            headers,
            Representation(headers["ETag"], candidate.published_ms // 1000, candidate.size_bytes),
            request_class(event, key.number, now_ms),
            {**_facts(key), "pipeline": candidate.pipeline_id, "rule": choice.rule.value},
        )
        until_ms = now_ms + PREPARED_MS
        if key.number is not None:
            until_ms = min(until_ms, expires_ms(event, key.number))
        self._known[request.raw_path] = _Known(key, choice, prepared, now_ms, until_ms)
        return prepared

    def _send(
        self,
        request: DeliverRequest,
        key: SegmentKey | None,
        prepared: Prepared,
        heal: Heal,
    ) -> Step:
        sending = evaluate(request.headers, prepared, is_head=request.is_head)
        if isinstance(sending, Reply):
            if not request.is_head or key is None:
                return sending
            return self._edge_told(key, sending)
        body = self._reads.read_now(prepared.address)
        needs_read = body is None and not self._reads.is_reading(prepared.address)
        reason = self._admission.refuse(prepared.request_class, needs_read=needs_read)
        if reason is not None:
            reply = overloaded(prepared.request_class, f"This origin is busy ({reason})")
            return replace(reply, facts={**prepared.facts, "class": prepared.request_class.value})
        if body is None:
            return Read(prepared, sending, self._reads.begin_read(prepared.address), heal)
        return sending.reply(prepared, body)

    def _healer(self, request: DeliverRequest, key: SegmentKey, choice: Choice) -> Heal:
        async def heal(fault: StorageError) -> Step:
            self._note_fault(fault)
            if not isinstance(fault, BodyMissing | BodyDamaged):
                return self._complete(request, storage_fault())
            if self._catalog.choice(key) == choice:
                await self._on_lost(key, choice.candidate)
            renewed = self._catalog.choice(key)
            if renewed is None and all(is_corrupt(copy) for copy in self._catalog.candidates(key)):
                programme = self._programmes.get(key.event_id)
                assert programme is not None, "it was there when this request began"
                reply = not_there(programme.event, key, self.clock.now_ms())
                return self._complete(request, self._edge_told(key, reply))
            if renewed is not None and renewed != choice:  # another copy took over, or it was replaced meanwhile
                return self.begin(request)
            # Healed meanwhile, or what takes over could not be recorded: ask again.
            return self._complete(request, storage_fault())

        return heal

    def _edge_told(self, key: SegmentKey, reply: Reply) -> Reply:
        """Add the live edge of the rendition, by which caches compare two origins.

        Only to what is not kept for long: HEAD, and refusals.
        """
        number = self._catalog.live_edge(key.event_id, key.rendition_id)
        facts = {**_facts(key), **reply.facts}
        if number is None:
            return replace(reply, facts=facts)
        return replace(reply, facts=facts, headers={**reply.headers, "Live-Origin-Edge": str(number)}, fields=None)

    # -- Manifests

    def _begin_manifest(self, request: DeliverRequest, event: Event, name: str) -> Step:
        return self._next_manifest(request, event, name, fresh_manifests(self._catalog, event, name, self._now_ms()))

    def _next_manifest(self, request: DeliverRequest, event: Event, name: str, manifests: Sequence[Manifest]) -> Step:
        facts = {"event": event.id, "kind": "manifest"}
        if not manifests:
            detail = f"No pipeline has published {name!r} yet."
            reply = problem(Problem.NOT_PUBLISHED_YET, detail, cache_policy.absent(), event=event.id)
            return replace(reply, facts=facts)
        manifest = manifests[0]
        headers = manifest_headers(name, manifest) | life_time(cache_policy.manifest(event))
        prepared = Prepared(
            manifest_key(event.id, name, manifest.pipeline_id, manifest.digest),
            headers | self._backups.headers(request.raw_path),
            Representation(headers["ETag"], manifest.published_ms // 1000, manifest.size_bytes),
            RequestClass.LIVE_EDGE,
            facts,
        )

        async def heal(fault: StorageError) -> Step:
            self._note_fault(fault)
            if isinstance(fault, BodyMissing | BodyDamaged):
                current = fresh_manifests(self._catalog, event, name, self._now_ms())
                if manifest not in current:  # it was renewed meanwhile
                    return self._complete(request, self._next_manifest(request, event, name, current))
                if manifests[1:]:
                    return self._complete(request, self._next_manifest(request, event, name, manifests[1:]))
            return self._complete(request, replace(storage_fault(), facts=facts))

        return self._send(request, None, prepared, heal)

    # -- What all answers share

    def _complete(self, request: DeliverRequest, step: Step) -> Step:
        """Add to a refusal where else the same path can be asked for; what is delivered says so already."""
        if not isinstance(step, Reply) or "Live-Origin-Backup" in step.headers:
            return step
        backups = self._backups.headers(request.raw_path)
        return replace(step, headers={**step.headers, **backups}, fields=None) if backups else step

    def _now_ms(self) -> int:
        return self.clock.now_ms()

    def _note_fault(self, fault: StorageError) -> None:
        self._metrics.observe_fault(fault)
        log.error("body not readable", extra=fields(error=str(fault)))


def _facts(key: SegmentKey) -> dict[str, object]:
    kind = "init" if key.is_init else "segment"
    return {"event": key.event_id, "kind": kind, "rendition": key.rendition_id, "number": key.number}
