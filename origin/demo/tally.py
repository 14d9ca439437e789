"""Counts what the reports say, for the page's totals and the summary. Pure.

Counts are kept by number for as long as a number may turn out to lie beyond the end, and added up after
that, so that a demo may run for days.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from origin.demo import media
from origin.demo.reports import (
    Delivered,
    Dropped,
    Garbled,
    Missed,
    PackagerEnded,
    Published,
    Report,
    Started,
    Stopping,
    Summary,
)

# Far more than a packager can be ahead of the end, or the reader behind it.
NUMBERS_KEPT: Final = 64
NAMES_KEPT: Final = 4
_EXIT_FAILED: Final = 1


@dataclass
class Counts:
    """Counts of segments: copies and deliveries by pipeline, what is missing by rendition.

    Args:
        damaged: Delivered, and not as a packager made it. garbage_delivered: because it was garbled on its way.
        garbage: Rendition and digest of everything garbled; forgotten when counts are added up.
        names: Of the first few that are missing or damaged.
    """

    delivered: Counter[str] = field(default_factory=Counter)
    damaged: int = 0
    garbage_delivered: int = 0
    late: int = 0
    held: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    published: Counter[str] = field(default_factory=Counter)
    published_late: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    garbled: Counter[str] = field(default_factory=Counter)
    garbage: set[tuple[str, str]] = field(default_factory=set)
    names: list[str] = field(default_factory=list)

    def add(self, other: "Counts") -> None:
        """Add another one."""
        self.delivered.update(other.delivered)
        self.damaged += other.damaged
        self.garbage_delivered += other.garbage_delivered
        self.late += other.late
        self.held += other.held
        self.missed.update(other.missed)
        self.published.update(other.published)
        self.published_late.update(other.published_late)
        self.dropped.update(other.dropped)
        self.garbled.update(other.garbled)
        self.names = [*self.names, *other.names][:NAMES_KEPT]

    def note_delivered(self, report: Delivered) -> None:
        """Count a segment that the reader has."""
        is_garbage = (report.rendition, report.digest) in self.garbage
        if is_garbage or not report.intact:
            self.damaged += 1
            self.garbage_delivered += is_garbage
            self.names.append(f"{report.rendition} {report.number}")
            return
        self.delivered[report.pipeline] += 1
        self.late += (report.late_ms or 0) > 0
        self.held += report.held

    def note_garbled(self, report: Garbled) -> None:
        """Count a copy that arrives as garbage."""
        self.garbled[report.pipeline] += 1
        self.garbage.add((report.rendition, report.digest))

    @property
    def answered(self) -> int:
        """How many segments the reader no longer waits for."""
        return self.delivered.total() + self.damaged + self.missed.total()


@dataclass
class Tally:
    """What was reported so far."""

    first_number: int = 0
    last_number: int = -1
    inits: set[str] = field(default_factory=set)
    ended: list[PackagerEnded] = field(default_factory=list)
    _folded: Counts = field(default_factory=Counts)
    _recent: dict[int, Counts] = field(default_factory=dict)

    def note(self, report: Report) -> None:
        """Take one report in."""
        match report:
            case Started():
                self.first_number, self.last_number = report.first_number, report.first_number - 1
            case Published(number=int(number)):
                counts = self._of(number)
                counts.published[report.pipeline] += 1
                counts.published_late[report.pipeline] += (report.late_ms or 0) > 0
            case Dropped():
                self._of(report.number).dropped[report.pipeline] += 1
            case Garbled():
                self._of(report.number).note_garbled(report)
            case Delivered(rendition=rendition, number=None):
                self.inits.add(rendition)
            case Delivered(number=int(number)):
                self._of(number).note_delivered(report)
            case Missed(number=int(number)):
                counts = self._of(number)
                counts.missed[report.rendition] += 1
                counts.names.append(f"{report.rendition} {number}")
            case PackagerEnded():
                self.ended.append(report)
            case Stopping():
                self.last_number = report.last_number

    def counts(self, last_number: int | None = None) -> Counts:
        """Return the counts of every number up to `last_number`; of all for None."""
        total = Counts()
        total.add(self._folded)
        for number in sorted(self._recent):
            if last_number is None or self.first_number <= number <= last_number:
                total.add(self._recent[number])
        return total

    def summary(self, failure: str | None) -> Summary:
        """Return how it went; `failure` is what made the demo end early, as a sentence."""
        counts = self.counts(self.last_number)
        due = (self.last_number + 1 - self.first_number) * len(media.TRACKS)
        unanswered = due - counts.answered
        inits_missing = tuple(each for each in media.RENDITION_IDS if each not in self.inits) if due else ()
        flaws = list(self._flaws(counts, due, inits_missing))
        return Summary(
            first_number=self.first_number,
            last_number=self.last_number,
            due=due,
            delivered=counts.delivered.total(),
            damaged=counts.damaged,
            garbage_delivered=counts.garbage_delivered,
            missing=counts.missed.total(),
            unanswered=unanswered,
            delivered_from=_by(media.PIPELINE_IDS, counts.delivered),
            missing_by_rendition=_by(media.RENDITION_IDS, counts.missed),
            late=counts.late,
            held=counts.held,
            published=_by(media.PIPELINE_IDS, counts.published),
            published_late=_by(media.PIPELINE_IDS, counts.published_late),
            dropped=_by(media.PIPELINE_IDS, counts.dropped),
            garbled=_by(media.PIPELINE_IDS, counts.garbled),
            inits_missing=inits_missing,
            text=failure or " ".join([*(flaws or [_praise(counts, due)]), *_told_of_garbage(counts)]),
            exit_status=_EXIT_FAILED if failure or flaws else 0,
        )

    def _of(self, number: int) -> Counts:
        if number not in self._recent:
            self._recent[number] = Counts()
            if len(self._recent) > NUMBERS_KEPT:
                self._folded.add(self._recent.pop(min(self._recent)))
        return self._recent[number]

    def _flaws(self, counts: Counts, due: int, inits_missing: tuple[str, ...]) -> Iterator[str]:
        """Yield a sentence for each thing that is not as it should be."""
        missing, unanswered = counts.missed.total(), due - counts.answered
        flawed = missing + counts.damaged
        if flawed:
            what = " or ".join(["missing"] * bool(missing) + ["damaged"] * bool(counts.damaged))
            more = f" and {flawed - len(counts.names)} more" if flawed > len(counts.names) else ""
            verb = "is" if flawed == 1 else "are"
            yield f"{flawed} of {due} segments {verb} {what}: {', '.join(counts.names)}{more}."
        if unanswered:
            yield f"{unanswered} of {due} segments were still waited for when a second signal came."
        elif inits_missing:
            yield f"The init segment of {', '.join(inits_missing)} is missing."
        if missing or unanswered:
            for report in self.ended:
                yield f"Packager {report.pipeline} had ended by itself with status {report.status}."


def _by(ids: Iterable[str], counter: Counter[str]) -> dict[str, int]:
    return {each: counter[each] for each in ids}


def _praise(counts: Counts, due: int) -> str:
    if not due:
        return "Stopped before the first segment had ended: nothing was due."
    shares = " and ".join(f"{counts.delivered[each]} from {each}" for each in media.PIPELINE_IDS)
    return f"Nothing is missing: {counts.delivered.total()} of {due} segments were delivered, {shares}."


def _told_of_garbage(counts: Counts) -> list[str]:
    """Return what became of the copies that arrived as garbage, if there were any."""
    sent, delivered = counts.garbled.total(), counts.garbage_delivered
    if not sent:
        return []
    return [f"Of {sent} garbled {'copy' if sent == 1 else 'copies'} {delivered or 'none'} was delivered."]
