"""Rewind traffic beyond what the SSD tier can serve, beside live traffic and a packager, who must not notice.

    python -m tests.benchmarks.overload [--seconds 15] [--segments 200] [--bytes 500000] [--factors 2,4]

First a DVR window is filled, far more than fits into memory. Then clients who never pause find out how many old
segments a second the origin serves with its limits off. Then it starts anew with its limits as they are by default,
and multiples of that rate are asked for on a schedule, however long answers take. Fails if a live segment is missed
or wrong, or if a rewind gets anything but its own bytes or a 503 that caches may keep for five seconds.
"""

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.client import Address, Answer, Ask
from tests.benchmarks.figures import Row, listed, quantile, report
from tests.benchmarks.fleet import Fleet, Plan
from tests.benchmarks.held_release import counts
from tests.benchmarks.live import RENDITION, Live, LiveFigures, live_traffic, segments_in
from tests.benchmarks.packager import Packager, Put
from tests.benchmarks.served import EVENT, SEGMENT_MS, Config, Cores, Served, served

READERS: Final = 20
SATURATING_CLIENTS: Final = 32
REWINDERS: Final = 400
SETTLE_S_MAX: Final = 3.0
# Live readers and the packager share a processor with the rewinders, who stand back.
NICENESS: Final = 10
# How far behind the live edge rewinds begin: beyond what counts as recent.
RECENT_MS: Final = 5_000
REWIND_MS: Final = 15_000
# The newest of what fills the window may be in memory until live segments have pushed it out.
RAM: Final = "8MiB"
SHED: Final = "origin_shed_total"
REFUSED_LIFE_TIME: Final = "max-age=5"

EVENT_SETTINGS: Final = {"live_edge": "1500ms", "recent": f"{RECENT_MS}ms"}
LIMITS: Final = {"segment_bytes": "4MiB", "connections_per_address": 4_096}
LIMITS_OFF: Final = {"reads": 65_536, "read_time": "10s", "loop_lag": "10s", "unsent": "1GiB", "send_rate": "0B"}


@dataclass(frozen=True)
class Window:
    """What was published to be rewound to, by path; all of one size."""

    puts: dict[str, Put]
    size_bytes: int

    @property
    def paths(self) -> list[str]:
        """All of them, in order of their numbers."""
        return list(self.puts)


def fill(origin: Served, segments: int, size_bytes: int) -> Window:
    """Publish segments of the past, the oldest first."""
    last = (int(time.time() * 1000) - REWIND_MS) // SEGMENT_MS
    puts = {}
    with Packager(origin.publish) as packager:
        packager.put_init(RENDITION)
        for number in range(last - segments, last):
            puts[f"/{EVENT}/{RENDITION}/{number}.m4s"] = packager.put_segment(RENDITION, number, size_bytes)
    return Window(puts, size_bytes)


def saturate(deliver: Address, window: Window, seconds: float, core: int | None) -> tuple[float, list[str]]:
    """Return how many old segments a second are served, and which answers were wrong."""
    with Fleet(Plan(deliver, SATURATING_CLIENTS, core=core)) as fleet:
        begin_ns = time.monotonic_ns()
        fleet.loop(window.paths, seconds)
        answers = fleet.collect(seconds + SETTLE_S_MAX).answers
    served_count = sum(is_whole(answer, window) for answer in answers)
    duration_s = (max(answer.last_ns for answer in answers) - begin_ns) / 1e9
    return served_count / duration_s, wrong_rewinds(answers, window)


def verify(deliver: Address, window: Window, core: int | None) -> list[str]:
    """Fetch every old segment once and compare its bytes; too dear to do beside a measurement."""
    with Fleet(Plan(deliver, 4, keep_bytes=window.size_bytes, core=core)) as fleet:
        fleet.ask([Ask(path) for path in window.paths])
        answers = fleet.collect(len(window.paths) / 10 + SETTLE_S_MAX).answers
    right = {answer.path for answer in answers if answer.digest == window.puts[answer.path].digest}
    return [f"{path}: not the bytes that were published" for path in window.paths if path not in right]


def is_whole(answer: Answer, window: Window) -> bool:
    """Return whether this is the whole segment, by length and ETag."""
    return (answer.status, answer.body_bytes, answer.etag) == (
        200,
        window.size_bytes,
        window.puts[answer.path].etag,
    )


