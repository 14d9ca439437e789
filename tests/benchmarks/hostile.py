"""Clients that mean harm beside live traffic: slow-loris connections, and slow readers of large bodies.

    python -m tests.benchmarks.hostile [--seconds 20] [--loris 1000] [--slow-readers 200] [--bytes 1000000]

Each loris sends a byte of its head a second, each slow reader takes 4 KB a second of a large body; whoever is
cut connects again. Shown is what the origin did with them. Fails if a live segment is missed, or wrong.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.benchmarks.attackers import Attack, Attackers
from tests.benchmarks.figures import Row, listed, report
from tests.benchmarks.live import LiveFigures, live_traffic, segments_in
from tests.benchmarks.packager import Packager
from tests.benchmarks.scrape import Metrics
from tests.benchmarks.served import EVENT, SEGMENT_MS, Config, Cores, Served, served

READERS: Final = 20
BIG: Final = "v1"
NICENESS: Final = 10
# Room for all of them and for live readers; what is cut is cut for its slowness.
LIMITS: Final = {"connections_per_address": 4_096, "connections": 8_192}
REFUSED: Final = "origin_connections_refused_total"
UNSENT: Final = "origin_unsent_bytes"


def publish_big(origin: Served, size_bytes: int) -> str:
    """Publish what slow readers will ask for; returns its path."""
    number = int(time.time() * 1000) // SEGMENT_MS - 1
    with Packager(origin.publish) as packager:
        packager.put_init(BIG)
        packager.put_segment(BIG, number, size_bytes)
    return f"/{EVENT}/{BIG}/{number}.m4s"


def row_of(name: str, live: LiveFigures, quiet: LiveFigures, counts: Counter[str], counted: Metrics) -> Row:
    """Return the figures of one run; `counted` is what the origin did meanwhile."""
    answered = {key.rpartition(" ")[2]: count for key, count in counts.items() if "answered" in key}
    return {
        "attackers": name,
        **live.cells(),
        "overdue": live.overdue,
        "p99 ratio": live.ratio_to(quiet),
        "loris connected": counts["loris connected"],
        "loris cut": counts["loris cut"],
        "loris answered": listed(answered),
        "slow readers connected": counts["slow reader connected"],
        "slow readers cut": counts["slow reader cut"],
        "refused or cut by the origin": listed(counted.counts(REFUSED, "reason")),
        "unsent bytes": round(counted.sum(UNSENT)),
    }


def run(arguments: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Return a row for quiet times and one for the attack, and what was wrong."""
    cores = Cores.available()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Config(Path(folder), ("v0", BIG), LIMITS), cores.server) as origin,
        live_traffic(origin, READERS, cores) as live,
    ):
        path = publish_big(origin, arguments.bytes)
        live.run(2)  # warm up
        quiet = live.run(segments_in(arguments.seconds))
        before = origin.metrics()
        attack = Attack(
            address=origin.deliver,
            path=path,
            loris=arguments.loris,
            slow_readers=arguments.slow_readers,
            core=cores.clients,
            niceness=NICENESS,
        )
        with Attackers(attack) as attackers:
            attacked = live.run(segments_in(arguments.seconds))
            counted = origin.metrics().since(before)
            counts = attackers.stop()
    rows = [
        row_of("none", quiet, quiet, Counter(), Metrics(())),
        row_of("all", attacked, quiet, counts, counted),
    ]
    return rows, quiet.problems("quiet") + attacked.problems("attacked")


def main() -> None:
    parser = argparse.ArgumentParser(description="Slow-loris connections and slow readers beside live traffic.")
    parser.add_argument("--seconds", type=float, default=20, help="quiet, and again under attack")
    parser.add_argument("--loris", type=int, default=1_000)
    parser.add_argument("--slow-readers", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="size of what slow readers ask for")
    arguments = parser.parse_args()
    report(f"{arguments.loris} slow-loris connections and {arguments.slow_readers} slow readers", *run(arguments))


if __name__ == "__main__":
    main()
