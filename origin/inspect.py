"""`live-origin inspect`: what media files say of themselves, and whether they are whole.

An init segment (any file with a `moov`) speaks for the segments behind it on the command line, and the first one
also for those before it, so that the order of a shell's `*` will do.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from origin.inspect_report import Problem, Report, Row, json_line, shown, table
from selection.boxes import Boxes
from selection.cmaf import Init, Segment, Track, TrackSegment, parse_init, parse_segment
from selection.media import MediaError
from selection.mpegts import TsSegment, is_transport_stream, parse_ts
from selection.ts_streams import TICKS_PER_SECOND

# Four times what an origin takes as one object by default; a recording of hours is not read by mistake.
FILE_BYTES_MAX: Final = 256 * 1024 * 1024
# Columns where there is no terminal to ask.
WIDTH_ELSEWHERE: Final = 160

EXIT_DAMAGED: Final = 1


def add_inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `live-origin inspect`."""
    parser.description = (
        "Print what media files say of themselves: CMAF init segments and segments, MPEG-TS segments. Nothing is"
        " decoded. Exit status 0 if all are whole, else 1."
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="init segments, then segments in order")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each file")


def run_inspect(parsed: argparse.Namespace) -> int:
    """Inspect the files; returns the exit status: 0, or 1 if one of them is damaged or cannot be read."""
    reports = inspect_files(parsed.files)
    if parsed.json:
        for report in reports:
            sys.stdout.write(json_line(report) + "\n")
    else:
        width = None if sys.stdout.isatty() else WIDTH_ELSEWHERE
        Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False).print(table(reports))
        for report in reports:
            for problem in report.problems:
                sys.stderr.write(f"{shown(str(report.path))}: {problem}\n")
    return EXIT_DAMAGED if any(report.problems for report in reports) else 0


def inspect_files(paths: Sequence[Path]) -> list[Report]:
    """Return a report for each file, in the order given. Holds one file at a time, so reads each twice."""
    reports = [Report(path) for path in paths]
    inits: dict[int, Init] = {}
    for place, report in enumerate(reports):
        with _problems_of(report):
            body = _read(report)
            if body[4:8] == b"ftyp" or _has(body, b"moov"):
                report.kind = "init"
                inits[place] = parse_init(body)
                _note_init(report, inits[place])
    presentation = _Presentation(next(iter(inits.values()), None))
    for place, report in enumerate(reports):
        if report.problems:
            continue
        with _problems_of(report):
            body = _read(report)
            if place in inits:
                presentation = _Presentation(inits[place])
            if is_transport_stream(body):
                report.kind = "mpeg-ts"
                presentation.note_ts(report, body)
            elif place not in inits or _has(body, b"moof"):
                report.kind = "init and segment" if place in inits else "segment"
                presentation.note_segment(report, body)
    return reports


class _Presentation:
    """Segments that belong to one init segment, in order."""

    def __init__(self, init: Init | None) -> None:
        self._init = init
        self._ends: dict[int, int] = {}  # of the segment before, by track or packet id
        self._ts_end: int | None = None

    def note_segment(self, report: Report, body: bytes) -> None:
        """Add what a CMAF segment says to its report."""
        segment = parse_segment(body, self._init)
        report.facts |= _segment_facts(segment)
        common = _segment_notes(segment) + (["no init segment"] if self._init is None else [])
        for each in segment.tracks:
            track = each.track
            if self._init is not None and track is None:
                report.problems.append(Problem("unknown-track", f"track {each.track_id} is not in the init segment"))
            if each.gaps_count:
                detail = (
                    f"track {each.track_id}: fragments that do not begin where the one before ended: {each.gaps_count}"
                )
                report.problems.append(Problem("gaps", detail))
            gap = self._gap(each.track_id, each.decode_time, each.end_time)
            report.facts["tracks"].append(_track_facts(each) | {"gap": gap})
            report.rows.append(
                Row(
                    track=str(each.track_id) if track is None else f"{each.track_id} {track.handler}",
                    codec="" if track is None else track.codec,
                    notes=", ".join(common),
                    timescale=None if track is None else track.timescale,
                    begin=each.decode_time,
                    duration=each.duration,
                    gap=gap,
                    frames_count=each.samples_count,
                    is_sync=each.starts_with_sync,
                )
            )

    def note_ts(self, report: Report, body: bytes) -> None:
        """Add what a transport stream says to its report. Time stamps are taken as near the segment before."""
        segment = parse_ts(body, self._ts_end)
        report.facts |= asdict(segment)
        report.facts["streams"] = []
        for each in segment.streams:
            times = each.times
            begin = None if times is None else times.earliest_pts
            end = None if begin is None or each.duration is None else begin + each.duration
            gap = None if begin is None or end is None else self._gap(each.pid, begin, end)
            self._ts_end = self._ts_end if end is None else end
            report.rows.append(
                Row(
                    track=f"{each.pid} {each.kind}",
                    codec=each.codec,
                    notes=f"{segment.packets_count} packets"
                    if segment.starts_with_tables
                    else "no tables at the start",
                    timescale=TICKS_PER_SECOND,
                    begin=begin,
                    duration=each.duration,
                    gap=gap,
                    frames_count=each.frames_count,
                    is_sync=each.starts_with_random_access,
                )
            )
            facts = asdict(each) | {"continuity_errors": len(each.continuity_errors), "gap": gap}
            report.facts["streams"].append(facts | {"times": None if times is None else times._asdict()})
        _note_ts_errors(report, segment)

    def _gap(self, track_id: int, begin: int, end: int) -> int | None:
        before = self._ends.get(track_id)
        self._ends[track_id] = end
        return None if before is None else begin - before


