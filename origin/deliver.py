"""The deliver side: GET and HEAD of CDN caches.

The order of one GET: read the target from the path; if a choice is recorded, serve it; else let arithmetic
say whether waiting makes sense, hold the request until the choice is made, and look again. Storage is
asked only for the body of a choice.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never

from origin import conditional
from origin.clock import Clock
from origin.headers import etag, http_date, life_time, media_type, segment_headers
from origin.logs import fields
from origin.metrics import Metrics
from origin.reply import Problem, Reply, problem
from origin.target import Programme, Programmes, event_of, split_path
from origin.waiters import Waiters
from selection import cache_policy
from selection.cache_policy import CachePolicy
from selection.model import Candidate, Choice, Event, SegmentKey
from selection.names import ManifestName
from selection.rank import is_corrupt
from selection.window import OUTSIDE, WindowClass, classify, due_ms, gives_up_ms
from storage.base import BodyKey, Stores, body_key, manifest_key
from storage.errors import BodyDamaged, BodyMissing, StorageError
from storage.records import Manifest

log = logging.getLogger(__name__)

METHODS: Final = ("GET", "HEAD")
# A pipeline's manifest counts as fresh until another pipeline's is newer by this many segments.
MANIFEST_LAG_SEGMENTS: Final = 3

_HOLDABLE: Final = (WindowClass.NEXT, WindowClass.DUE)
_REFUSALS: Final = {
    WindowClass.BEFORE_START: (Problem.BEFORE_START, "Segment {number} is older than the event."),
    WindowClass.AFTER_END: (Problem.AFTER_END, "Segment {number} is after the event's end."),
    WindowClass.FUTURE: (Problem.TOO_EARLY, "Segment {number} is due in {due_in_ms} ms; ask again shortly before."),
    WindowClass.NEXT: (Problem.NOT_PUBLISHED_YET, "Segment {number} is due in {due_in_ms} ms and not there yet."),
    WindowClass.DUE: (Problem.NOT_PUBLISHED_YET, "Segment {number} was due {late_ms} ms ago and is not there yet."),
    WindowClass.GIVEN_UP: (Problem.NEVER_PUBLISHED, "Segment {number} was due {late_ms} ms ago; nobody published it."),
    WindowClass.EXPIRED: (Problem.LEFT_WINDOW, "Segment {number} has left the DVR window."),
}


@dataclass(frozen=True, slots=True)
class DeliverRequest:
    """A GET or HEAD, with those of its headers that `conditional.FIELDS` names."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def is_head(self) -> bool:
        return self.method == "HEAD"


