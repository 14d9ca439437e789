"""A storm of impossible requests beside live traffic: arithmetic refuses them, and live readers do not notice.

    python -m tests.benchmarks.storm_404 [--seconds 20] [--quiet-seconds 10] [--rate 10000] [--readers 20]

Five kinds in equal parts: unknown event, unknown rendition, impossible name, far future, aged out. They are sent on a
schedule by connections of their own, and their latency counts from the moment they were due. Fails if one of them is
answered with anything but 404 or 410, if they reach storage, or if a live segment is missed.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.benchmarks.client import Answer
from tests.benchmarks.figures import Row, quantile, report
from tests.benchmarks.fleet import Fleet, Plan
from tests.benchmarks.live import Live, LiveFigures, live_traffic, segments_in
from tests.benchmarks.scrape import Metrics
from tests.benchmarks.served import EVENT, SEGMENT_MS, Config, Cores, Served, served

CONNECTIONS: Final = 64
VARIANTS: Final = 2_000
# Far beyond every window: two days of segments.
FAR: Final = 2 * 86_400_000 // SEGMENT_MS
SETTLE_S_MAX: Final = 2.0
REFUSALS: Final = (404, 410)
# Live readers and the packager share a processor with the storm's senders, who stand back.
NICENESS: Final = 10


def impossible_paths(number: int) -> list[str]:
    """Return requests of all five kinds around the live edge `number`, which no origin can ever answer with bytes."""
    return [
        path
        for variant in range(VARIANTS)
        for path in (
            f"/unknown-{variant}/v0/{number}.m4s",
            f"/{EVENT}/unknown-{variant}/{number}.m4s",
            f"/{EVENT}/v0/no-such-name-{variant}.bin",
            f"/{EVENT}/v0/{number + FAR + variant}.m4s",
            f"/{EVENT}/v0/{number - FAR - variant}.m4s",
        )
    ]


def storage_reads(counted: Metrics) -> int:
    """Return how many bodies were asked of the storage."""
    return int(counted.sum("origin_cache_requests_total"))


def measure(origin: Served, live: Live, seconds: float) -> tuple[LiveFigures, Row, int]:
    """Return the figures of some seconds of live traffic as they are, as a row, and the reads of the storage."""
    before, cpu_begin_s, begin_s = origin.metrics(), origin.cpu_s(), time.monotonic()
    figures = live.run(segments_in(seconds))
    cpu_percent = round(100 * (origin.cpu_s() - cpu_begin_s) / (time.monotonic() - begin_s))
    row: Row = {**figures.cells(), "server CPU %": cpu_percent}
    return figures, row, storage_reads(origin.metrics().since(before))


def judge(junk: list[Answer], live: LiveFigures, reads: int) -> list[str]:
    """Return what was wrong. Each live request may ask the storage once; then nothing is left for the storm."""
    problems = [f"{answer.path}: status {answer.status}" for answer in junk if answer.status not in REFUSALS]
    if reads > live.requests:
        problems.append(f"{reads} reads of the storage for {live.requests} live requests")
    return problems + live.problems("storm")


def run(arguments: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Return a row for quiet times and one for the storm, and what was wrong."""
    cores = Cores.available()
    with tempfile.TemporaryDirectory() as folder, served(Config(Path(folder)), cores.server) as origin:
        plan = Plan(origin.deliver, CONNECTIONS, core=cores.clients, niceness=NICENESS)
        with live_traffic(origin, arguments.readers, cores) as live, Fleet(plan) as storm:
            live.run(2)  # warm up
            quiet, quiet_row, _ = measure(origin, live, arguments.quiet_seconds)
            paths = impossible_paths(int(time.time() * 1000) // SEGMENT_MS)
            storm.flow(paths, arguments.rate, arguments.seconds)
            stormy, stormy_row, reads = measure(origin, live, arguments.seconds)
            harvest = storm.collect(SETTLE_S_MAX)
    junk = harvest.answers
    statuses = Counter(answer.status for answer in junk)
    duration_s = (max(answer.last_ns for answer in junk) - min(answer.sent_ns for answer in junk)) / 1e9
    nothing: Row = dict.fromkeys(("junk a second", "404", "410", "junk p99 ms", "not sent"))
    figures: Row = {
        "junk a second": round(len(junk) / duration_s),
        "404": statuses[404],
        "410": statuses[410],
        "junk p99 ms": quantile([(answer.last_ns - answer.due_ns) / 1e6 for answer in junk], 0.99),
        "not sent": round(arguments.rate * arguments.seconds) - len(junk),
    }
    rows: list[Row] = [
        {"": "quiet", **quiet_row, "p99 ratio": 1.0, **nothing},
        {"": "storm", **stormy_row, "p99 ratio": stormy.ratio_to(quiet), **figures},
    ]
    return rows, quiet.problems("quiet") + judge(junk, stormy, reads)


def main() -> None:
    parser = argparse.ArgumentParser(description="Impossible requests beside live traffic.")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--quiet-seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=10_000, help="impossible requests a second")
    parser.add_argument("--readers", type=int, default=20, help="clients at the live edge")
    arguments = parser.parse_args()
    report("storm of impossible requests", *run(arguments))


if __name__ == "__main__":
    main()