@contextmanager
def _problems_of(report: Report) -> Iterator[None]:
    """Note what goes wrong with a file, and go on with the next one."""
    try:
        yield
    except MediaError as exc:
        report.problems.append(Problem(exc.reason, exc.detail, exc.offset))
    except OSError as exc:
        report.problems.append(Problem("unreadable", exc.strerror or type(exc).__name__))


def _read(report: Report) -> bytes:
    with report.path.open("rb") as file:
        body = file.read(FILE_BYTES_MAX + 1)
    if len(body) > FILE_BYTES_MAX:
        raise OSError(None, f"more than {FILE_BYTES_MAX} bytes")
    report.size_bytes = len(body)
    return body


def _has(body: bytes, kind: bytes) -> bool:
    try:
        return Boxes(body).find(0, len(body), kind) is not None
    except MediaError:
        return False


def _note_init(report: Report, init: Init) -> None:
    report.facts = {
        "brands": init.brands,
        "init_tracks": [_init_track(track) for track in init.tracks],
    }
    for track in init.tracks:
        picture = "" if track.width is None else f"{track.width}x{track.height}, "
        edit = f", edit list from {track.edit_media_time}" if track.edit_media_time else ""
        notes = f"init, {picture}timescale {track.timescale}{edit}, brands {' '.join(init.brands)}"
        report.rows.append(Row(f"{track.track_id} {track.handler}", track.codec, notes))


def _init_track(track: Track) -> dict[str, Any]:
    facts = asdict(track) | {"defaults": track.defaults._asdict()}
    return facts | {"setup": track.setup.hex(), "protection": track.protection.hex()}


def _segment_facts(segment: Segment) -> dict[str, Any]:
    producer_time = segment.producer_time
    return segment._asdict() | {"tracks": [], "producer_time": None if producer_time is None else asdict(producer_time)}


def _track_facts(track: TrackSegment) -> dict[str, Any]:
    known = track.track
    facts = track._asdict()
    del facts["track"]
    return facts | {
        "timescale": None if known is None else known.timescale,
        "codec": None if known is None else known.codec,
    }


def _segment_notes(segment: Segment) -> list[str]:
    """Return what is worth a word in the table."""
    notes = [f"{segment.moofs_count} fragments, number {segment.sequence_first} to {segment.sequence_last}"]
    if segment.moofs_count == 1:
        notes = [f"fragment number {segment.sequence_first}"]
    if segment.is_filler:
        notes.append("filler")
    if segment.is_last:
        notes.append("last segment")
    if segment.emsg_count:
        notes.append(f"event messages: {segment.emsg_count}")
    if segment.unreferenced_bytes:
        notes.append(f"bytes that no sample refers to: {segment.unreferenced_bytes}")
    return notes


def _note_ts_errors(report: Report, segment: TsSegment) -> None:
    for reason, count, what in (
        ("continuity", segment.continuity_errors_count, "places where packets are missing: {}"),
        ("transport-errors", segment.transport_errors_count, "packets that are marked as damaged: {}"),
    ):
        if count:
            report.problems.append(Problem(reason, what.format(count), segment.first_error_offset))
