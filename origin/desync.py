"""Watches whether pipelines say the same of the same segment: gauges always, a warning whenever it changes."""

import logging

from origin.logs import fields
from origin.metrics import Metrics
from origin.target import Programmes
from selection.desync import Comparison, Difference, compare
from selection.model import Candidate, Event, SegmentKey
from storage.base import Catalog
from storage.records import Entry, Published

log = logging.getLogger(__name__)


class DesyncWatch:
    """Follows the journal, behind the catalog, and compares each copy with those of the other pipelines."""

    def __init__(self, programmes: Programmes, catalog: Catalog, metrics: Metrics) -> None:
        self._programmes = programmes
        self._catalog = catalog
        self._metrics = metrics
        self._differences: dict[tuple[str, str, str, str], tuple[Difference, ...]] = {}

    def observe(self, entry: Entry) -> None:
        """Compare a copy that was just recorded."""
        record = entry.record
        if not isinstance(record, Published) or record.key.is_init:
            return
        programme = self._programmes.get(record.key.event_id)
        if programme is None:
            return  # a journal of an older configuration
        copies = {copy.pipeline_id: copy for copy in self._catalog.candidates(record.key)}
        in_order = [copies[pipeline.id] for pipeline in programme.event.pipelines if pipeline.id in copies]
        for reference in in_order:
            for other in in_order[in_order.index(reference) + 1 :]:
                if record.candidate in (reference, other):
                    self._compare(programme.event, record.key, reference, other)

    def _compare(self, event: Event, key: SegmentKey, reference: Candidate, other: Candidate) -> None:
        if reference.facts is None or other.facts is None:
            return
        comparison = compare(reference.facts, other.facts)
        if comparison is None:
            return
        pair = (event.id, key.rendition_id, reference.pipeline_id, other.pipeline_id)
        self._metrics.observe_comparison(pair, comparison)
        former = self._differences.get(pair, ())
        if not (reference.is_good and other.is_good):
            return  # told by its defects; what counts here is what no copy shows by itself
        self._differences[pair] = comparison.differences
        if comparison.differences != former:
            _tell(key, reference.pipeline_id, other.pipeline_id, comparison)


def _tell(key: SegmentKey, reference_id: str, other_id: str, comparison: Comparison) -> None:
    facts = fields(
        event=key.event_id,
        rendition=key.rendition_id,
        number=key.number,
        reference=reference_id,
        pipeline=other_id,
        drift_ms=round(float(comparison.drift_ms), 3),
        differences=[difference.value for difference in comparison.differences],
    )
    if comparison.differences:
        log.warning("pipelines disagree", extra=facts)
    else:
        log.info("pipelines agree again", extra=facts)
