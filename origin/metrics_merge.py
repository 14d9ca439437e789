"""The metrics of several processes on one page.

Each deliver process hands over what its registry holds, once a second; the publish process adds it to its own
when Prometheus asks. Counters and histograms count for good: what a process had counted stays in the sum when it
has ended. Gauges are of the process that runs now, or vanish with it. Nothing is kept in files.

A counter on the page never goes back, not even by a rounding error, which Prometheus would take for a restart:
numbers are added in an order that never changes, and adding floats in a fixed order never gives less when one of
them grows.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

Labels = tuple[tuple[str, str], ...]
# What a series is made of: the end of its sample's name, and the edge of a bucket ("" for none).
Column = tuple[str, str]

# The kinds that only grow, and the samples of each that are added up. `_created` is none of them: a sum of
# processes has no one moment at which it began.
_GROWING: Final[Mapping[str, tuple[str, ...]]] = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
}

# Counters of processes of one slot that have ended are kept apart for so long, so that what such a process still
# had to say (its last word may come after its successor's first) takes the place of what it said before.
PROCESSES_KEPT: Final = 4


class GaugeRule(StrEnum):
    """What a gauge of several processes is on the page."""

    SUM = "sum"
    MAX = "max"
    # The publish process alone knows it, whatever another says.
    OWN = "own"


GAUGE_RULES: Final[Mapping[str, GaugeRule]] = {
    "origin_connections": GaugeRule.SUM,
    "origin_holds_in_progress": GaugeRule.SUM,
    "origin_reads_in_flight": GaugeRule.SUM,
    "origin_reads_limit": GaugeRule.SUM,
    "origin_unsent_bytes": GaugeRule.SUM,
    "origin_loop_lag_seconds": GaugeRule.MAX,
    # Of uploads and of what was published.
    "origin_uploads_in_progress": GaugeRule.OWN,
    "origin_live_edge_lag_seconds": GaugeRule.OWN,
    "origin_drift_seconds": GaugeRule.OWN,
    "origin_disagreement": GaugeRule.OWN,
    # Of the store, which is one for all processes, memory included.
    "origin_ssd_used_bytes": GaugeRule.OWN,
    "origin_disk_level": GaugeRule.OWN,
    "origin_ram_used_bytes": GaugeRule.OWN,
    "origin_ram_evictions": GaugeRule.OWN,
    "origin_ram_refusals": GaugeRule.OWN,
    # Of the origin as a whole.
    "origin_clock_trusted": GaugeRule.OWN,
    "origin_limit": GaugeRule.OWN,
    "origin_ready": GaugeRule.OWN,
}


@dataclass(slots=True)
class _Family:
    """A metric of one process or of several: for each set of labels one number per column."""

    kind: str
    help: str
    columns: tuple[Column, ...]
    series: dict[Labels, list[float]] = field(default_factory=dict)


_Families = dict[str, _Family]


@dataclass(slots=True)
class _Slot:
    """The processes that one worker has been, one after the other; `counted`, by process id, is oldest first.

    Args:
        told: What the newest process had told another publish process before.
    """

    ended: _Families = field(default_factory=dict)
    counted: dict[int, _Families] = field(default_factory=dict)
    told: tuple[int, _Families] | None = None
    gauges: _Families = field(default_factory=dict)
    is_up: bool | None = None
    behind_ms: int | None = None


def export(registry: CollectorRegistry) -> bytes:
    """Return all families of one process for `MergedMetrics.take`, as JSON."""
    families = _families(registry.collect())
    return json.dumps(
        [
            [name, family.kind, family.help, family.columns, list(family.series.items())]
            for name, family in families.items()
        ],
        separators=(",", ":"),
    ).encode()


class MergedMetrics:
    """What the workers have counted, to be shown with what this process has."""

    def __init__(self) -> None:
        # A slot is never taken out: its sums stay, and so does the order in which they are added.
        self._slots: dict[str, _Slot] = {}

    def take(self, slot: str, process_id: int, exported: bytes) -> None:
        """Take what a process has to tell, in the place of what it told before.

        A process that was not known is the one that now lives in its slot: the gauges of the one before it
        vanish. What a former one still tells counts, but for its gauges.

        Args:
            slot: The worker's name, bounded by the configuration.
            process_id: Never used again in this slot.
            exported: From `export`, perhaps of another version.

        Raises:
            ValueError: Not an export. What was taken before stays.
        """
        families = _read(exported)
        place = self._slots.setdefault(slot, _Slot())
        growing = {name: each for name, each in families.items() if each.kind in _GROWING}
        if place.told is not None and place.told[0] == process_id:
            _subtract(growing, place.told[1])
        place.counted[process_id] = growing
        if next(reversed(place.counted)) == process_id:
            place.gauges = {name: each for name, each in families.items() if each.kind not in _GROWING}
        while len(place.counted) > PROCESSES_KEPT:
            _add(place.ended, place.counted.pop(next(iter(place.counted))))

    def leave_out(self, slot: str, process_id: int, exported: bytes) -> None:
        """Note what a process had told a former publish process: only what it counts from there on is shown.

        To be called before its first `take`. This process begins at zero, which Prometheus takes for a restart;
        if it then showed what workers have counted since their start, all of it would be counted again.

        Raises:
            ValueError: Not an export.
        """
        self._slots.setdefault(slot, _Slot()).told = (process_id, _read(exported))

    def forget(self, slot: str) -> None:
        """Take a slot's gauges off the page: its process is gone. What it counted stays."""
        place = self._slots.get(slot)
        if place is not None:
            place.gauges, place.is_up, place.behind_ms = {}, None, None

    def note(self, slot: str, *, is_up: bool, behind_ms: int | None = None) -> None:
        """Set what the publish process knows of a worker.

        Args:
            is_up: Whether it answers requests.
            behind_ms: How long ago it had all records, or None if that is not known.
        """
        place = self._slots.setdefault(slot, _Slot())
        place.is_up, place.behind_ms = is_up, behind_ms

    def merge(self, own: CollectorRegistry) -> bytes:
        """Return the page, in Prometheus' text format 0.0.4.

        Of a metric that two processes describe differently, the description of this one is true: what is of
        another type is left out, and counts in other buckets go to the next wider bucket.
        """
        mine = list(own.collect())
        families = _families(mine)
        for slot in self._slots.values():
            of_slot: _Families = {}
            for part in (slot.ended, *slot.counted.values()):
                _add(of_slot, part)
            _add(families, of_slot)
            for name, gauge in slot.gauges.items():
                _add_gauge(families, name, gauge)
        page = CollectorRegistry()
        page.register(_Page([*_rendered(mine, families), *self._worker_metrics()]))
        return generate_latest(page)

    def _worker_metrics(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("origin_worker_up", "1 while a deliver process answers requests.", labels=["worker"])
        behind = GaugeMetricFamily(
            "origin_worker_behind_seconds", "How long ago a deliver process had all records.", labels=["worker"]
        )
        for name, slot in self._slots.items():
            if slot.is_up is not None:
                up.add_metric([name], float(slot.is_up))
            if slot.behind_ms is not None:
                behind.add_metric([name], slot.behind_ms / 1000)
        yield from (up, behind)


class _Page:
    """Metrics that are made already."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._metrics


def _families(metrics: Iterable[Metric]) -> _Families:
    """Return what can be merged of what a registry holds."""
    families: _Families = {}
    for metric in metrics:
        endings = _GROWING.get(metric.type, ("",) if metric.type == "gauge" else ())
        if not endings:
            continue
        names = {metric.name + ending: ending for ending in endings}
        family = _Family(metric.type, metric.documentation, ())
        columns: dict[Column, None] = {}
        for sample in metric.samples:
            ending = names.get(sample.name)
            if ending is None:
                continue
            labels = sample.labels
            edge = labels["le"] if ending == "_bucket" else ""
            key = tuple(sorted(pair for pair in labels.items() if not edge or pair[0] != "le"))
            columns[ending, edge] = None
            family.series.setdefault(key, []).append(sample.value)
        family.columns = tuple(columns)
        families[metric.name] = family
    return families


def _rendered(mine: Iterable[Metric], families: _Families) -> Iterator[Metric]:
    """Yield the families as the library renders them: in the order of this process, then what only others have.

    A kind that cannot be merged (a set of states, for one) is shown as this process has it.
    """
    rest = dict(families)
    for metric in mine:
        family = rest.pop(metric.name, None)
        yield metric if family is None else _metric(metric.name, family)
    yield from (_metric(name, family) for name, family in rest.items())


def _read(exported: bytes) -> _Families:
    """Return what `export` wrote.

    Raises:
        ValueError: It did not write this.
    """
    families: _Families = {}
    try:
        for name, kind, text, columns, series in json.loads(exported):
            Metric(name, text, kind)  # refuses what would break the page: names and kinds that do not exist
            family = _Family(kind, str(text), tuple(_column(kind, *column) for column in columns))
            for labels, values in series:
                if len(values) != len(family.columns):
                    raise ValueError(f"{name}: {len(values)} values for {len(family.columns)} columns")
                key = tuple((str(label), str(value)) for label, value in labels)
                family.series[key] = [float(value) for value in values]
            families[name] = family
    except (ValueError, TypeError, AttributeError) as exc:
        raise ValueError(f"not an export of metrics: {exc}") from exc
    return families


def _column(kind: str, ending: str, edge: str) -> Column:
    """Return a column that this version can show.

    Raises:
        ValueError: It cannot, or the edge is no number.
    """
    if ending not in _GROWING.get(kind, ("",)) or (ending == "_bucket") != bool(edge):
        raise ValueError(f"no {kind} has samples {ending!r} with the edge {edge!r}")
    if edge:
        float(edge)
    return ending, edge


def _add(sums: _Families, families: _Families) -> None:
    """Add counters and histograms to `sums`, which keeps its own description of each."""
    for name, family in families.items():
        total = sums.setdefault(name, _Family(family.kind, family.help, family.columns))
        if family.kind != total.kind:
            continue
        if not total.series:
            total.columns = family.columns
        places = None if family.columns == total.columns else _places(family.columns, total.columns)
        for labels, values in family.series.items():
            more = values if places is None else [0.0 if place is None else values[place] for place in places]
            so_far = total.series.get(labels)
            total.series[labels] = (
                more if so_far is None else [one + other for one, other in zip(so_far, more, strict=True)]
            )


def _subtract(families: _Families, told: _Families) -> None:
    """Take from counters and histograms what the same process had in them before."""
    for name, family in families.items():
        before = told.get(name)
        if before is None:
            continue
        for labels, values in before.series.items():
            now = family.series.get(labels)
            if now is not None:
                family.series[labels] = [one - other for one, other in zip(now, values, strict=True)]


def _places(columns: Sequence[Column], wanted: Sequence[Column]) -> list[int | None]:
    """Return where each wanted column is found, None for nowhere.

    A bucket is found at the widest edge within its own: what lies between the two is counted further up, so
    that buckets stay in order and end with the count.
    """
    index = {column: place for place, column in enumerate(columns)}
    edges = sorted((float(edge), place) for place, (ending, edge) in enumerate(columns) if ending == "_bucket")
    places: list[int | None] = []
    for ending, edge in wanted:
        if ending != "_bucket":
            places.append(index.get((ending, edge)))
            continue
        within = bisect_right(edges, float(edge), key=lambda pair: pair[0])
        places.append(edges[within - 1][1] if within else None)
    return places


def _add_gauge(families: _Families, name: str, gauge: _Family) -> None:
    """Add a worker's gauge by its rule. Without a rule it is left out: a wrong number is worse than none."""
    rule = GAUGE_RULES.get(name, GaugeRule.OWN)
    if rule is GaugeRule.OWN or gauge.kind != "gauge":
        return
    total = families.setdefault(name, _Family(gauge.kind, gauge.help, gauge.columns))
    if total.kind != "gauge":
        return
    total.columns = gauge.columns
    for labels, (value,) in gauge.series.items():
        so_far = total.series.get(labels)
        if so_far is None:
            total.series[labels] = [value]
        else:
            total.series[labels] = [so_far[0] + value if rule is GaugeRule.SUM else max(so_far[0], value)]


def _metric(name: str, family: _Family) -> Metric:
    """Return a family as the library renders it."""
    metric = Metric(name, family.help, family.kind)
    for labels, values in family.series.items():
        plain = dict(labels)
        for (ending, edge), value in zip(family.columns, values, strict=True):
            metric.add_sample(name + ending, plain | {"le": edge} if edge else plain, value)
    return metric
