"""The live edge: many clients ask for each segment the moment its media has ended, before it is published.

    python -m tests.benchmarks.live_edge [--readers 50,500] [--segments 20]

Counted is what a CDN would notice: negative answers, requests for each delivery, and reads of the lower tier. Fails
if a segment does not reach a client, or reaches it with other bytes.
"""

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.figures import Row, listed, report, spread
from tests.benchmarks.held_release import counts
from tests.benchmarks.live import PACKAGER_DELAY_MS, live_traffic
from tests.benchmarks.served import Config, Cores, served


def run(readers: list[int], segments: int) -> tuple[list[Row], list[str]]:
    """Return one row of figures for each number of readers, and what was wrong."""
    cores = Cores.available()
    rows: list[Row] = []
    problems: list[str] = []
    for count in readers:
        with tempfile.TemporaryDirectory() as folder, served(Config(Path(folder)), cores.server) as origin:
            with live_traffic(origin, count, cores) as live:
                live.run(2)  # warm up
                before = origin.metrics()
                figures = live.run(segments)
            counted = origin.metrics().since(before)
        problems += figures.problems(f"{count} readers")
        rows.append(
            {
                "readers": count,
                "segments": figures.segments,
                "negative": listed(figures.negative),
                "requests a delivery": figures.requests / max(figures.delivered, 1),
                "SSD reads a segment": counted.sum("origin_cache_requests_total", result="ssd") / figures.segments,
                **spread(figures.late_ms),
            }
        )
    return rows, problems


def main() -> None:
    parser = argparse.ArgumentParser(description="What clients at the live edge get.")
    parser.add_argument("--readers", type=counts, default=[50, 500], help="clients, comma-separated")
    parser.add_argument("--segments", type=int, default=20)
    arguments = parser.parse_args()
    report(f"live edge, asked for {PACKAGER_DELAY_MS} ms before the PUT", *run(arguments.readers, arguments.segments))


if __name__ == "__main__":
    main()
