"""Packagers' own manifests: which pipeline's copy is delivered."""

from collections.abc import Sequence
from typing import Final

from origin.backup import Backups
from origin.clock import Clock
from origin.conditional import Representation
from origin.headers import life_time, manifest_headers
from origin.refusals import storage_fault
from origin.reply import Problem, problem
from origin.representation import Prepared
from origin.serving import Serving
from origin.steps import DeliverRequest, Step
from selection import cache_policy
from selection.model import Event, SegmentKey
from selection.request_class import RequestClass
from storage.base import Catalog, manifest_key
from storage.errors import BodyDamaged, BodyMissing, StorageError
from storage.records import Manifest

# A pipeline's manifest counts as fresh until another pipeline's is newer by this many segments.
LAG_SEGMENTS: Final = 3


def fresh_manifests(catalog: Catalog, event: Event, name: str, now_ms: int) -> list[Manifest]:
    """Return the copies of the unmasked pipelines that keep up with the newest one, in selection order.

    Compared with each other and not with the clock: ffmpeg writes a master playlist once, and that stays
    right for as long as no pipeline writes it again.
    """
    number = event.timeline.number_at_ms(now_ms)
    masks = catalog.masks(event.id)
    copies = {
        copy.pipeline_id: copy
        for copy in catalog.manifests(event.id, name)
        if not any(
            mask.rendition_id is None and mask.covers(SegmentKey(event.id, "", number), copy.pipeline_id)
            for mask in masks
        )
    }
    in_order = [copies[pipeline.id] for pipeline in event.pipelines if pipeline.id in copies]
    newest_ms = max((copy.published_ms for copy in in_order), default=0)
    oldest_ms = newest_ms - LAG_SEGMENTS * event.timeline.duration_ms
    return [copy for copy in in_order if copy.published_ms >= oldest_ms]


class Manifests:
    """Answers requests for manifests: the first fresh copy in selection order whose body can be had."""

    def __init__(self, catalog: Catalog, serving: Serving, backups: Backups, clock: Clock) -> None:
        self._catalog = catalog
        self._serving = serving
        self._backups = backups
        self._clock = clock

    def begin(self, request: DeliverRequest, event: Event, name: str) -> Step:
        """Return what is to be done for a request for a manifest."""
        return self._next(request, event, name, fresh_manifests(self._catalog, event, name, self._clock.now_ms()))

    def _next(self, request: DeliverRequest, event: Event, name: str, manifests: Sequence[Manifest]) -> Step:
        facts = {"event": event.id, "kind": "manifest"}
        if not manifests:
            detail = f"No pipeline has published {name!r} yet."
            reply = problem(Problem.NOT_PUBLISHED_YET, detail, cache_policy.absent(), event=event.id)
            return reply._replace(facts=facts)
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
            self._serving.note_fault(fault)
            if isinstance(fault, BodyMissing | BodyDamaged):
                current = fresh_manifests(self._catalog, event, name, self._clock.now_ms())
                if manifest not in current:  # it was renewed meanwhile
                    return self._serving.complete(request, self._next(request, event, name, current))
                if manifests[1:]:
                    return self._serving.complete(request, self._next(request, event, name, manifests[1:]))
            return self._serving.complete(request, storage_fault()._replace(facts=facts))

        return self._serving.send(request, None, prepared, heal)
