"""The deliver side: GET and HEAD of CDN caches.

The order of one GET: read the target from the path; if a choice is recorded, serve it; else let arithmetic
say whether waiting makes sense, hold the request until the choice is made, and look again. Storage is
asked only for the body of a choice.

`begin` decides without waiting and returns what is to be done: an answer, a wait, a read of the lower tier. Who
asked (`origin.lane`, or `answer` here) waits, and asks again.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from origin.clock import Clock
from origin.conditional import Representation
from origin.headers import life_time, media_type, segment_headers
from origin.manifests import Manifests
from origin.metrics import Metrics
from origin.refusals import (
    no_such_event,
    no_such_name,
    overloaded,
    probe,
    stopping,
    storage_fault,
    wrong_method,
)
from origin.reply import Reply
from origin.representation import Prepared
from origin.serving import Gates, Serving, Sources, facts_of
from origin.steps import DeliverRequest, Hold, Read, Step
from origin.target import Programme, Programmes, event_of, split_path
from selection import cache_policy
from selection.model import Choice, Event, SegmentKey
from selection.names import ManifestName
from selection.rank import is_corrupt
from selection.request_class import RequestClass, request_class
from selection.window import OUTSIDE, WindowClass, classify, expires_ms, gives_up_ms, init_class
from storage.base import body_key
from storage.errors import BodyDamaged, BodyMissing, StorageError

METHODS: Final = ("GET", "HEAD")
# Where caches ask whether this origin takes requests. No name of an event: those have two parts.
PROBE_PATH: Final = "/healthz"
# Answers kept ready, about 4 KB each, and for how long: their life times in caches are those of the moment they
# were made.
PREPARED_COUNT: Final = 4_096
PREPARED_MS: Final = 1_000
# Names are short. Only `{event}@{version}` can be as long as a request target, and is then made anew each time.
PREPARED_PATH_LENGTH_MAX: Final = 256

_HOLDABLE: Final = (WindowClass.NEXT, WindowClass.DUE)


@dataclass(slots=True)
class _Known:
    """An answer kept ready: true for this choice, from `made_ms` until `until_ms`.

    Args:
        state: Of the catalog when the choice was seen to be in force.
    """

    key: SegmentKey
    choice: Choice
    prepared: Prepared
    made_ms: int
    until_ms: int
    state: object


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
        self._on_lost = sources.on_lost
        self._waiters = gates.waiters
        self._backups = gates.backups
        self.clock = clock
        self._metrics = metrics
        self._serving = Serving(sources, gates, metrics)
        self._manifests = Manifests(sources.catalog, self._serving, gates.backups, clock)
        self._known: dict[str, _Known] = {}

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
        return step._replace(facts={**step.facts, "hold_ms": held_ms}) if held_ms else step

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
        if known is None or request.method not in METHODS or not self._is_true(known):
            return self._serving.complete(request, self._begin(request, held_ms))
        if request.method == "GET" and not request.headers:
            reply = self._serving.whole(known.prepared)
            if reply is not None:
                return reply
        heal = partial(self._heal, request, known.key, known.choice)
        return self._serving.complete(request, self._serving.send(request, known.key, known.prepared, heal))

    def _is_true(self, known: _Known) -> bool:
        if not known.made_ms <= self.clock.now_ms() < known.until_ms:
            return False
        state = self._catalog.state
        if known.state is not state:
            if self._catalog.choice(known.key) != known.choice:
                return False
            known.state = state
        return True

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
            return self._manifests.begin(request, programme.event, name.name)
        return no_such_name(programme.event, text)

    # -- Segments and init segments

    def _begin_segment(
        self, request: DeliverRequest, programme: Programme, key: SegmentKey, text: str, held_ms: int
    ) -> Step:
        event, now_ms = programme.event, self.clock.now_ms()
        choice = self._catalog.choice(key)
        if choice is not None:
            if key.number is not None and classify(event, key.number, now_ms) in OUTSIDE:
                return self._serving.absent(request, event, key, now_ms)
            # Before anything is prepared: under load what is refused must cost least.
            shed = self._serving.shed(request, event, key, choice.candidate, now_ms)
            if shed is not None:
                return shed
            prepared = self._prepare(request, event, key, choice, text)
            return self._serving.send(request, key, prepared, partial(self._heal, request, key, choice))
        timeout_ms = 0 if request.is_head else self._hold_ms(event, key, now_ms, held_ms)
        if timeout_ms <= 0:
            return self._serving.absent(request, event, key, now_ms)
        if self._waiters.is_closed:
            return self._serving.edge_told(key, stopping())
        bound = self._waiters.refusal(key)
        if bound is not None:
            self._metrics.observe_shed(RequestClass.LIVE_EDGE, bound.replace("_", "-"))
            return self._serving.edge_told(
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
            {**facts_of(key), "pipeline": candidate.pipeline_id, "rule": choice.rule.value},
        )
        if len(request.raw_path) > PREPARED_PATH_LENGTH_MAX:
            return prepared
        until_ms = now_ms + PREPARED_MS
        if key.number is not None:
            until_ms = min(until_ms, expires_ms(event, key.number))
        if len(self._known) >= PREPARED_COUNT:
            self._known.clear()  # in order of use would cost every answer more than making some anew
        self._known[request.raw_path] = _Known(key, choice, prepared, now_ms, until_ms, self._catalog.state)
        return prepared

    async def _heal(self, request: DeliverRequest, key: SegmentKey, choice: Choice, fault: StorageError) -> Step:
        """Return what is to be done where the body of a choice cannot be had."""
        self._serving.note_fault(fault)
        if not isinstance(fault, BodyMissing | BodyDamaged):
            return self._serving.complete(request, storage_fault())
        if self._catalog.choice(key) == choice:
            await self._on_lost(key, choice.candidate)
        renewed = self._catalog.choice(key)
        if renewed is None and all(is_corrupt(copy) for copy in self._catalog.candidates(key)):
            programme = self._programmes.get(key.event_id)
            assert programme is not None, "it was there when this request began"
            reply = self._serving.absent(request, programme.event, key, self.clock.now_ms())
            return self._serving.complete(request, reply)
        if renewed is not None and renewed != choice:  # another copy took over, or it was replaced meanwhile
            return self.begin(request)
        # Healed meanwhile, or what takes over could not be recorded: ask again.
        return self._serving.complete(request, storage_fault())