def is_refused(answer: Answer) -> bool:
    """Return whether this refuses a rewind as caches need it."""
    return answer.status == 503 and REFUSED_LIFE_TIME in answer.cache_control.split(", ")


def wrong_rewinds(answers: list[Answer], window: Window) -> list[str]:
    """Return those that are neither a whole segment nor a refusal."""
    return [
        f"{answer.path}: status {answer.status}, {answer.body_bytes} bytes, {answer.cache_control!r}"
        for answer in answers
        if not (is_whole(answer, window) or is_refused(answer))
    ]


@dataclass(frozen=True)
class Outcome:
    """What came of one run; `shed` is what the origin says it refused, by its reasons."""

    live: LiveFigures
    rewinds: list[Answer]
    shed: dict[str, int]


def row_of(name: str, outcome: Outcome, quiet: LiveFigures, window: Window) -> Row:
    """Return the figures of one run."""
    live = outcome.live
    outcomes = Counter(
        "served" if is_whole(answer, window) else "refused" if is_refused(answer) else "other"
        for answer in outcome.rewinds
    )
    seconds = live.segments * SEGMENT_MS / 1000
    return {
        "rewinds": name,
        **live.cells(),
        "p99 ratio": live.ratio_to(quiet),
        "PUT p99 ms": quantile(live.put_ms, 0.99),
        "served a second": round(outcomes["served"] / seconds),
        "refused a second": round(outcomes["refused"] / seconds),
        "other": outcomes["other"],
        "shed by the origin": listed(outcome.shed),
    }


def rewind(origin: Served, live: Live, rate: float, seconds: float, window: Window) -> Outcome:
    """Run live traffic beside rewinds at a fixed rate."""
    plan = Plan(origin.deliver, REWINDERS, core=Cores.available().clients, niceness=NICENESS)
    with Fleet(plan) as rewinders:
        before = origin.metrics()
        rewinders.flow(window.paths, rate, seconds)
        figures = live.run(segments_in(seconds))
        rewinds = rewinders.collect(SETTLE_S_MAX).answers
        return Outcome(figures, rewinds, origin.metrics().since(before).counts(SHED, "reason"))


def run(arguments: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Return a row for quiet times and one for each multiple, and what was wrong."""
    cores = Cores.available()
    with tempfile.TemporaryDirectory() as folder:
        storage = {"ram": RAM}
        unlimited = Config(Path(folder), limits=LIMITS | LIMITS_OFF, storage=storage, event=EVENT_SETTINGS)
        with served(unlimited, cores.server) as origin:
            window = fill(origin, arguments.segments, arguments.bytes)
            problems = verify(origin.deliver, window, cores.clients)
            rate, wrong = saturate(origin.deliver, window, arguments.saturating_seconds, cores.clients)
            problems += wrong
        limited = Config(Path(folder), limits=LIMITS, storage=storage, event=EVENT_SETTINGS)
        with served(limited, cores.server) as origin, live_traffic(origin, READERS, cores) as live:
            live.run(2)  # warm up
            quiet = live.run(segments_in(arguments.seconds))
            problems += quiet.problems("quiet")
            rows = [row_of("none", Outcome(quiet, [], {}), quiet, window)]
            for factor in arguments.factors:
                outcome = rewind(origin, live, factor * rate, arguments.seconds, window)
                problems += outcome.live.problems(f"{factor} times") + wrong_rewinds(outcome.rewinds, window)
                rows.append(row_of(f"{factor} x {rate:.0f}/s", outcome, quiet, window))
    return rows, problems


def main() -> None:
    parser = argparse.ArgumentParser(description="Rewinds beyond what the SSD tier can serve, beside live traffic.")
    parser.add_argument("--seconds", type=float, default=15, help="for each run")
    parser.add_argument("--saturating-seconds", type=float, default=4)
    parser.add_argument("--segments", type=int, default=200, help="of the past")
    parser.add_argument("--bytes", type=int, default=500_000, help="size of each of them")
    parser.add_argument("--factors", type=counts, default=[2, 4], help="of what the SSD tier serves, comma-separated")
    arguments = parser.parse_args()
    report(f"rewinds of {arguments.bytes} bytes beside live traffic", *run(arguments))


if __name__ == "__main__":
    main()
