"""What an origin tells of itself at /metrics, as numbers to compare."""

import re
from dataclasses import dataclass
from typing import Final

_SAMPLE: Final = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'([a-z_]+)="([^"]*)"')


@dataclass(frozen=True)
class Metrics:
    """One scrape: name, labels and value of every sample."""

    samples: tuple[tuple[str, dict[str, str], float], ...]

    @classmethod
    def parse(cls, text: str) -> "Metrics":
        r"""Read Prometheus' text format.

        >>> Metrics.parse('a_total{kind="x"} 2.0\na_total{kind="y"} 3.0\n').sum("a_total", kind="y")
        3.0
        """
        return cls(
            tuple((name, dict(_LABEL.findall(labels)), float(value)) for name, labels, value in _SAMPLE.findall(text))
        )

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum over all samples with these labels; 0 for none."""
        return sum(value for each, has, value in self.samples if each == name and labels.items() <= has.items())

    def counts(self, name: str, label: str) -> dict[str, int]:
        """Return the sums over all samples by the value of one label, without what is 0."""
        sums: dict[str, int] = {}
        for each, has, value in self.samples:
            if each == name and value:
                sums[has[label]] = sums.get(has[label], 0) + round(value)
        return sums

    def since(self, before: "Metrics") -> "Metrics":
        """Return what has been counted since an earlier scrape."""
        earlier = {(name, *sorted(labels.items())): value for name, labels, value in before.samples}
        return Metrics(
            tuple(
                (name, labels, value - earlier.get((name, *sorted(labels.items())), 0.0))
                for name, labels, value in self.samples
            )
        )

    def quantile_ms(self, name: str, share: float) -> float | None:
        r"""Return a quantile of a histogram of seconds, interpolated within its bucket; None without one.

        >>> Metrics.parse('h_bucket{le="0.1"} 1\nh_bucket{le="0.2"} 3\nh_bucket{le="+Inf"} 3\n').quantile_ms("h", 0.5)
        125.0
        """
        buckets: dict[float, float] = {}
        for each, labels, value in self.samples:
            if each == f"{name}_bucket":
                edge_s = float(labels["le"])
                buckets[edge_s] = buckets.get(edge_s, 0.0) + value
        total = buckets.get(float("inf"), 0.0)
        if not total:
            return None
        below_s, below_count = 0.0, 0.0
        for edge_s, count in sorted(buckets.items()):
            if count >= share * total:
                if edge_s == float("inf"):
                    return below_s * 1000
                part = (share * total - below_count) / (count - below_count)
                return round((below_s + (edge_s - below_s) * part) * 1000, 3)
            below_s, below_count = edge_s, count
        return None
