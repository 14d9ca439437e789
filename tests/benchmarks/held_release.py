"""Publish-to-first-byte: from the last byte of a PUT to the first byte at each request held for that segment.

    python -m tests.benchmarks.held_release [--waiters 1,50,500] [--rounds 100] [--bytes 100000] [--workers 0,1,2]

The origin is a process of its own, as in production, with `acknowledge: disk`; the clients are another one, on
another processor (see `fleet`); all over loopback. With workers the requests are held in other processes than the one
that takes the upload; all of them share one processor, unless with `--free`. Each round is one segment: its requests
are held, then pipeline `a` publishes it. Beside each figure stands the same one of a bare loop of `send` (see `bare`),
and what the origin says of its own share: from the choice, as the process that holds the requests learns of it, to the
first byte written to the last of those who waited. `after PUT` counts from the answer to the upload, so it is what the
way to the other process adds; it is below 0 where the first byte comes before that answer.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks.bare import bare
from tests.benchmarks.client import Answer, Ask
from tests.benchmarks.figures import Row, machine, spread, table
from tests.benchmarks.fleet import Fleet, Plan
from tests.benchmarks.packager import Packager, Put
from tests.benchmarks.served import EVENT, SEGMENT_MS, Config, Cores, Served, WrongAnswerError, served

RENDITIONS: Final = tuple(f"v{index}" for index in range(10))
ANSWER_S_MAX: Final = 20.0
OWN_SHARE: Final = "origin_hold_release_seconds"
HELD: Final = "origin_hold_duration_seconds_count"


@dataclass
class Measured:
    """Latencies of all answers in ms, from the last byte of the PUT on; `after_put_ms` from its answer on.

    `deaf_ms` is how long the fleet was busy after each batch of first bytes.
    """

    first_ms: list[float] = field(default_factory=list)
    last_ms: list[float] = field(default_factory=list)
    deaf_ms: list[float] = field(default_factory=list)
    put_ms: list[float] = field(default_factory=list)
    after_put_ms: list[float] = field(default_factory=list)


def check(answer: Answer, put: Put, size_bytes: int) -> None:
    """Raise WrongAnswerError unless these are the bytes that were published, sent after they were."""
    if (answer.status, answer.body_bytes, answer.digest) != (200, size_bytes, put.digest):
        raise WrongAnswerError(f"{answer.path}: status {answer.status}, {answer.body_bytes} bytes, or other ones")


def measure(origin: Served, fleet: Fleet, waiters: int, rounds: int, size_bytes: int) -> Measured:
    """Hold and release so many segments."""
    measured = Measured()
    number = 0
    with Packager(origin.publish) as packager:
        for done in range(rounds):
            rendition = RENDITIONS[done % len(RENDITIONS)]
            if done % len(RENDITIONS) == 0:
                number = int(time.time() * 1000) // SEGMENT_MS + 1
                time.sleep(max(number * SEGMENT_MS / 1000 - time.time(), 0))
            fleet.ask([Ask(f"/{EVENT}/{rendition}/{number}.m4s", client) for client in range(waiters)])
            origin.wait_for_holds(waiters)
            put = packager.put_segment(rendition, number, size_bytes)
            harvest = fleet.collect(ANSWER_S_MAX)
            if len(harvest.answers) != waiters:
                raise WrongAnswerError(f"{len(harvest.answers)} answers for {waiters} requests")
            for answer in harvest.answers:
                check(answer, put, size_bytes)
                measured.first_ms.append((answer.first_ns - put.sent_ns) / 1e6)
                measured.after_put_ms.append((answer.first_ns - put.answered_ns) / 1e6)
                measured.last_ms.append((answer.last_ns - put.sent_ns) / 1e6)
            measured.put_ms.append(put.took_ms)
            measured.deaf_ms += [deaf_ns / 1e6 for deaf_ns in harvest.deaf_ns]
    return measured


def measure_row(origin: Served, waiters: int, arguments: argparse.Namespace, client_core: int | None) -> Row:
    """Return the figures of one number of waiters, without what only an origin can tell."""
    with Fleet(Plan(origin.deliver, waiters, keep_bytes=arguments.bytes, core=client_core)) as fleet:
        measure(origin, fleet, waiters, len(RENDITIONS), arguments.bytes)  # warm up
        before = origin.settled_metrics()
        measured = measure(origin, fleet, waiters, arguments.rounds, arguments.bytes)
        counted = origin.settled_metrics().since(before)
    held = counted.sum(HELD, woken="yes")
    if origin.workers and held != waiters * arguments.rounds:
        raise WrongAnswerError(f"{held:.0f} requests were held, not {waiters * arguments.rounds}")
    own = {f"own p{share:.0%}"[:-1] + " ms": counted.quantile_ms(OWN_SHARE, share) for share in (0.5, 0.99)}
    return {
        "workers": origin.workers,
        "requests held": waiters,
        "segments": arguments.rounds,
        **spread(measured.first_ms),
        **own,
        "last byte p99 ms": spread(measured.last_ms)["p99 ms"],
        "PUT p50 ms": spread(measured.put_ms)["p50 ms"],
        **{f"after PUT {name}": value for name, value in spread(measured.after_put_ms).items()},
        "client batch p99 ms": spread(measured.deaf_ms)["p99 ms"],
    }


def run(arguments: argparse.Namespace) -> list[Row]:
    """Return one row of figures for each number of workers and of waiters."""
    cores = Cores.available()
    return [row for workers in arguments.workers for row in run_workers(workers, arguments, cores)]


def run_workers(workers: int, arguments: argparse.Namespace, cores: Cores) -> list[Row]:
    """Return one row of figures for each number of waiters."""
    rows: list[Row] = []
    core = None if arguments.free else cores.server
    with tempfile.TemporaryDirectory() as name, served(Config(Path(name), RENDITIONS, workers=workers), core) as origin:
        with Packager(origin.publish) as packager:
            for rendition in RENDITIONS:
                packager.put_init(rendition)
        for waiters in arguments.waiters:
            row = measure_row(origin, waiters, arguments, cores.clients)
            with bare(core) as loop:
                floor = measure_row(loop, waiters, arguments, cores.clients)
            rows.append(row | {"bare p50 ms": floor["p50 ms"], "bare p99 ms": floor["p99 ms"]})
        if origin.metrics().sum("origin_storage_errors_total"):
            raise WrongAnswerError("the storage had faults")
    return rows


def counts(text: str) -> list[int]:
    """Read `1,50,500`.

    >>> counts("1,50")
    [1, 50]
    """
    return [int(count) for count in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Publish-to-first-byte of held requests.")
    parser.add_argument("--waiters", type=counts, default=[1, 50, 500], help="requests held for each segment")
    parser.add_argument("--rounds", type=int, default=100, help="segments")
    parser.add_argument("--bytes", type=int, default=100_000, help="size of a segment")
    parser.add_argument("--workers", type=counts, default=[0], help="deliver processes, 0 for one process in all")
    parser.add_argument("--free", action="store_true", help="let the origin run on any processor")
    arguments = parser.parse_args()
    rows = run(arguments)
    print(table(f"publish-to-first-byte, {arguments.bytes} bytes, {machine()}", rows))


if __name__ == "__main__":
    main()
