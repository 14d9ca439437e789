"""What deliver processes of their own bring and cost: throughput, uploads beside a storm of reads, memory.

    python -m tests.benchmarks.workers [--figures hits,puts,memory] [--workers 0,1,2] [--seconds 8]

Bodies lie in the RAM tier; `wrk` asks for them on `--connections` connections, each as soon as it has its answer,
with the limits of load off. Rows of `workers` 0 are the origin in one process.

- `hits`: all processes run on any processor, `wrk` too, so that all of them share the machine: the processor time each
  side takes for a gigabyte is what can be compared.
- `puts`: segments of two sizes are published at the pace of live ones, first alone, then beside the storm. The process
  that delivers has one processor, publish process and packager the other; `wrk` stands back on either of them.
- `memory`: every process that delivers has sent every body; sums are of proportional set sizes.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Final

from loadtests import media
from tests.benchmarks.figures import Row, quantile, report, spread
from tests.benchmarks.held_release import counts
from tests.benchmarks.overload import Window, verify
from tests.benchmarks.packager import Packager
from tests.benchmarks.processes import ORIGIN, PUBLISH, cpu_s, pin_roles, pss_bytes, shared_bytes
from tests.benchmarks.served import EVENT, SEGMENT_MS, Config, Cores, Served, WrongAnswerError, served
from tests.benchmarks.storm import Tally, storm

GB: Final = 1e9
MIB: Final = 2**20
READ: Final = "origin_cache_requests_total"
# Room for live segments of a minute: what the storm asks for is older, and would go first.
RAM_MIB: Final = 512
STORM_MIB: Final = 64
# How old the newest segment of the storm is.
REWIND_MS: Final = 15_000
# Eight minutes of them, well within the DVR window.
SEGMENTS_MAX: Final = 1_000
LIVE: Final = tuple(f"live{index}" for index in range(10))
LIVE_BYTES: Final = (64_000, 500_000)
# From the end of its media to the PUT of a segment.
PACKAGER_DELAY_MS: Final = 100
# Until the storm is at its height.
RISE_S: Final = 0.5
LIMITS: Final = {
    "segment_bytes": "4MiB",
    "connections_per_address": 4_096,
    "reads": 65_536,
    "read_time": "10s",
    "loop_lag": "10s",
    "unsent": "4GiB",
    "send_rate": "0B",
}


def rendition_of(size_bytes: int) -> str:
    """Return the rendition whose segments have that size."""
    return f"size{size_bytes}"


@contextmanager
def running(workers: int, sizes: list[int], ram_mib: int = RAM_MIB) -> Iterator[Served]:
    """Run an origin on any processor, with init segments in place."""
    renditions = (*map(rendition_of, sizes), *LIVE)
    with tempfile.TemporaryDirectory() as folder:
        storage = {"ram": f"{ram_mib}MiB"}
        with served(Config(Path(folder), renditions, LIMITS, storage, workers=workers), core=None) as origin:
            with Packager(origin.publish) as packager:
                for rendition in renditions:
                    packager.put_init(rendition)
            yield origin


def fill(origin: Served, size_bytes: int, total_mib: int) -> Window:
    """Publish segments of the past, so many MiB or what the window has room for; they must be delivered right."""
    rendition = rendition_of(size_bytes)
    last = (int(time.time() * 1000) - REWIND_MS) // SEGMENT_MS
    count = min(max(total_mib * MIB // size_bytes, 1), SEGMENTS_MAX)
    puts = {}
    with Packager(origin.publish) as packager:
        for number in range(last - count, last):
            puts[f"/{EVENT}/{rendition}/{number}.m4s"] = packager.put_segment(rendition, number, size_bytes)
    window = Window(puts, size_bytes)
    wrong = verify(origin.deliver, window, None)
    if wrong:
        raise WrongAnswerError(wrong[0])
    return window


# -- hits


def hits_row(origin: Served, size_bytes: int, arguments: argparse.Namespace) -> Row:
    """Return what RAM-tier hits of one size cost."""
    window = fill(origin, size_bytes, STORM_MIB)
    processes = origin.processes()
    before_s = {name: cpu_s(process_id) for name, process_id in processes.items()}
    with storm(origin.deliver, window.paths, arguments.connections, arguments.seconds) as readers:
        tally = readers.end()
    used_s = {name: cpu_s(process_id) - before_s[name] for name, process_id in processes.items()}
    if origin.told_metrics(READ, len(window.puts) + tally.requests).sum(READ, result="ssd"):
        raise WrongAnswerError("bodies were read from SSD, so these were no hits")
    return hits_cells(origin.workers, size_bytes, tally, used_s)


def hits_cells(workers: int, size_bytes: int, tally: Tally, used_s: dict[str, float]) -> Row:
    """Return a row; `used_s` is the processor time of each process of the origin."""
    aside_s = used_s.get(PUBLISH, 0.0) + (used_s[ORIGIN] if workers else 0.0)
    server_s = sum(used_s.values())
    gigabytes = tally.body_bytes / GB
    return {
        "workers": workers,
        "bytes": size_bytes,
        "answers/s": round(tally.requests_per_s),
        "GB/s": gigabytes / tally.seconds,
        "server CPU s": server_s,
        "of it not delivering": aside_s,
        "wrk CPU s": tally.cpu_s,
        "server CPU s/GB": server_s / gigabytes,
        "wrk CPU s/GB": tally.cpu_s / gigabytes,
        "answers per server CPU s": round(tally.requests / max(server_s, 0.01)),
    }


def hits(arguments: argparse.Namespace) -> list[Row]:
    """Return a row for each number of workers and each size."""
    rows: list[Row] = []
    for workers in arguments.workers:
        with running(workers, arguments.sizes) as origin:
            rows += [hits_row(origin, size_bytes, arguments) for size_bytes in arguments.sizes]
    return rows


# -- puts


def publish_live(packager: Packager, seconds: float) -> dict[int, list[float]]:
    """Publish segments of several renditions, each at its time; returns the ms each PUT took, by size."""
    took_ms: dict[int, list[float]] = {size_bytes: [] for size_bytes in LIVE_BYTES}
    step_ms = SEGMENT_MS // len(LIVE)
    first_ms = (int(time.time() * 1000) // SEGMENT_MS + 1) * SEGMENT_MS
    for turn in range(max(int(seconds * 1000) // step_ms, len(LIVE_BYTES))):
        round_index, place = divmod(turn, len(LIVE))
        number = first_ms // SEGMENT_MS + round_index - 1
        size_bytes = LIVE_BYTES[place % len(LIVE_BYTES)]
        body = media.media_segment(number, SEGMENT_MS, size_bytes)
        time.sleep(max((first_ms + turn * step_ms + PACKAGER_DELAY_MS) / 1000 - time.time(), 0))
        took_ms[size_bytes].append(packager.put(f"{LIVE[place]}/{number}.m4s", body).took_ms)
    return took_ms


def puts_rows(workers: int, arguments: argparse.Namespace) -> list[Row]:
    """Return the time of uploads, alone and beside storms."""
    cores = Cores.available()
    rows: list[Row] = []
    with running(workers, arguments.sizes) as origin, Packager(origin.publish) as packager:
        windows = {size_bytes: fill(origin, size_bytes, STORM_MIB // 2) for size_bytes in arguments.sizes}
        processes = origin.processes()
        deliver = [process_id for name, process_id in processes.items() if name.startswith("deliver")]
        deliver = deliver or [processes[ORIGIN]]
        pin_roles(processes, cores.clients if workers else cores.server, cores.server)
        publish_live(packager, 2 * SEGMENT_MS / 1000)  # warm up
        quiet = publish_live(packager, arguments.seconds)
        rows += [put_cells(workers, "none", size, took_ms, quiet) for size, took_ms in quiet.items()]
        beside = {"deliver": cores.server, "publish": cores.clients} if workers else {"packager": cores.clients}
        for size_bytes, (where, core) in product(arguments.sizes, beside.items()):
            window, prefix = windows[size_bytes], prefix_for(core)
            seconds = arguments.seconds + 2 * RISE_S
            begin_s, begun_s = sum(map(cpu_s, deliver)), time.monotonic()
            with storm(origin.deliver, window.paths, arguments.connections, seconds, prefix) as readers:
                time.sleep(RISE_S)
                loud = publish_live(packager, arguments.seconds)
                tally = readers.end()
            busy = (sum(map(cpu_s, deliver)) - begin_s) / (time.monotonic() - begun_s)
            name = f"{size_bytes} bytes, {tally.requests_per_s:.0f}/s, wrk beside {where}, deliver {busy:.0%} busy"
            rows += [put_cells(workers, name, size, took_ms, quiet) for size, took_ms in loud.items()]
    return rows


def prefix_for(core: int | None) -> list[str]:
    """Return the command before that of readers who stand back on a processor."""
    return ["nice", "-n", "19"] if core is None else ["taskset", "--cpu-list", str(core), "nice", "-n", "19"]


def put_cells(workers: int, name: str, size: int, took_ms: list[float], quiet: dict[int, list[float]]) -> Row:
    """Return a row for uploads of one size."""
    return {
        "workers": workers,
        "storm": name,
        "PUT bytes": size,
        "uploads": len(took_ms),
        **spread(took_ms),
        "p99 to quiet": quantile(took_ms, 0.99) / quantile(quiet[size], 0.99),
    }


def puts(arguments: argparse.Namespace) -> list[Row]:
    """Return rows for each number of workers."""
    return [row for workers in arguments.workers for row in puts_rows(workers, arguments)]


# -- memory


def memory(arguments: argparse.Namespace) -> list[Row]:
    """Return a row for each number of workers: what all processes take, before bodies were there and with them."""
    rows: list[Row] = []
    size_bytes = max(arguments.sizes)
    for workers in arguments.workers:
        with running(workers, [size_bytes], ram_mib=arguments.mib + arguments.mib // 4) as origin:
            processes = origin.processes()
            empty_bytes = sum(map(pss_bytes, processes.values()))
            window = fill(origin, size_bytes, arguments.mib)
            deliver = [process_id for name, process_id in processes.items() if name.startswith("deliver")]
            looked_bytes = look_at_all(origin, window, deliver, arguments)
            full = {name: pss_bytes(process_id) for name, process_id in processes.items()}
        rows.append(
            {
                "workers": workers,
                "bodies MiB": len(window.puts) * size_bytes / MIB,
                "each worker has sent MiB": "-" if looked_bytes is None else round(looked_bytes / MIB),
                "PSS empty MiB": empty_bytes / MIB,
                "PSS full MiB": sum(full.values()) / MIB,
                "added to bodies": (sum(full.values()) - empty_bytes) / (len(window.puts) * size_bytes),
                "PSS by process MiB": ", ".join(f"{name} {part / MIB:.0f}" for name, part in sorted(full.items())),
            }
        )
    return rows


def look_at_all(origin: Served, window: Window, deliver: list[int], arguments: argparse.Namespace) -> int | None:
    """Read until every process that delivers has sent every body; returns how much the laziest has.

    Raises:
        WrongAnswerError: One of them never did.
    """
    total_bytes = len(window.puts) * window.size_bytes
    least_bytes: int | None = 0
    for _ in range(10):
        with storm(origin.deliver, window.paths, arguments.connections, arguments.seconds) as readers:
            readers.end()
        least_bytes = min(map(shared_bytes, deliver), default=None)
        if least_bytes is None or least_bytes >= total_bytes:
            return least_bytes
    raise WrongAnswerError(f"a deliver process has sent {least_bytes} of {total_bytes} bytes")


FIGURES: Final = {"hits": hits, "puts": puts, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description="What deliver processes of their own bring and cost.")
    parser.add_argument("--figures", default=",".join(FIGURES), help="which ones, comma-separated")
    parser.add_argument("--workers", type=counts, default=[0, 1, 2], help="numbers of deliver processes")
    parser.add_argument("--seconds", type=float, default=8, help="for each measurement")
    parser.add_argument("--sizes", type=counts, default=[100_000, 1_000_000], help="of bodies that are read")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--mib", type=int, default=256, help="of bodies in memory, where memory is measured")
    arguments = parser.parse_args()
    for name in arguments.figures.split(","):
        report(name, FIGURES[name](arguments), [])


if __name__ == "__main__":
    main()
