"""Recovery: how long a journal takes to replay, and what the catalog it makes takes in memory.

    python -m tests.benchmarks.recovery [--candidates 1000000]

A journal is written as two pipelines with six renditions leave one: facts of every copy, now and then a defect, a
choice for every segment, some of them made anew. A fresh process replays it and compares it with the files of the
bodies (their names; they are empty), as at the start of an origin. Its memory is measured by the kernel (RSS) from
before the first line is read, so it is that of texts, indexes and buffers alike.
"""

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from origin.clock import SystemClock
from origin.recovery import sweep
from selection.model import Candidate, Choice, Defect, Facts, Kind, Loss, Moment, Rule, SegmentKey, TrackFacts
from storage.base import Stores, body_key, digest_of
from storage.bodies import FileBodies
from storage.catalog import MemoryCatalog
from storage.journal import FileJournal
from storage.records import Chosen, Published, Record

CANDIDATES_COUNT: Final = 1_000_000
SECONDS_MAX: Final = 10.0
BYTES_MAX: Final = 700

EVENT: Final = "champions-league-final"
PIPELINES: Final = ("us-east-1-a", "us-west-2-a")
RENDITIONS: Final = ("v1080", "v720", "v540", "v360", "a128-en", "a128-de")
FIRST_NUMBER: Final = 918_750_000
SEGMENT_MS: Final = 1_920
LINKS_MAX: Final = 50_000  # ext4 allows a file 65,000
FLAWED_EVERY: Final = 50  # so many copies are there to one with a defect


def make_records(candidates_count: int, first_number: int = FIRST_NUMBER) -> Iterator[tuple[Record, Moment]]:
    """Yield what two pipelines and the rules record, in order."""
    sequence = 0
    for index in range(0, candidates_count, len(PIPELINES) * len(RENDITIONS)):
        number = first_number + index // (len(PIPELINES) * len(RENDITIONS))
        for rendition_id in RENDITIONS:
            key = SegmentKey(EVENT, rendition_id, number)
            moment = Moment(number * SEGMENT_MS, sequence)
            for pipeline_id in PIPELINES:
                sequence += 1
                moment = Moment(number * SEGMENT_MS + 17, sequence)
                copy = make_copy(key, pipeline_id, moment)
                yield Published(key, copy), moment
                if pipeline_id == PIPELINES[0] or not copy.is_good:
                    sequence += 1
                    losses = tuple((other, Loss.ABSENT) for other in PIPELINES if other != pipeline_id)
                    choice = Choice(copy, Rule.FIRST_IN_ORDER, moment.ms, losses)
                    yield Chosen.of(key, choice), Moment(moment.ms, sequence)


def make_copy(key: SegmentKey, pipeline_id: str, moment: Moment) -> Candidate:
    """Return a copy with all that inspection finds in one."""
    kind, codec, timescale = (
        (Kind.VIDEO, "avc1.64001f", 90_000) if key.rendition_id.startswith("v") else (Kind.AUDIO, "mp4a.40.2", 48_000)
    )
    assert key.number is not None
    duration = timescale * SEGMENT_MS // 1000
    begin = key.number * duration
    init_digest = digest_of(f"{key.rendition_id} {pipeline_id}".encode())
    defects: tuple[Defect, ...] = ()
    if moment.sequence % FLAWED_EVERY == 0:
        defects = (Defect("short", (("missing_ms", 120), ("track", 1))),)
    return Candidate(
        pipeline_id=pipeline_id,
        digest=digest_of(f"{moment.sequence}".encode()),
        size_bytes=1_048_576 + moment.sequence % 1_000,
        published_ms=moment.ms,
        sequence=moment.sequence,
        received_ms=moment.ms - 3,
        defects=defects,
        facts=Facts(
            (TrackFacts(1, kind, codec, timescale, begin, begin, begin + duration, duration, 48, True),), init_digest
        ),
    )


def write_journal(
    folder: Path, candidates_count: int, bodies: Path | None = None, first_number: int = FIRST_NUMBER
) -> None:
    """Write the journal and, if `bodies` is given, an empty file for every copy: recovery looks at names only."""
    journal = FileJournal(folder, fsync=False)
    journal.open()
    paths: list[Path] = []
    for record, moment in make_records(candidates_count, first_number):
        journal.append(record, moment)
        if bodies is not None and isinstance(record, Published):
            paths.append(bodies / body_key(record.key, record.candidate.pipeline_id, record.candidate.digest))
    journal.close()
    make_files(paths)


def make_files(paths: Sequence[Path]) -> None:
    """Make empty files. Most are links to others: on ext4 that takes a thirtieth of the time."""
    for index, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if index % LINKS_MAX == 0:
            path.touch()
        else:
            os.link(paths[index - index % LINKS_MAX], path)


def recover(folder: Path) -> dict[str, float]:
    """Replay the journal and compare it with the files as the start of an origin does, and return the figures."""
    gc.collect()
    before_bytes = resident_bytes()
    catalog = MemoryCatalog()
    journal = FileJournal(folder / "journal", fsync=False, standing=catalog.standing)
    journal.follow(catalog.apply)
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    found = journal.open()
    replay_s = time.perf_counter() - begun_s
    gc.collect()
    used_bytes = resident_bytes() - before_bytes
    swept_s = time.perf_counter()
    files = FileBodies(folder / "bodies", fsync=False)
    swept = sweep(files, Stores(files, journal, catalog), SystemClock(), is_complete=True)
    seconds = replay_s + time.perf_counter() - swept_s
    cpu_s = time.process_time() - begun_cpu_s
    assert not swept.lost_count and not swept.unrecorded_count, swept
    assert not found.damaged_count and not found.missing_count, found
    copies_count = sum(
        use.copies_count for event_id in catalog.event_ids() for use in catalog.buckets(event_id).values()
    )
    journal.close()
    return {
        "seconds": seconds,
        "replay_s": replay_s,
        "cpu_s": cpu_s,
        "records": found.entries_count,
        "bytes": used_bytes,
        "copies": copies_count,
    }


def resident_bytes() -> int:
    """Return the memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(candidates_count: int) -> dict[str, float]:
    """Write a journal with its files, and recover from them in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_journal(Path(folder) / "journal", candidates_count, Path(folder) / "bodies")
        command = [sys.executable, "-m", "tests.benchmarks.recovery", "--recover", folder]
        figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="How long recovery takes, and what it takes in memory.")
    parser.add_argument("--candidates", type=int, default=CANDIDATES_COUNT, help="copies in the journal")
    parser.add_argument("--recover", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.recover is not None:
        print(json.dumps(recover(arguments.recover)))
        return 0
    figures = measure(arguments.candidates)
    seconds, copy_bytes = figures["seconds"], figures["bytes"] / figures["copies"]
    print(f"recovery, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| candidates | records | s | of it replay | CPU s | bytes a candidate |\n|---|---|---|---|---|---|")
    times = f"{seconds:.1f} | {figures['replay_s']:.1f} | {figures['cpu_s']:.1f}"
    print(f"| {figures['copies']} | {figures['records']} | {times} | {copy_bytes:.0f} |")
    if seconds > SECONDS_MAX or copy_bytes > BYTES_MAX:
        print(f"More than {SECONDS_MAX:.0f} s, or than {BYTES_MAX} bytes a candidate.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
