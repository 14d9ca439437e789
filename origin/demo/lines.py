"""The demo as lines of text: JSON for scripts, plain text where there is no terminal."""

import time
from collections.abc import Iterable, Iterator
from typing import Protocol, Self

from origin.demo import media
from origin.demo.board import Board, Line
from origin.demo.outlet import Outlet
from origin.demo.reports import (
    Killed,
    PackagerEnded,
    Report,
    Started,
    Stopping,
    Summary,
    json_line,
)


class Show(Protocol):
    """Something that shows reports while it is open; the summary is the last of them."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def note(self, report: Report) -> None: ...


class JsonLines:
    """One line of JSON a report."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._outlet.close()

    def note(self, report: Report) -> None:
        """Write it."""
        self._outlet.write(json_line(report, now_ms()))


class PlainLines:
    """One line a segment number, once it is delivered and due, and one for everything out of the ordinary."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._board = Board()
        self._next_number: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._outlet.close()

    def note(self, report: Report) -> None:
        """Write what there is to say now."""
        self._board.note(report)
        at_ms = now_ms()
        for line in self._settled(at_ms, is_last=isinstance(report, Summary)):
            self._outlet.write(line)
        for line in plain_lines(report):
            self._outlet.write(line)

    def _settled(self, at_ms: int, *, is_last: bool) -> Iterator[str]:
        """Yield the rows that will hardly change any more: before due, a copy may still come."""
        started = self._board.started
        if started is None:
            return
        number = started.first_number if self._next_number is None else self._next_number
        while (row := self._board.rows.get(number)) is not None and row.is_settled:
            if at_ms <= media.due_ms(number) and not is_last:
                break
            yield _segment_line(row.line(at_ms))
            number += 1
        self._next_number = number


def plain_lines(report: Report) -> Iterator[str]:
    """Yield the lines for what is out of the ordinary."""
    match report:
        case Started():
            yield from started_lines(report)
        case Killed():
            yield f"packager {report.pipeline} (ffmpeg {report.pid}) was killed, as ordered"
        case PackagerEnded():
            yield f"packager {report.pipeline} (ffmpeg {report.pid}) ended by itself with status {report.status}"
            yield from (f"  {line}" for line in report.stderr.splitlines())
        case Stopping():
            yield f"stopping ({report.reason}); segments up to {report.last_number} are waited for"
        case Summary():
            yield from summary_lines(report)
        case _:
            pass


def _segment_line(line: Line) -> str:
    copies = "  ".join(f"{each} {cell.text}" for each, cell in line.copies.items())
    choice = f"chosen {line.chosen.text} by {line.rule}{line.losses} in {line.decision}" if line.rule else "none chosen"
    return f"{line.number}  {line.media_time}  {copies}  {choice}  delivered {line.delivered.text}"


def started_lines(started: Started) -> Iterator[str]:
    """Yield where everything is, and what to try."""
    pushes = " and ".join(f"{started.publish}/{media.EVENT_ID}/{each}/" for each in media.PIPELINE_IDS)
    yield f"packagers push to {pushes}"
    yield f"caches read from  {started.deliver}/{media.EVENT_ID}/"
    yield f"metrics           {started.admin}/metrics"
    yield f"configuration     {started.config}"
    if started.log is not None:
        yield f"log of the origin {started.log}"
    if started.faults:
        yield f"faults on purpose {', '.join(started.faults)}"
    for label, command in hints(started):
        yield f"{label:<17} {command}"


def hints(started: Started) -> Iterable[tuple[str, str]]:
    """Return commands that work while the demo runs, each with what it shows."""
    video = media.TRACKS[0]
    base = f"{started.deliver}/{media.EVENT_ID}"
    on_air = video.media_template.replace("$Time$", f"$(($(date +%s%3N) / {media.SEGMENT_MS} * {video.segment_ticks}))")
    return (
        ("watch", f"ffplay {base}/{media.HLS_NAME}"),
        ("see the headers", f"curl -sD - -o /dev/null {base}/{video.media_name(started.first_number)}"),
        (
            "be held",
            f'curl -so /dev/null -w "%{{http_code}} after %{{time_total}} s\\n" "{base}/{on_air}"',
        ),
    )


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield the summary for people: the sentence, then the numbers."""
    yield summary.text
    if not summary.due:
        return
    numbers = summary.last_number - summary.first_number + 1
    renditions = ", ".join(f"{each} {count}" for each, count in summary.missing_by_rendition.items())
    shares = ", ".join(f"{count} from {each}" for each, count in summary.delivered_from.items())
    yield (
        f"  due        {summary.due}: {numbers} x {len(media.TRACKS)} renditions,"
        f" numbers {summary.first_number} to {summary.last_number}"
    )
    yield f"  delivered  {summary.delivered}: {shares}; {summary.held} held, {summary.late} late"
    yield f"  missing    {summary.missing}: {renditions}"
    for each, count in summary.published.items():
        dropped = f", {summary.dropped[each]} dropped" if summary.dropped[each] else ""
        garbled = f", {summary.garbled[each]} garbled" if summary.garbled[each] else ""
        yield f"  packager {each} {count} published, {summary.published_late[each]} late{dropped}{garbled}"


def now_ms() -> int:
    """Return the wall clock, ms since 1970."""
    return time.time_ns() // 1_000_000
