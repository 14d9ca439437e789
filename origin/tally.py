"""What every answer of the deliver side counts: plain numbers of the event loop, shown as metrics when asked for.

The counters of prometheus-client take a lock each, and look up their labels by hashing strings: 5 us for an answer
that takes 10 in all (measured). Here the event loop is the only one that adds; whoever makes a page reads.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from origin.reply import Reply

REQUESTS: Final = "origin_deliver_requests"
BYTES: Final = "origin_deliver_bytes"
DURATION: Final = "origin_deliver_duration_seconds"
BODIES: Final = "origin_cache_requests"
SOURCES: Final = ("ram", "ssd", "shared")


class DeliveryTally(Collector):
    """Counts answers, their bytes and seconds, and where bodies were read from.

    Args:
        edges_s: Upper edges of the histogram of seconds, rising.
    """

    def __init__(self, edges_s: Sequence[float]) -> None:
        self._edges_s = tuple(edges_s)
        self._names = (*map(floatToGoString, edges_s), "+Inf")
        self._requests: defaultdict[tuple[object, str], int] = defaultdict(int)
        self._sources = dict.fromkeys(SOURCES, 0)
        self._bytes_count = 0
        self._durations = [0] * len(self._names)
        self._duration_s = 0.0

    def answered(self, reply: Reply, duration_s: float | None) -> None:
        """Count an answer that took so long beside being held; None where nobody got it."""
        self._requests[reply.facts.get("kind", "none"), reply.outcome] += 1
        self._bytes_count += len(reply.body)
        if duration_s is not None:
            self._durations[bisect_left(self._edges_s, duration_s)] += 1
            if duration_s > 0.0:
                self._duration_s += duration_s

    def read(self, source: str) -> None:
        """Count a body read from one of `SOURCES`."""
        self._sources[source] += 1

    def collect(self) -> Iterable[Metric]:
        """Return all of it; may be called in any thread."""
        requests = CounterMetricFamily(
            REQUESTS, "Requests of caches, by what they asked for and what came of it.", labels=("kind", "outcome")
        )
        for labels, count in list(self._requests.items()):
            requests.add_metric([str(label) for label in labels], count)
        sources = CounterMetricFamily(
            BODIES, "Bodies read: from ram, from ssd, or shared with a read in flight.", labels=("result",)
        )
        for source, count in self._sources.items():
            sources.add_metric((source,), count)
        durations = HistogramMetricFamily(DURATION, "Time to an answer, without the time it was held.")
        counts = [float(count) for count in accumulate(list(self._durations))]
        durations.add_metric((), list(zip(self._names, counts, strict=True)), self._duration_s)
        return requests, CounterMetricFamily(BYTES, "Bytes of bodies delivered.", self._bytes_count), durations, sources
