"""What `live-origin inspect` found in files, as a table for people and as JSON for scripts."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a file; `offset` in bytes, where it has a place."""

    reason: str
    detail: str
    offset: int | None = None

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.reason}{place}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Row:
    """One track of one file, for the table; times in ticks of `timescale`, None where the file does not tell.

    Args:
        gap: From the end of the same track's segment before.
    """

    track: str
    codec: str
    notes: str
    timescale: int | None = None
    begin: int | None = None
    duration: int | None = None
    gap: int | None = None
    frames_count: int | None = None
    is_sync: bool | None = None

    def cells(self) -> list[str]:
        """Return the table's cells behind the file's name."""
        times = [_seconds(ticks, self.timescale) for ticks in (self.begin, self.duration, self.gap)]
        frames = "" if self.frames_count is None else str(self.frames_count)
        sync = "" if self.is_sync is None else ("yes" if self.is_sync else "no")
        return [self.track, self.codec, *times, frames, sync, self.notes]


@dataclass(slots=True)
class Report:
    """What is known of one file. `facts` is for JSON, `rows` for people."""

    path: Path
    kind: str = "unknown"
    size_bytes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def json_line(report: Report) -> str:
    """Return all that is known of a file as one line of JSON."""
    head = {"file": str(report.path), "kind": report.kind, "bytes": report.size_bytes}
    return json.dumps(head | report.facts | {"problems": [asdict(problem) for problem in report.problems]})


def table(reports: Sequence[Report]) -> Table:
    """Return the same for people: a line for each track of each file."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("file", overflow="fold")
    for name in ("track", "codec"):
        made.add_column(name)
    for name in ("begins s", "lasts s", "gap s", "frames"):
        made.add_column(name, justify="right")
    made.add_column("sync")
    made.add_column("notes", overflow="fold")
    for report in reports:
        name = shown(str(report.path))
        rows = report.rows or [Row("", "", ", ".join(problem.reason for problem in report.problems))]
        for row in rows:
            made.add_row(name, *(shown(cell) for cell in row.cells()))
            name = ""
    return made


def shown(text: str) -> str:
    r"""Return text that a terminal shows and does not obey: file names may hold anything.

    >>> shown("a\x1b[2J.mp4")
    'a?[2J.mp4'
    """
    return "".join(each if each.isprintable() else "?" for each in text)


def _seconds(ticks: int | None, timescale: int | None) -> str:
    if ticks is None:
        return ""
    return f"{ticks} ticks" if timescale is None else f"{ticks / timescale:.3f}"
