"""What every upload counts, as plain numbers of the event loop: the publish side's `tally`, for the same reasons."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

REQUESTS: Final = "origin_publish_requests"
BYTES: Final = "origin_publish_bytes"
LATENESS: Final = "origin_publish_lateness_seconds"
CHOICES: Final = "origin_selection"
LOSSES: Final = "origin_selection_loss"
_PIPELINE: Final = ("event", "pipeline")

# What it is about: the ids of event and pipeline, and with choices a rule, with losses a reason.
Whose = tuple[str, ...]


class UploadTally(Collector):
    """Counts answers, copies and choices. The event loop adds; whoever makes a page reads.

    Args:
        edges_s: Upper edges of the histogram of lateness, rising.
        pipelines, choices, losses: Whose numbers are shown before there are any, so that rates begin at zero.
    """

    def __init__(
        self, edges_s: Sequence[float], pipelines: Iterable[Whose], choices: Iterable[Whose], losses: Iterable[Whose]
    ) -> None:
        self._edges_s = tuple(edges_s)
        self._names = (*map(floatToGoString, edges_s), "+Inf")
        self._bytes = dict.fromkeys(pipelines, 0)
        self._lateness = {pipeline: [0] * len(self._names) for pipeline in self._bytes}
        self._requests: defaultdict[Whose, int] = defaultdict(int)
        self._choices: defaultdict[Whose, int] = defaultdict(int, dict.fromkeys(choices, 0))
        self._losses: defaultdict[Whose, int] = defaultdict(int, dict.fromkeys(losses, 0))

    def answered(self, outcome: str) -> None:
        """Count an answer of the publish listener."""
        self._requests[(outcome,)] += 1

    def knows(self, event_id: str, pipeline_id: str) -> bool:
        """Tell whether this is one of `pipelines`: a journal may speak of others."""
        return (event_id, pipeline_id) in self._bytes

    def published(self, event_id: str, pipeline_id: str, size_bytes: int, late_ms: int | None) -> None:
        """Count a copy of one of `pipelines`; an init segment is never late: None."""
        whose = (event_id, pipeline_id)
        self._bytes[whose] += size_bytes
        if late_ms is not None:
            self._lateness[whose][bisect_left(self._edges_s, late_ms / 1000)] += 1

    def chosen(self, event_id: str, pipeline_id: str, rule: str) -> None:
        """Count a choice."""
        self._choices[event_id, pipeline_id, rule] += 1

    def lost(self, event_id: str, pipeline_id: str, reason: str) -> None:
        """Count a choice that was not of this pipeline."""
        self._losses[event_id, pipeline_id, reason] += 1

    def collect(self) -> Iterable[Metric]:
        """Return all of it; may be called in any thread."""
        yield _counter(REQUESTS, "Requests of packagers, by what came of them.", ["outcome"], self._requests)
        yield _counter(BYTES, "Bytes of stored copies.", _PIPELINE, self._bytes)
        yield self._lateness_family()
        labels = [*_PIPELINE, "rule"]
        yield _counter(CHOICES, "Choices, by the pipeline chosen and the rule.", labels, self._choices)
        yield _counter(LOSSES, "Why a pipeline was not chosen.", [*_PIPELINE, "reason"], self._losses)

    def _lateness_family(self) -> Metric:
        family = HistogramMetricFamily(
            LATENESS,
            "Arrival of a segment's last byte after it was due; negative is early.",
            labels=_PIPELINE,
        )
        for whose, counts in self._lateness.items():
            sums = list(map(float, accumulate(list(counts))))
            family.add_metric(whose, list(zip(self._names, sums, strict=True)), sum_value=None)
            # No sum, as it may fall; a count there is all the same, as with prometheus-client's own histograms.
            labels = dict(zip(_PIPELINE, whose, strict=True))
            family.add_sample(f"{LATENESS}_count", labels, sums[-1])
        return family


def _counter(name: str, documentation: str, labels: Sequence[str], counts: Mapping[Whose, int]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for whose, count in list(counts.items()):
        family.add_metric(whose, count)
    return family
