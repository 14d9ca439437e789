"""What all answers of the deliver side go through: the load, the body from memory or a read, what is told beside it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from origin.admission import Admission
from origin.backup import Backups
from origin.logs import fields
from origin.metrics import Metrics
from origin.refusals import not_there, overloaded
from origin.reply import Reply
from origin.representation import Prepared, evaluate
from origin.steps import DeliverRequest, Heal, Read, Step
from origin.waiters import Waiters
from selection.model import Candidate, Event, SegmentKey
from selection.request_class import RequestClass, request_class
from selection.shedding import Reason
from selection.window import WindowClass, classify
from storage.base import Catalog, SharedReads, body_key
from storage.errors import StorageError

log = logging.getLogger(__name__)

# Refusals that caches keep for a segment at most.
_SHORT_LIVED: Final = (WindowClass.NEXT, WindowClass.DUE, WindowClass.GIVEN_UP)


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


class Serving:
    """Sends what was chosen, and tells beside every answer what caches may want to know."""

    def __init__(self, sources: Sources, gates: Gates, metrics: Metrics) -> None:
        self._catalog = sources.catalog
        self._reads = sources.reads
        self._admission = gates.admission
        self._backups = gates.backups
        self._metrics = metrics

    def send(self, request: DeliverRequest, key: SegmentKey | None, prepared: Prepared, heal: Heal) -> Step:
        """Return the answer about a body that exists, or the read it waits for.

        Args:
            key: None for a manifest, which belongs to no rendition.
            heal: Asked what is to be done if the body cannot be had.
        """
        sending = evaluate(request.headers, prepared, is_head=request.is_head)
        if isinstance(sending, Reply):
            if not request.is_head or key is None:
                return sending
            return self.edge_told(key, sending)
        body = self._reads.read_now(prepared.address)
        needs_read = body is None and not self._reads.is_reading(prepared.address)
        reason = self._admission.refuse(prepared.request_class, needs_read=needs_read)
        if reason is not None:
            return _busy(prepared.request_class, reason, prepared.facts)
        if body is None:
            return Read(prepared, sending, self._reads.begin_read(prepared.address), heal)
        return sending.reply(prepared, body)

    def whole(self, prepared: Prepared) -> Reply | None:
        """Return the answer to most requests, whole and from memory; None where there is more to think of."""
        if not self._admission.admits(prepared.request_class):
            return None
        body = self._reads.read_now(prepared.address)
        if body is None:
            return None
        return Reply(200, "served", prepared.fields, body, prepared.facts, False, prepared.whole)

    def shed(
        self, request: DeliverRequest, event: Event, key: SegmentKey, candidate: Candidate, now_ms: int
    ) -> Reply | None:
        """Return the refusal of a request that no load leaves room for, or None. Who asks for no body is let in."""
        asked = request_class(event, key.number, now_ms)
        if asked is RequestClass.LIVE_EDGE or request.is_head or request.headers:
            return None
        address = body_key(key, candidate.pipeline_id, candidate.digest)
        needs_read = not self._reads.is_reading(address) and not self._reads.is_ready(address)
        reason = self._admission.refuse(asked, needs_read=needs_read)
        return None if reason is None else _busy(asked, reason, facts_of(key))

    def absent(self, request: DeliverRequest, event: Event, key: SegmentKey, now_ms: int) -> Reply:
        """Return the refusal of what has no choice now. One that caches may keep for a day tells no live edge."""
        reply = not_there(event, key, now_ms)
        if request.is_head or key.number is None or classify(event, key.number, now_ms) in _SHORT_LIVED:
            return self.edge_told(key, reply)
        return reply._replace(facts=facts_of(key))

    def edge_told(self, key: SegmentKey, reply: Reply) -> Reply:
        """Add the live edge of the rendition, by which caches compare two origins.

        Only to what is not kept for long: HEAD, and refusals of this moment.
        """
        number = self._catalog.live_edge(key.event_id, key.rendition_id)
        facts = {**facts_of(key), **reply.facts}
        if number is None:
            return reply._replace(facts=facts)
        return reply._replace(facts=facts, headers={**reply.headers, "Live-Origin-Edge": str(number)}, head=None)

    def complete(self, request: DeliverRequest, step: Step) -> Step:
        """Add to a refusal where else the same path can be asked for; what is delivered says so already."""
        if not isinstance(step, Reply) or step.outcome == "served" or "Live-Origin-Backup" in step.headers:
            return step
        backups = self._backups.headers(request.raw_path)
        return step._replace(headers={**step.headers, **backups}, head=None) if backups else step

    def note_fault(self, fault: StorageError) -> None:
        """Count and log a body that cannot be had."""
        self._metrics.observe_fault(fault)
        log.error("body not readable", extra=fields(error=str(fault)))


def _busy(asked: RequestClass, reason: Reason, facts: Mapping[str, object]) -> Reply:
    return overloaded(asked, f"This origin is busy ({reason})")._replace(facts=facts)


def facts_of(key: SegmentKey) -> dict[str, object]:
    """Return what the log tells of a segment or init segment."""
    kind = "init" if key.is_init else "segment"
    return {"event": key.event_id, "kind": kind, "rendition": key.rendition_id, "number": key.number}
