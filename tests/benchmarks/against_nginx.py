"""GET beside nginx: the same bytes at the same paths from this origin and from Debian's nginx, in turns.

    python -m tests.benchmarks.against_nginx [--sizes 1024,65536,...] [--ssd-sizes ...] [--rounds 5] [--seconds 3]

The process that delivers (`workers: 1`) and nginx's one worker have the first processor to themselves, `wrk` the
second, with one thread and 64 connections that each ask again as soon as they have their answer. Every path is fetched
once from both before it counts, and its bytes compared. The origin has metrics, request log and limits as by default;
but all segments count as live edge, which load does not refuse: a machine that does something else must cost figures,
not answers. That bodies came from memory, or from SSD, is checked against what the origin counted. Files of both
servers are in the page cache.

A rate is the median of the rounds, in brackets the least and the most. The ratio is that of the medians, over 1 where
this origin is faster. Processor time is user and system of the process that serves. `busy` is how much of its
processor the server used, then the generator, then which of them was the bottleneck: a ratio between two rates that
the client limits is one of what answers cost the client. `others` is what the machine did beside, in processors:
its median and the most. Interrupts are part of it; with more than 0.2 no figure of the row is worth much.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests import media
from tests.benchmarks.client import Address, Ask
from tests.benchmarks.figures import Row, report
from tests.benchmarks.fleet import Fleet, Plan
from tests.benchmarks.held_release import counts
from tests.benchmarks.nginx import NOPUSH, PLAIN, PUSH, WAYS, Nginx, nginx, version
from tests.benchmarks.packager import Packager
from tests.benchmarks.processes import Usage, pin_roles, stand_aside
from tests.benchmarks.served import EVENT, PATIENCE_S, SEGMENT_MS, Config, Cores, Served, WrongAnswerError, served
from tests.benchmarks.storm import storm
from tests.benchmarks.turns import Duel, Turn, take_turns
from tests.benchmarks.workers import rendition_of

GB: Final = 1e9
# How old the newest segment is.
PAST_MS: Final = 15_000
SMALL_BYTES: Final = 16 * 1024
LARGE_BYTES: Final = 128 * 1024
LIMITS: Final = {"segment_bytes": "8MiB", "reads": 65_536}
# All that is asked for is live edge, which is not refused under load; the bench of one tier takes some five minutes.
EVENT_SETTINGS: Final = {"live_edge": "10m"}
READ: Final = "origin_cache_requests_total"


@dataclass(frozen=True)
class Tier:
    """From where the origin serves.

    Args:
        results: What the origin calls it in its metrics; a read of SSD may serve several requests.
        paths_count: On SSD far more than connections, so that few reads do.
    """

    name: str
    results: tuple[str, ...]
    ram: str
    paths_count: int


RAM: Final = Tier("RAM", ("ram",), "1GiB", 48)
SSD_RAM_BYTES: Final = 8 * 2**20
SSD: Final = Tier("SSD", ("ssd", "shared"), f"{SSD_RAM_BYTES}B", 256)
FILLER: Final = "filler"
FILLERS: Final = 16


@dataclass(frozen=True)
class Ring:
    """Both servers and who asks them."""

    origin: Served
    nginx: Nginx
    deliver_id: int
    core: int | None
    arguments: argparse.Namespace

    def turn(self, address: Address, process_id: int, paths: Sequence[str]) -> Turn:
        """Let wrk ask one of them for a while."""
        prefix = [] if self.core is None else ["taskset", "--cpu-list", str(self.core)]
        with storm(address, paths, self.arguments.connections, self.arguments.seconds, prefix) as readers:
            used = Usage([process_id])
            tally = readers.end()
            used_s, others_s = used.of(process_id), used.others_s(tally.cpu_s)
        return Turn(tally.requests, tally.body_bytes / GB, tally.seconds, used_s, tally.cpu_s, others_s)


@contextmanager
def ring(tier: Tier, sizes: Sequence[int], arguments: argparse.Namespace) -> Iterator[Ring]:
    """Start both, each where it belongs."""
    cores: Cores = arguments.cores
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = Config(
            folder,
            (*map(rendition_of, sizes), FILLER),
            limits=LIMITS,
            storage={"ram": tier.ram},
            event=EVENT_SETTINGS,
            workers=1,
            log={},  # as by default
        )
        origin = stack.enter_context(served(config, cores.server))
        processes = origin.processes()
        pin_roles(processes, cores.clients, cores.server)
        other = stack.enter_context(nginx(folder / "nginx", cores.server))
        yield Ring(origin, other, processes["deliver-0"], cores.clients, arguments)


def fill(both: Ring, rendition: str, size_bytes: int, count: int) -> list[str]:
    """Publish segments of the past and put the same bytes where nginx finds them; returns their paths."""
    last = (int(time.time() * 1000) - PAST_MS) // SEGMENT_MS
    digests = {}
    with Packager(both.origin.publish) as packager:
        packager.put_init(rendition)
        for number in range(last - count, last):
            name = f"{rendition}/{number}.m4s"
            body = media.media_segment(number, SEGMENT_MS, size_bytes)
            digests[f"/{EVENT}/{name}"] = packager.put(name, body).digest
            both.nginx.write(f"{EVENT}/{name}", body)
    for address, prefixes in ((both.origin.deliver, [""]), (both.nginx.address, list(WAYS))):
        wanted = {prefix + path: digest for prefix in prefixes for path, digest in digests.items()}
        verify(wanted, Plan(address, 4, keep_bytes=size_bytes, core=both.core))
    return list(digests)


def verify(digests: Mapping[str, bytes], plan: Plan) -> None:
    """Fetch everything once.

    Raises:
        WrongAnswerError: Bytes are other ones.
    """
    with Fleet(plan) as fleet:
        fleet.ask([Ask(path) for path in digests])
        answers = fleet.collect(PATIENCE_S).answers
    right = sum(answer.digest == digests[answer.path] for answer in answers)
    if right != len(digests):
        statuses = dict(Counter(answer.status for answer in answers))
        raise WrongAnswerError(f"{right} of {len(digests)} bodies of port {plan.address[1]} are right: {statuses}")


def push_out(both: Ring, ram_bytes: int) -> None:
    """Publish what is newer than all the rest, so that none of that is left in memory."""
    newest = int(time.time() * 1000) // SEGMENT_MS - 1
    with Packager(both.origin.publish) as packager:
        packager.put_init(FILLER)
        for number in range(newest - FILLERS + 1, newest + 1):
            packager.put_segment(FILLER, number, 4 * ram_bytes // FILLERS)


def check_tier(tier: Tier, origin: Served, fetched: int, requests: int) -> None:
    """Compare where bodies came from with where they should have.

    Args:
        fetched: Bodies that were looked at beforehand, when all of them were in memory.
        requests: What was answered since.
    Raises:
        WrongAnswerError: They came from elsewhere.
    """
    least = requests if tier is SSD else fetched + requests
    counts_by_result = origin.told_metrics(READ, fetched + requests).counts(READ, "result")
    from_tier = sum(counts_by_result.get(result, 0) for result in tier.results)
    elsewhere = sum(counts_by_result.values()) - from_tier
    if from_tier < least or elsewhere > (fetched if tier is SSD else 0):
        raise WrongAnswerError(f"{requests} bodies were to come from {tier.name}: {counts_by_result}")


def ways(size_bytes: int) -> list[str]:
    """Return how nginx is to send bodies of a size.

    >>> [WAYS[way] for way in ways(1_024)], [WAYS[way] for way in ways(65_536)]
    (['sendfile, nopush', 'read, write'], ['sendfile, nopush'])
    """
    if size_bytes < SMALL_BYTES:
        return [NOPUSH, PLAIN]
    return [NOPUSH, PUSH] if size_bytes > LARGE_BYTES else [NOPUSH]


def rows_of(tier: Tier, sizes: Sequence[int], arguments: argparse.Namespace) -> list[Row]:
    """Return a row for each size and way of nginx."""
    rows: list[Row] = []
    requests = 0
    with ring(tier, sizes, arguments) as both:
        paths = {size_bytes: fill(both, rendition_of(size_bytes), size_bytes, tier.paths_count) for size_bytes in sizes}
        if tier is SSD:
            push_out(both, SSD_RAM_BYTES)
        for size_bytes in sizes:
            for prefix in ways(size_bytes):
                what: Row = {"tier": tier.name, "bytes": f"{size_bytes:,}", "nginx": WAYS[prefix]}
                outcome = duel(both, paths[size_bytes], prefix)
                requests += sum(turn.count for turn in outcome.ours)
                rows.append(what | outcome.cells("requests", "CPU s/GB"))
        check_tier(tier, both.origin, sum(map(len, paths.values())), requests)
    return rows


def duel(both: Ring, paths: Sequence[str], prefix: str) -> Duel:
    """Run all rounds with these paths, which nginx has below a prefix."""
    theirs = [prefix + path for path in paths]
    return take_turns(
        both.arguments.rounds,
        lambda: both.turn(both.origin.deliver, both.deliver_id, paths),
        lambda: both.turn(both.nginx.address, both.nginx.worker_id, theirs),
    )


def sizes_of(text: str) -> list[int]:
    """Read sizes, comma-separated; an empty text has none.

    >>> sizes_of("1024,65536"), sizes_of("")
    ([1024, 65536], [])
    """
    return counts(text) if text else []


def main() -> None:
    parser = argparse.ArgumentParser(description="GET beside nginx.")
    parser.add_argument("--sizes", type=sizes_of, default=[1_024, 65_536, 262_144, 1_048_576, 4_194_304], help="in RAM")
    parser.add_argument("--ssd-sizes", type=sizes_of, default=[65_536, 1_048_576], help="on SSD only")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--seconds", type=float, default=3, help="for each turn")
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    arguments.cores = Cores.available()
    stand_aside(arguments.cores.clients)
    rows = [
        row
        for tier, sizes in ((RAM, arguments.sizes), (SSD, arguments.ssd_sizes))
        if sizes
        for row in rows_of(tier, sizes, arguments)
    ]
    title = (
        f"GET, {arguments.connections} connections, {arguments.rounds} rounds of {arguments.seconds:.0f} s, {version()}"
    )
    report(title, rows, [])


if __name__ == "__main__":
    main()
