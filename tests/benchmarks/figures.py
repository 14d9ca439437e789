"""Figures of many measurements, and the tables they are printed in."""

import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

PROBLEMS_SHOWN_MAX: Final = 20

Row = dict[str, object]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of all lies, interpolated.

    >>> quantile([4.0, 1.0, 2.0, 3.0], 0.5), quantile([7.0], 0.99)
    (2.5, 7.0)
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float], unit: str = "ms") -> Row:
    """Return median, 99th percentile and maximum as cells of a row; empty ones for no values."""
    names = (f"p50 {unit}", f"p99 {unit}", f"max {unit}")
    if not values:
        return dict.fromkeys(names)
    return dict(zip(names, (quantile(values, 0.5), quantile(values, 0.99), max(values)), strict=True))


def listed(counts: Mapping[str, int]) -> str:
    """Return counts by name as one cell.

    >>> listed({"b": 2, "a": 1})
    'a 1, b 2'
    """
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "-"


def table(title: str, rows: Iterable[Row]) -> str:
    """Return a table in Markdown, whose columns are the names in the first row.

    >>> print(table("what", [{"n": 1, "p50 ms": 2.345}]))
    what
    | n | p50 ms |
    |---|---|
    | 1 | 2.35 |
    """
    rows = list(rows)
    names = list(rows[0])
    lines = [title, "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def report(title: str, rows: Sequence[Row], problems: Sequence[str]) -> None:
    """Print a table; if an answer was wrong, say so and end with status 1. No figure is a problem, however bad."""
    print(table(f"{title}, {machine()}", rows))
    if problems:
        sys.exit("\n".join(["", "WRONG:", *problems[:PROBLEMS_SHOWN_MAX]]))


def machine() -> str:
    """Return what figures depend on most."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
