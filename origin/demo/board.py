"""The table of the demo: reports folded into one row a segment number. Pure; what it looks like is `page`'s.

A row speaks of all renditions of its number. Where they differ, a cell shows the worst of them (the latest
copy, the longest wait), or all in the order of the renditions (what was chosen).
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from origin.demo import media
from origin.demo.media import RENDITION_IDS
from origin.demo.reports import (
    Chosen,
    Delivered,
    Dropped,
    Garbled,
    Killed,
    Missed,
    PackagerEnded,
    Published,
    Report,
    Requested,
    Started,
    Stopping,
)

ROWS_KEPT: Final = 100
_UNDECIDED: Final = "."


class Mood(StrEnum):
    """How a cell is to be read at a glance."""

    PENDING = "pending"
    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and what to think of it."""

    text: str
    mood: Mood = Mood.GOOD


@dataclass(frozen=True, slots=True)
class Line:
    """One row as it is shown.

    Args:
        copies: By pipeline: when its last copy came, relative to due.
        rule: By which rule the choice was made. losses: why the others lost, to be put behind it.
    """

    number: int
    media_time: str
    copies: dict[str, Cell]
    chosen: Cell
    rule: str
    losses: str
    decision: str
    delivered: Cell
    is_settled: bool


@dataclass
class Row:
    """What is known of one number, by rendition."""

    number: int
    late_ms: dict[str, dict[str, int]] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    garbled: set[str] = field(default_factory=set)
    garbage: set[tuple[str, str]] = field(default_factory=set)
    choices: dict[str, Chosen] = field(default_factory=dict)
    requested: set[str] = field(default_factory=set)
    answers: dict[str, Delivered | Missed] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether the reader has an answer for every rendition."""
        return len(self.answers) == len(RENDITION_IDS)

    def line(self, now_ms: int) -> Line:
        """Return the row as it reads at `now_ms`."""
        return Line(
            number=self.number,
            media_time=clock_text(media.start_ms(self.number)),
            copies={each: self._copy(each, now_ms) for each in media.PIPELINE_IDS},
            chosen=self._chosen(),
            rule="/".join(dict.fromkeys(choice.rule for choice in self._choices())),
            losses=self._losses(),
            decision=f"{max(choice.decision_ms for choice in self.choices.values())} ms" if self.choices else "",
            delivered=self._delivered(now_ms),
            is_settled=self.is_settled,
        )

    def _copy(self, pipeline_id: str, now_ms: int) -> Cell:
        if pipeline_id in self.garbled:
            return Cell("garbled", Mood.BAD)
        late_ms = self.late_ms.get(pipeline_id, {})
        if not late_ms:
            if pipeline_id in self.dropped:
                return Cell("dropped", Mood.BAD)
            return Cell("-", Mood.BAD) if now_ms > media.due_ms(self.number) else Cell(_UNDECIDED, Mood.PENDING)
        worst_ms = max(late_ms.values())
        share = f" {len(late_ms)}/{len(RENDITION_IDS)}" if len(late_ms) < len(RENDITION_IDS) else ""
        return Cell(f"{worst_ms:+d} ms{share}", Mood.DOUBTFUL if worst_ms > 0 or share else Mood.GOOD)

    def _chosen(self) -> Cell:
        chosen = [self.choices[each].pipeline if each in self.choices else _UNDECIDED for each in RENDITION_IDS]
        text = chosen[0] if len(set(chosen)) == 1 else " ".join(chosen)
        return Cell(text, Mood.PENDING if _UNDECIDED in chosen else Mood.GOOD)

    def _choices(self) -> list[Chosen]:
        return [self.choices[each] for each in RENDITION_IDS if each in self.choices]

    def _losses(self) -> str:
        losses: dict[str, dict[str, None]] = {}
        for choice in self._choices():
            for pipeline_id, loss in choice.losses.items():
                losses.setdefault(pipeline_id, {})[loss] = None
        return "".join(f", {pipeline_id}: {'/'.join(losses[pipeline_id])}" for pipeline_id in sorted(losses))

    def _delivered(self, now_ms: int) -> Cell:
        waiting = len(self.requested) - len(self.answers)
        counts = Counter(str(answer.status or "no answer") for answer in self.answers.values())
        statuses = ", ".join(f"{status} x{count}" for status, count in counts.items())
        if any(self._is_bad(answer) for answer in self.answers.values()):
            return Cell(statuses if counts.keys() != {"200"} else "damaged", Mood.BAD)
        if waiting or not self.requested:
            waited_ms = now_ms - media.end_ms(self.number)
            text = f"waiting x{waiting}, {waited_ms / 1000:.1f} s" if waiting else ""
            return Cell(text, Mood.PENDING)
        answers = [answer for answer in self.answers.values() if isinstance(answer, Delivered)]
        word = "held" if any(answer.held for answer in answers) else "in"
        is_late = any((answer.late_ms or 0) > 0 for answer in answers)
        wait_ms = max(answer.wait_ms for answer in answers)
        return Cell(f"{statuses}, {word} {wait_ms} ms", Mood.DOUBTFUL if is_late else Mood.GOOD)

    def _is_bad(self, answer: Delivered | Missed) -> bool:
        return isinstance(answer, Missed) or not answer.intact or (answer.rendition, answer.digest) in self.garbage


@dataclass
class Board:
    """All that the page shows."""

    started: Started | None = None
    rows: dict[int, Row] = field(default_factory=dict)
    states: dict[str, Cell] = field(default_factory=dict)
    stopping: str = ""
    last_number: int | None = None

    def note(self, report: Report) -> None:
        """Take one report in."""
        match report:
            case Started():
                self.started = report
                self.states = {each: Cell(f"ffmpeg {pid} on air") for each, pid in report.pids.items()}
            case Published(number=int(number), late_ms=int(late_ms)):
                self._row(number).late_ms.setdefault(report.pipeline, {})[report.rendition] = late_ms
            case Dropped():
                self._row(report.number).dropped.add(report.pipeline)
            case Garbled():
                row = self._row(report.number)
                row.garbled.add(report.pipeline)
                row.garbage.add((report.rendition, report.digest))
            case Chosen(number=int(number)):
                self._row(number).choices[report.rendition] = report
            case Requested(number=int(number)):
                self._row(number).requested.add(report.rendition)
            case Delivered() | Missed() if report.number is not None:
                self._row(report.number).answers[report.rendition] = report
            case Killed():
                self.states[report.pipeline] = Cell(f"ffmpeg {report.pid} killed", Mood.BAD)
            case PackagerEnded():
                text = f"ffmpeg {report.pid} ended by itself, status {report.status}"
                self.states[report.pipeline] = Cell(text, Mood.BAD)
            case Stopping():
                self.stopping, self.last_number = report.reason, report.last_number

    def lines(self, count: int, now_ms: int) -> list[Line]:
        """Return the newest rows, newest first, without what a packager sends beyond the end."""
        shown = [n for n in sorted(self.rows, reverse=True) if self.last_number is None or n <= self.last_number]
        return [self.rows[number].line(now_ms) for number in shown[:count]]

    def _row(self, number: int) -> Row:
        if number not in self.rows:
            self.rows[number] = Row(number)
            if len(self.rows) > ROWS_KEPT:
                del self.rows[min(self.rows)]
        return self.rows[number]


def clock_text(time_ms: int) -> str:
    """Return a wall-clock time of today in UTC.

    >>> clock_text(86_400_000 + 1_920)
    '00:00:01.920'
    """
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%H:%M:%S}.{time_ms % 1000:03d}"
