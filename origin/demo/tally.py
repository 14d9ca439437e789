"""Counts what the reports say, for the summary. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from origin.demo import media
from origin.demo.reports import Delivered, Dropped, Missed, PackagerEnded, Published, Report, Started, Stopping, Summary

_Key = tuple[str, int]  # rendition, number
_EXIT_FAILED: Final = 1


@dataclass
class Tally:
    """What was reported so far."""

    first_number: int = 0
    last_number: int = -1
    published: dict[str, dict[_Key, Published]] = field(default_factory=dict)
    dropped: dict[str, set[_Key]] = field(default_factory=dict)
    delivered: dict[_Key, Delivered] = field(default_factory=dict)
    missed: dict[_Key, Missed] = field(default_factory=dict)
    inits: set[str] = field(default_factory=set)
    ended: list[PackagerEnded] = field(default_factory=list)

    def note(self, report: Report) -> None:
        """Take one report in."""
        match report:
            case Started():
                self.first_number, self.last_number = report.first_number, report.first_number - 1
            case Published(pipeline=pipeline, rendition=rendition, number=int(number)):
                self.published.setdefault(pipeline, {})[rendition, number] = report
            case Dropped():
                self.dropped.setdefault(report.pipeline, set()).add((report.rendition, report.number))
            case Delivered(rendition=rendition, number=None):
                self.inits.add(rendition)
            case Delivered(rendition=rendition, number=int(number)):
                self.delivered[rendition, number] = report
            case Missed(rendition=rendition, number=int(number)):
                self.missed[rendition, number] = report
            case PackagerEnded():
                self.ended.append(report)
            case Stopping():
                self.last_number = report.last_number

    def summary(self, failure: str | None) -> Summary:
        """Return how it went; `failure` is what made the demo end early, as a sentence."""
        intact = [report for report in self.delivered.values() if report.intact]
        numbers = range(self.first_number, self.last_number + 1)
        due = len(numbers) * len(media.TRACKS)
        inits_missing = tuple(each for each in media.RENDITION_IDS if each not in self.inits) if numbers else ()
        unanswered = due - len(self.delivered) - len(self.missed)
        flaws = list(self._flaws(due, unanswered, inits_missing))
        return Summary(
            first_number=self.first_number,
            last_number=self.last_number,
            due=due,
            delivered=len(intact),
            damaged=len(self.delivered) - len(intact),
            missing=len(self.missed),
            unanswered=unanswered,
            delivered_from={each: sum(r.pipeline == each for r in intact) for each in media.PIPELINE_IDS},
            missing_by_rendition={each: sum(key[0] == each for key in self.missed) for each in media.RENDITION_IDS},
            late=sum((report.late_ms or 0) > 0 for report in intact),
            held=sum(report.held for report in intact),
            published={each: len(self._copies(each, numbers)) for each in media.PIPELINE_IDS},
            published_late={
                each: sum((copy.late_ms or 0) > 0 for copy in self._copies(each, numbers))
                for each in media.PIPELINE_IDS
            },
            dropped={
                each: sum(number in numbers for _, number in self.dropped.get(each, ())) for each in media.PIPELINE_IDS
            },
            inits_missing=inits_missing,
            text=" ".join([failure] if failure else flaws or [self._praise(due, intact)]),
            exit_status=_EXIT_FAILED if failure or flaws else 0,
        )

    def _copies(self, pipeline_id: str, numbers: range) -> list[Published]:
        copies = self.published.get(pipeline_id, {})
        return [copy for (_, number), copy in copies.items() if number in numbers]

    def _flaws(self, due: int, unanswered: int, inits_missing: tuple[str, ...]) -> Iterable[str]:
        """Yield a sentence for each thing that is not as it should be."""
        if self.missed:
            yield f"{len(self.missed)} of {due} segments are missing: {_listed(self.missed)}."
        damaged = [key for key, report in self.delivered.items() if not report.intact]
        if damaged:
            yield f"{len(damaged)} of {due} segments have another body than their ETag says: {_listed(damaged)}."
        if unanswered:
            yield f"{unanswered} of {due} segments were still waited for when a second signal came."
        elif inits_missing:
            yield f"The init segment of {', '.join(inits_missing)} is missing."
        if self.missed or unanswered:
            for report in self.ended:
                yield f"Packager {report.pipeline} had ended by itself with status {report.status}."

    def _praise(self, due: int, intact: list[Delivered]) -> str:
        if not due:
            return "Stopped before the first segment had ended: nothing was due."
        shares = [f"{sum(report.pipeline == each for report in intact)} from {each}" for each in media.PIPELINE_IDS]
        return f"Nothing is missing: {len(intact)} of {due} segments were delivered, {' and '.join(shares)}."


def _listed(keys: Iterable[_Key], shown_max: int = 4) -> str:
    """Return the first few segments by name, and how many more there are."""
    names = [f"{rendition} {number}" for rendition, number in sorted(keys, key=lambda key: key[1])]
    more = f" and {len(names) - shown_max} more" if len(names) > shown_max else ""
    return ", ".join(names[:shown_max]) + more
