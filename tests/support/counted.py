"""Processes that count, and what a page of metrics says."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from origin.metrics_merge import export


class Process:
    """A process with a metric of each kind."""

    def __init__(self, edges: Sequence[float] = (1, 2), lowest: float = 0) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("requests", "Requests.", ["kind"], registry=self.registry)
        self.seconds = Histogram("seconds", "Time.", buckets=edges, registry=self.registry)
        self.sizes = Summary("sizes", "Sizes.", registry=self.registry)
        self.connections = Gauge("origin_connections", "Open.", ["listener"], registry=self.registry)
        self.lag = Gauge("origin_loop_lag_seconds", "Late.", registry=self.registry)
        self.ready = Gauge("origin_ready", "Ready.", registry=self.registry)

    def export(self) -> bytes:
        return export(self.registry)


def families(page: bytes) -> Iterator[Metric]:
    yield from text_string_to_metric_families(page.decode())


def values(page: bytes, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one series by its label values."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in families(page)
        for sample in family.samples
        if sample.name == name
    }


def growing(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample that must not go back."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(page)
        if family.type in ("counter", "histogram", "summary")
        for sample in family.samples
    }


def only(page: bytes, name: str) -> float:
    (value,) = values(page, name).values()
    return value
