"""Which copy of a packager's manifest is delivered."""

from typing import Final

from selection.model import Event, SegmentKey
from storage.base import Catalog
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