class Deliverer:
    """Answers requests of the deliver listener.

    Args:
        on_lost: Told of a chosen copy whose body is missing or damaged; on return it is decided what takes its place.
    """

    def __init__(
        self,
        programmes: Programmes,
        stores: Stores,
        waiters: Waiters,
        clock: Clock,
        metrics: Metrics,
        on_lost: Callable[[SegmentKey, Candidate], Awaitable[None]],
    ) -> None:
        self._programmes = programmes
        self._catalog = stores.catalog
        self._bodies = stores.bodies
        self._waiters = waiters
        self._clock = clock
        self._metrics = metrics
        self._on_lost = on_lost

    async def answer(self, request: DeliverRequest) -> Reply:
        """Answer one request; never raises for what a client or the disk can do."""
        if request.method not in METHODS:
            allow = ", ".join(METHODS)
            return problem(Problem.METHOD, f"Use {allow} here.", cache_policy.unknown(), headers={"Allow": allow})
        first, text = split_path(request.path)
        programme = self._programmes.get(event_of(first))
        if programme is None:
            return problem(Problem.UNKNOWN_EVENT, f"No event {event_of(first)!r} here.", cache_policy.unknown())
        name = programme.names.parse(text)
        if isinstance(name, SegmentKey):
            reply = await self._answer_segment(request, programme, name, text)
            kind = "init" if name.is_init else "segment"
            facts = {"kind": kind, "rendition": name.rendition_id, "number": name.number}
        elif isinstance(name, ManifestName):
            reply = await self._answer_manifest(request, programme.event, name.name)
            facts = {"kind": "manifest"}
        else:
            detail = f"{text!r} is no name of event {programme.event.id!r}."
            return problem(Problem.UNKNOWN_NAME, detail, cache_policy.unknown(), event=programme.event.id)
        return replace(reply, facts={"event": programme.event.id, **facts, **reply.facts})

    async def _answer_segment(self, request: DeliverRequest, programme: Programme, key: SegmentKey, text: str) -> Reply:
        event, held_ms = programme.event, 0
        while True:
            # From this look-up to `wait` nothing awaits, or a choice made in between would be missed.
            choice = self._catalog.choice(key)
            if choice is not None:
                return _held(await self._serve(request, programme, key, choice, text), held_ms)
            now_ms = self._clock.now_ms()
            hold_ms = 0 if request.is_head else self._hold_ms(event, key, now_ms, held_ms)
            if hold_ms <= 0:
                return _held(self._refuse(event, key, now_ms), held_ms)
            if self._waiters.is_closed:
                reply = problem(Problem.STOPPING, "This origin is stopping; ask another.", cache_policy.absent())
                return _held(reply, held_ms)
            if self._waiters.is_full:
                detail = "As many requests are held as limits.holds allows; ask again."
                reply = problem(Problem.OVERLOADED, detail, cache_policy.overload(), {"Retry-After": "5"})
                return _held(reply, held_ms)
            woken = await self._waiters.wait(key, hold_ms)
            waited_ms = max(self._clock.now_ms() - now_ms, 0)
            held_ms += waited_ms
            self._metrics.observe_hold(waited_ms, woken)

    def _hold_ms(self, event: Event, key: SegmentKey, now_ms: int, held_ms: int) -> int:
        """Return how much longer a request may wait that has waited `held_ms`: 0 or less where it must not."""
        left_ms = self._waiters.hold_ms_max - held_ms
        if key.number is None:
            return left_ms if _init_class(event, now_ms) is WindowClass.NEXT else 0
        if classify(event, key.number, now_ms) not in _HOLDABLE:
            return 0
        return min(left_ms, gives_up_ms(event, key.number) - now_ms)

    def _refuse(self, event: Event, key: SegmentKey, now_ms: int) -> Reply:
        if key.number is None:
            window_class = _init_class(event, now_ms)
            kind, _ = _REFUSALS[window_class]
            detail = f"No init segment of rendition {key.rendition_id!r} has been published."
            # Init segments may be published at any time, so nothing is certain for long.
            policy = cache_policy.absent() if window_class is WindowClass.NEXT else cache_policy.unknown()
            return problem(kind, detail, policy, event=event.id, rendition=key.rendition_id)
        window_class = classify(event, key.number, now_ms)
        kind, text = _REFUSALS[window_class]
        due = due_ms(event, key.number)
        return problem(
            kind,
            text.format(number=key.number, due_in_ms=due - now_ms, late_ms=now_ms - due),
            cache_policy.negative(event, key.number, window_class, now_ms),
            {"Live-Origin-Due": str(due)},
            event=event.id,
            rendition=key.rendition_id,
            segment_number=key.number,
            due_ms=due,
        )

    async def _serve(
        self, request: DeliverRequest, programme: Programme, key: SegmentKey, choice: Choice, text: str
    ) -> Reply:
        event, candidate = programme.event, choice.candidate
        now_ms = self._clock.now_ms()
        if key.number is not None and classify(event, key.number, now_ms) in OUTSIDE:
            return self._refuse(event, key, now_ms)
        headers = segment_headers(event, key, choice)
        headers["Content-Type"] = media_type(text, event.rendition(key.rendition_id).kind)
        headers |= life_time(cache_policy.segment(event, key.number, candidate.is_good, now_ms))
        selected = conditional.Representation(headers["ETag"], candidate.published_ms // 1000, candidate.size_bytes)
        address = body_key(key, candidate.pipeline_id, candidate.digest)
        try:
            reply = await self._render(request, selected, headers, address)
        except (BodyMissing, BodyDamaged) as exc:
            self._storage_fault(exc)
            if self._catalog.choice(key) == choice:
                await self._on_lost(key, candidate)
            renewed = self._catalog.choice(key)
            if renewed is None and all(is_corrupt(copy) for copy in self._catalog.candidates(key)):
                return self._refuse(event, key, now_ms)
            if renewed is not None and renewed != choice:  # another copy took over, or it was replaced meanwhile
                return await self._serve(request, programme, key, renewed, text)
            reply = self._storage_fault(exc)  # healed meanwhile, or what takes over could not be recorded: ask again
        except StorageError as exc:
            reply = self._storage_fault(exc)
        facts = {"pipeline": candidate.pipeline_id, "rule": choice.rule.value}
        return replace(reply, facts=facts)

    async def _answer_manifest(self, request: DeliverRequest, event: Event, name: str) -> Reply:
        manifests = self._fresh_manifests(event, name)
        reply = problem(
            Problem.NOT_PUBLISHED_YET,
            f"No pipeline has published {name!r} yet.",
            cache_policy.absent(),
            event=event.id,
        )
        for manifest in manifests:
            headers = {
                "Content-Type": media_type(name),
                "ETag": etag(manifest.digest),
                "Last-Modified": http_date(manifest.published_ms // 1000),
                "Accept-Ranges": "bytes",
                "Live-Origin-Pipeline": manifest.pipeline_id,
                "CMSD-Static": f'ot=m,st=l,at={manifest.published_ms},n="live-origin"',
                **life_time(cache_policy.manifest(event)),
            }
            selected = conditional.Representation(headers["ETag"], manifest.published_ms // 1000, manifest.size_bytes)
            address = manifest_key(event.id, name, manifest.pipeline_id, manifest.digest)
            try:
                return await self._render(request, selected, headers, address)
            except (BodyMissing, BodyDamaged) as exc:
                if self._fresh_manifests(event, name) != manifests:
                    return await self._answer_manifest(request, event, name)  # it was renewed meanwhile
                reply = self._storage_fault(exc)  # then the next pipeline's
            except StorageError as exc:
                return self._storage_fault(exc)
        return reply

    def _fresh_manifests(self, event: Event, name: str) -> list[Manifest]:
        """Return the copies of the unmasked pipelines that keep up with the newest one, in selection order.

        Compared with each other and not with the clock: ffmpeg writes a master playlist once, and that stays
        right for as long as no pipeline writes it again.
        """
        number = event.timeline.number_at_ms(self._clock.now_ms())
        masks = self._catalog.masks(event.id)
        copies = {
            copy.pipeline_id: copy
            for copy in self._catalog.manifests(event.id, name)
            if not any(
                mask.rendition_id is None and mask.covers(SegmentKey(event.id, "", number), copy.pipeline_id)
                for mask in masks
            )
        }
        in_order = [copies[pipeline.id] for pipeline in event.pipelines if pipeline.id in copies]
        newest_ms = max((copy.published_ms for copy in in_order), default=0)
        oldest_ms = newest_ms - MANIFEST_LAG_SEGMENTS * event.timeline.duration_ms
        return [copy for copy in in_order if copy.published_ms >= oldest_ms]

    async def _render(
        self,
        request: DeliverRequest,
        selected: conditional.Representation,
        headers: dict[str, str],
        address: BodyKey,
    ) -> Reply:
        """Return the answer about a body that exists, reading it only when it is sent."""
        evaluation = conditional.evaluate(request.headers, selected, is_head=request.is_head)
        match evaluation:
            case conditional.NotModified():
                return Reply(304, "not-modified", headers)
            case conditional.Failed():
                return problem(Problem.PRECONDITION, "The precondition does not hold.", _policy_of_failure())
            case conditional.Unsatisfiable():
                content_range = {"Content-Range": f"bytes */{selected.size_bytes}", "Accept-Ranges": "bytes"}
                detail = f"The object has {selected.size_bytes} bytes."
                return problem(Problem.RANGE, detail, _policy_of_failure(), content_range)
            case conditional.Whole():
                size_bytes, status, outcome = selected.size_bytes, 200, "served"
                part = slice(None)
            case conditional.Part(first, last):
                headers["Content-Range"] = f"bytes {first}-{last}/{selected.size_bytes}"
                size_bytes, status, outcome = last - first + 1, 206, "served-part"
                part = slice(first, last + 1)
            case _:
                assert_never(evaluation)
        if request.is_head:
            return Reply(status, outcome, headers | {"Content-Length": str(size_bytes)})
        body = await self._bodies.read(address)
        return Reply(status, outcome, headers, body if status == 200 else body[part])

    def _storage_fault(self, exc: StorageError) -> Reply:
        self._metrics.observe_fault(exc)
        log.error("body not readable", extra=fields(error=str(exc)))
        return problem(Problem.STORAGE, "This origin cannot read the body now; ask another.", cache_policy.absent())


def _init_class(event: Event, now_ms: int) -> WindowClass:
    """Return where an init segment nobody has published stands: it comes with the first segment, if at all."""
    if event.end_ms is not None and now_ms >= event.end_ms:
        return WindowClass.AFTER_END
    if classify(event, event.first_number, now_ms) is WindowClass.FUTURE:
        return WindowClass.FUTURE
    return WindowClass.NEXT


def _held(reply: Reply, held_ms: int) -> Reply:
    """Tell in the log how long a request was held. Not in a header: an answer is the same for everyone."""
    return replace(reply, facts={**reply.facts, "hold_ms": held_ms}) if held_ms else reply


def _policy_of_failure() -> CachePolicy:
    """412 and 416 depend on the request's own headers: kept as short as can be expressed."""
    return cache_policy.absent()
