"""Live traffic: one packager, and readers who all ask for each segment the moment its media has ended.

What is not delivered whole within `PATIENCE_MS` after it was published is missed. Every body is hashed: a wrong
byte, or a status that nobody may get here, is a problem, and so is what was missed.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.benchmarks.client import Ask
from tests.benchmarks.figures import Row, listed, quantile, spread
from tests.benchmarks.fleet import Fleet, Harvest, Plan
from tests.benchmarks.packager import Packager, Put
from tests.benchmarks.served import EVENT, SEGMENT_MS, Cores, Served

RENDITION: Final = "v0"
SEGMENT_BYTES: Final = 100_000
# From the end of its media to the PUT; well before it is due.
PACKAGER_DELAY_MS: Final = 300
# A player of such segments has two of them in its buffer at least.
PATIENCE_MS: Final = 4 * SEGMENT_MS
# Statuses of a request that came too early, or to a busy origin; it is asked again.
NEGATIVE: Final = (404, 503)


@dataclass
class LiveFigures:
    """What came of some seconds of live traffic.

    Args:
        delivered: Segments that reached one client; `wanted` is how many should have.
        negative: How many requests were answered 404 or 503, by status.
        requests: All that were sent for them, repeated ones included.
        late_ms: From the last byte of the PUT to the first byte of the 200, for each delivery.
        own_late_ms: How late the clients themselves were, for each request: their processor was busy with others.
    """

    segments: int = 0
    wanted: int = 0
    delivered: int = 0
    requests: int = 0
    negative: Counter[str] = field(default_factory=Counter)
    late_ms: list[float] = field(default_factory=list)
    put_ms: list[float] = field(default_factory=list)
    own_late_ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def missed(self) -> int:
        """Deliveries that should have been and were not."""
        return self.wanted - self.delivered

    @property
    def overdue(self) -> int:
        """Deliveries that came more than one segment after the PUT."""
        return sum(late > SEGMENT_MS for late in self.late_ms)

    def cells(self) -> Row:
        """Return the cells of a row that every table of live traffic has."""
        return {
            "live segments": self.segments,
            "missed": self.missed,
            "negative": listed(self.negative),
            **{f"live {name}": value for name, value in spread(self.late_ms).items()},
            "clients late p99 ms": spread(self.own_late_ms)["p99 ms"],
        }

    def problems(self, what: str) -> list[str]:
        """Return what was missed or wrong; slowness is no problem."""
        missed = [f"{self.missed} of {self.wanted} live deliveries were missed"] if self.missed else []
        return [f"{what}: {problem}" for problem in (*missed, *self.wrong)]

    def ratio_to(self, quiet: "LiveFigures") -> float:
        """Return how many times later the 99th percentile is than in quiet times."""
        if not self.late_ms or not quiet.late_ms:
            return float("nan")
        return quantile(self.late_ms, 0.99) / quantile(quiet.late_ms, 0.99)


class Live:
    """Runs live traffic for a while.

    Args:
        fleet: The readers; it keeps bodies of `SEGMENT_BYTES`.
    """

    def __init__(self, packager: Packager, fleet: Fleet, readers: int) -> None:
        self._packager = packager
        self._fleet = fleet
        self._readers = readers

    def run(self, segments: int) -> LiveFigures:
        """Publish and deliver so many segments, each of them at its time."""
        first = int(time.time() * 1000) // SEGMENT_MS + 1
        numbers = range(first, first + segments)
        wall_to_monotonic_ns = time.monotonic_ns() - time.time_ns()
        asks = []
        for number in numbers:
            at_ns = (number + 1) * SEGMENT_MS * 1_000_000 + wall_to_monotonic_ns
            until_ns = at_ns + (PACKAGER_DELAY_MS + PATIENCE_MS) * 1_000_000
            asks += [Ask(_path(number), client, at_ns, until_ns) for client in range(self._readers)]
        self._fleet.ask(asks)
        puts: dict[str, Put] = {}
        for number in numbers:
            publish_ms = (number + 1) * SEGMENT_MS + PACKAGER_DELAY_MS
            time.sleep(max(publish_ms / 1000 - time.time(), 0))
            puts[_path(number)] = self._packager.put_segment(RENDITION, number, SEGMENT_BYTES)
        harvest = self._fleet.collect(2 * PATIENCE_MS / 1000)
        return judge(harvest, puts, self._readers)


def judge(harvest: Harvest, puts: dict[str, Put], readers: int) -> LiveFigures:
    """Return what came of live traffic. Answers for segments before these came too late, and count no more.

    What the clients themselves were late by, at most, is granted on top of the patience: it is not the origin's.
    """
    figures = LiveFigures(segments=len(puts), wanted=len(puts) * readers)
    figures.put_ms = [put.took_ms for put in puts.values()]
    figures.own_late_ms = [late_ns / 1e6 for late_ns in harvest.late_ns]
    patience_ms = PATIENCE_MS + max(figures.own_late_ms, default=0)
    for answer in harvest.answers:
        put = puts.get(answer.path)
        if put is None:
            continue
        figures.requests += 1
        if answer.status in NEGATIVE:
            figures.negative[str(answer.status)] += 1
        elif (answer.status, answer.body_bytes, answer.digest) == (200, SEGMENT_BYTES, put.digest):
            figures.delivered += (answer.last_ns - put.sent_ns) / 1e6 <= patience_ms
            figures.late_ms.append((answer.first_ns - put.sent_ns) / 1e6)
        else:
            figures.wrong.append(f"{answer.path}: status {answer.status}, {answer.body_bytes} bytes, or other ones")
    return figures


def segments_in(seconds: float) -> int:
    """Return how many segments begin in so many seconds, at least one.

    >>> segments_in(9.6), segments_in(0)
    (20, 1)
    """
    return max(round(seconds * 1000) // SEGMENT_MS, 1)


@contextmanager
def live_traffic(origin: Served, readers: int, cores: Cores) -> Iterator[Live]:
    """Connect packager and readers, and publish the init segment."""
    plan = Plan(origin.deliver, readers, keep_bytes=SEGMENT_BYTES, core=cores.clients)
    with Packager(origin.publish) as packager, Fleet(plan) as fleet:
        packager.put_init(RENDITION)
        yield Live(packager, fleet, readers)


def _path(number: int) -> str:
    return f"/{EVENT}/{RENDITION}/{number}.m4s"
