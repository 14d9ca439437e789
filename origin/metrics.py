"""Every metric of the origin in one place: names and labels are an interface and are reviewed together.

Built on a registry that is passed in, so that two origins can live in one process. Labels are bounded by
the configuration: never a number, a path or an address.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from origin.connections import Reason as CutReason
from origin.tally import DeliveryTally
from origin.upload_tally import UploadTally
from selection.desync import Comparison, Difference
from selection.model import Event, Loss, Rule
from selection.rank import SEVERITY
from selection.request_class import RequestClass
from selection.shedding import Reason
from selection.window import due_ms, newest_due_number
from storage.errors import StorageError
from storage.records import Chosen, Entry, Lost, Published

# Edges around what matters: a frame, a prefer-wait, a grace, a segment, the hold limit.
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_RELEASE_SECONDS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0)
_LATENESS_SECONDS: Final = (-2.0, -1.0, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)

# What requests are refused for: what `selection.shedding` says, and the bounds on held requests.
SHED_REASONS: Final = (*(reason.value for reason in Reason), "holds", "holds-per-event", "holds-per-segment")


class Metrics:
    """The metrics of one origin.

    Args:
        events: For the label sets, which exist from the start so that rates begin at zero.
        now_ms: Wall clock, for what is computed when Prometheus asks.
        newest_number: Returns the highest number that a pipeline of an event has published, or None.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        events: Iterable[Event],
        now_ms: Callable[[], int],
        newest_number: Callable[[str, str], int | None],
    ) -> None:
        self.registry = registry
        self._events = {event.id: event for event in events}
        self._now_ms = now_ms
        self._newest_number = newest_number
        r = registry
        pipelines = [(event.id, pipeline.id) for event in self._events.values() for pipeline in event.pipelines]
        choices = [(*pipeline, rule.value) for pipeline in pipelines for rule in Rule]
        losses = [(*pipeline, loss.value) for pipeline in pipelines for loss in Loss]
        self.uploads = UploadTally(_LATENESS_SECONDS, pipelines, choices, losses)
        r.register(self.uploads)
        self.uploads_in_progress = Gauge("origin_uploads_in_progress", "Uploads being received.", registry=r)
        self.pipeline_drift = Gauge(
            "origin_drift_seconds",
            "How much later a pipeline's copy begins than that of a reference before it in order.",
            ["event", "rendition", "reference", "pipeline"],
            registry=r,
        )
        self.pipeline_difference = Gauge(
            "origin_disagreement",
            "1 while the newest copies of two pipelines differ in this.",
            ["event", "rendition", "reference", "pipeline", "difference"],
            registry=r,
        )
        self.candidate_defects = Counter(
            "origin_candidate_defects",
            "Defects of published copies, found or declared.",
            ["event", "pipeline", "defect"],
            registry=r,
        )
        self.live_edge_lag = Gauge(
            "origin_live_edge_lag_seconds",
            "Media time between the newest due segment and the newest one a pipeline has published.",
            ["event", "pipeline"],
            registry=r,
        )
        self.deliveries = DeliveryTally(_SECONDS)
        r.register(self.deliveries)
        self.holds_in_progress = Gauge("origin_holds_in_progress", "Requests held now.", registry=r)
        self.hold_duration = Histogram(
            "origin_hold_duration_seconds", "How long a request was held.", ["woken"], buckets=_SECONDS, registry=r
        )
        self.hold_release = Histogram(
            "origin_hold_release_seconds",
            "From the choice of a segment to the first byte written to the last request held for it.",
            buckets=_RELEASE_SECONDS,
            registry=r,
        )
        self.shed = Counter(
            "origin_shed",
            "Requests refused for load, by their class and what was short.",
            ["class", "reason"],
            registry=r,
        )
        self.reads_in_flight = Gauge("origin_reads_in_flight", "Reads of the SSD tier now.", registry=r)
        self.reads_limit = Gauge(
            "origin_reads_limit", "Reads of the SSD tier that may be in flight now behind the live edge.", registry=r
        )
        self.read_duration = Histogram(
            "origin_read_duration_seconds", "Time a read of the SSD tier took.", buckets=_SECONDS, registry=r
        )
        self.unsent_bytes = Gauge(
            "origin_unsent_bytes", "Bytes of answers that clients have not taken yet.", ["listener"], registry=r
        )
        self.loop_lag = Gauge("origin_loop_lag_seconds", "How late the event loop was lately.", registry=r)
        self.connections = Gauge("origin_connections", "Open connections.", ["listener"], registry=r)
        self.connections_refused = Counter(
            "origin_connections_refused", "Connections refused or cut, by reason.", ["listener", "reason"], registry=r
        )
        self.bodies_lost = Counter(
            "origin_bodies_lost", "Copies whose body was missing or damaged.", ["event"], registry=r
        )
        self.collected_buckets = Counter(
            "origin_collected_buckets", "Time buckets deleted because they had aged out.", ["event"], registry=r
        )
        self.collected_bytes = Counter("origin_collected_bytes", "Bytes of bodies deleted.", ["event"], registry=r)
        self.ssd_used = Gauge("origin_ssd_used_bytes", "Bodies on the SSD tier that records speak of.", registry=r)
        self.disk_level = Gauge(
            "origin_disk_level", "1 for the level in force: how full the disk is.", ["level"], registry=r
        )
        self.clock_trusted = Gauge(
            "origin_clock_trusted", "1 while the wall clock is trusted with deleting.", registry=r
        )
        self.ram_evictions = Gauge(
            "origin_ram_evictions", "Bodies that have left the RAM tier to make room since the start.", registry=r
        )
        self.ram_refusals = Gauge(
            "origin_ram_refusals", "Bodies that were too old for the RAM tier since the start.", registry=r
        )
        self.ram_used = Gauge("origin_ram_used_bytes", "Bodies in the RAM tier.", registry=r)
        self.storage_errors = Counter("origin_storage_errors", "Faults of the storage.", ["operation"], registry=r)
        self.limit = Gauge("origin_limit", "Configured bounds, to set beside what is used.", ["name"], registry=r)
        self.ready = Gauge("origin_ready", "1 while this origin may take traffic.", registry=r)
        self._create_label_sets()
        self._create_refusal_sets()

    def set_limits(self, limits: dict[str, int]) -> None:
        """Publish the configured bounds."""
        for name, value in limits.items():
            self.limit.labels(name).set(value)

    def observe_entry(self, entry: Entry) -> None:
        """Follow the journal: count copies and choices. Only what happens now, never a replay."""
        record = entry.record
        if isinstance(record, Published):
            event_id, _, number = record.key
            candidate = record.candidate
            if not self.uploads.knows(event_id, candidate.pipeline_id):
                return  # a journal of an older configuration
            late_ms = None if number is None else candidate.received_ms - due_ms(self._events[event_id], number)
            self.uploads.published(event_id, candidate.pipeline_id, candidate.size_bytes, late_ms)
            for defect in candidate.defects:
                name = defect.name if defect.name in SEVERITY else "other"  # packagers name what they like
                self.candidate_defects.labels(event_id, candidate.pipeline_id, name).inc()
        elif isinstance(record, Chosen):
            event_id, _, number = record.key
            if number is not None:
                self.uploads.chosen(event_id, record.pipeline_id, record.rule.value)
                for pipeline_id, loss in record.losses:
                    self.uploads.lost(event_id, pipeline_id, loss.value)
        elif isinstance(record, Lost) and record.key.event_id in self._events:
            self.bodies_lost.labels(record.key.event_id).inc()

    def observe_upload(self, outcome: str) -> None:
        """Count an answer of the publish listener."""
        self.uploads.answered(outcome)

    def observe_comparison(self, pair: tuple[str, str, str, str], comparison: Comparison) -> None:
        """Tell how a pipeline's newest copy stands to another's; `pair` is event, rendition, reference, pipeline."""
        self.pipeline_drift.labels(*pair).set(float(comparison.drift_ms) / 1000)
        for difference in Difference:
            self.pipeline_difference.labels(*pair, difference.value).set(difference in comparison.differences)

    def observe_collected(self, event_id: str, size_bytes: int) -> None:
        """Count a bucket that was deleted."""
        self.collected_buckets.labels(event_id).inc()
        self.collected_bytes.labels(event_id).inc(size_bytes)

    def refusal_observer(self, listener: str) -> Callable[[str], None]:
        """Return what counts the connections of a listener that are refused or cut, by reason."""
        return lambda reason: self.connections_refused.labels(listener, reason).inc()

    def observe_shed(self, request_class: RequestClass, reason: str) -> None:
        """Count a request that was refused for load."""
        self.shed.labels(request_class.value, reason).inc()

    def observe_hold(self, held_ms: int, woken: bool) -> None:
        """Record one wait of a held request."""
        self.hold_duration.labels("yes" if woken else "no").observe(held_ms / 1000)

    def observe_fault(self, error: StorageError) -> None:
        """Count a storage fault."""
        self.storage_errors.labels(error.operation).inc()

    def _create_label_sets(self) -> None:
        for woken in ("yes", "no"):
            self.hold_duration.labels(woken)
        for event in self._events.values():
            for counter in (self.bodies_lost, self.collected_buckets, self.collected_bytes):
                counter.labels(event.id)
            for pipeline in event.pipelines:
                lag = self.live_edge_lag.labels(event.id, pipeline.id)
                lag.set_function(partial(self._lag_s, event, pipeline.id))
                for defect in (*SEVERITY, "other"):
                    self.candidate_defects.labels(event.id, pipeline.id, defect)

    def _create_refusal_sets(self) -> None:
        for listener in ("publish", "deliver"):
            for cut in CutReason:
                self.connections_refused.labels(listener, cut.value)
        for request_class in RequestClass:
            for reason in SHED_REASONS:
                self.shed.labels(request_class.value, reason)

    def _lag_s(self, event: Event, pipeline_id: str) -> float:
        """Return how far a pipeline is behind the live edge by template; NaN before its first segment."""
        newest = self._newest_number(event.id, pipeline_id)
        if newest is None:
            return float("nan")
        missing_count = max(newest_due_number(event, self._now_ms()) - newest, 0)
        return missing_count * event.timeline.duration_ticks / event.timeline.timescale
