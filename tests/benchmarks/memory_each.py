"""What one connection, one held request and one candidate take in memory: each as the slope between two counts.

    python -m tests.benchmarks.memory_each [--connections 500,4500] [--slow 20,100] [--candidates 9600,110400]

The origin is a process of its own, and a fresh one for each kind: what ended connections have left behind would be
used again, and count as nothing. Private bytes of the process (`Private_*` of smaps_rollup) are compared at the two
counts, so what is there once cancels out. What waits in the buffers of sockets is memory of the kernel and is told
apart, of the origin's end only. Not measured are the kernel's structures: about 3.7 KB for each connection.

Ends with status 1 if a bound is broken.
"""

import argparse
import ctypes
import http.client
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from loadtests import media
from storage.bodies import FileBodies
from tests.benchmarks import recovery
from tests.benchmarks.figures import Row, report
from tests.benchmarks.held_release import counts
from tests.benchmarks.packager import Packager
from tests.benchmarks.processes import PUBLISH, private_bytes
from tests.benchmarks.served import EVENT, PATIENCE_S, SEGMENT_MS, Config, Served, WrongAnswerError, served
from tests.benchmarks.socket_buffers import buffers_bytes

KIB: Final = 1024
MIB: Final = 1024 * KIB
DELIVER: Final = "deliver"

# Nothing is cut, refused or given up while it is measured.
LIMITS: Final = {
    "connections": 100_000,
    "connections_per_address": 100_000,
    "holds": 100_000,
    "holds_per_event": 100_000,
    "holds_per_segment": 100_000,
    "hold": "2m",
    "head": "10m",
    "keepalive": "1h",
    "send_rate": "0B",
    "unsent": "16TiB",
}
# How many segments are newer than those that held requests ask for: they are due, and nobody publishes them.
MISSING_AGES: Final = range(20, 120)
PATIENT: Final = {"retry_deadline": "10m"}
# More than the kernel takes for one connection.
LARGE_BYTES: Final = 8 * MIB
_THP_DISABLE: Final = 41  # PR_SET_THP_DISABLE of prctl(2)


class Kind(NamedTuple):
    """What is measured, and the bytes that each may take in the process.

    Bounds are 1.5 to 2 times what is measured (2026-11-23, Python 3.11, aiohttp 3.14, uvloop 0.23): other versions
    differ by a quarter. What they are there to find is a task, a buffer or a copy of a body that each has come to hold.
    """

    name: str
    bytes_max: int


IDLE: Final = Kind("connection, idle after an answer", 14 * KIB)
SILENT: Final = Kind("connection that never sent a byte", 10 * KIB)
HELD: Final = Kind("request held, without its connection", 3 * KIB)
HELD_WITH: Final = Kind("request held, with its connection", IDLE.bytes_max + HELD.bytes_max)
BESIDE: Final = Kind("request held in aiohttp's lane, without its connection", 11 * KIB)
SLOW: Final = Kind("connection that does not read its 8 MiB", 12 * KIB)
CANDIDATES: Final = {
    PUBLISH: Kind("candidate, publish process", 1_100),
    DELIVER: Kind("candidate, deliver process", 1_000),
}


class Sizes(NamedTuple):
    """What an origin takes at one moment, in bytes: the process, and the buffers of its sockets."""

    private: int
    kernel: int | None = None


class Slope(NamedTuple):
    """What is taken at two counts of a thing."""

    first: int
    last: int
    before: Sizes
    after: Sizes

    @property
    def each_bytes(self) -> float:
        """Return what each of those between the counts has added to the process."""
        return (self.after.private - self.before.private) / (self.last - self.first)

    @property
    def kernel_each_bytes(self) -> float | None:
        """Return the same of the buffers of sockets; None where the kernel does not tell."""
        if self.before.kernel is None or self.after.kernel is None:
            return None
        return (self.after.kernel - self.before.kernel) / (self.last - self.first)


class Crowd:
    """Connections to the deliver listener of one origin. Each step takes those from `first` to before `last`."""

    def __init__(self, origin: Served) -> None:
        self._origin = origin
        self._sockets: list[socket.socket] = []
        newest_number = int(time.time() * 1000) // SEGMENT_MS
        self._missing = [newest_number - age for age in MISSING_AGES]
        self.large_number = newest_number - MISSING_AGES.stop

    def connect(self, first: int, last: int) -> None:
        """Connect, and wait until the origin has taken the connections."""
        for _ in range(first, last):
            self._sockets.append(socket.create_connection(self._origin.deliver, timeout=PATIENCE_S))
        self._wait_for("origin_connections", last)

    def ask_once(self, first: int, last: int) -> None:
        """Connect, and have one request answered on each."""
        self.connect(first, last)
        for connection in self._sockets[first:last]:
            send(connection, f"/{EVENT}/v0/init.mp4")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            if answer.status != 200 or answer.read() != media.init_segment():
                raise WrongAnswerError(f"the init segment: status {answer.status}, or other bytes")
            answer.close()

    def ask_and_not_read(self, first: int, last: int) -> None:
        """Connect, ask for the large segment on each, and read nothing."""
        self.connect(first, last)
        for connection in self._sockets[first:last]:
            send(connection, f"/{EVENT}/v0/{self.large_number}.m4s")
        self._wait_for("origin_deliver_requests_total", last)

    def hold(self, first: int, last: int) -> None:
        """Have a request held on each, by the fast lane."""
        self._hold(first, last, ".")

    def hold_beside(self, first: int, last: int) -> None:
        """Have a request held on each, by a handler of aiohttp: its path is not plain."""
        self._hold(first, last, "%2E")

    def close(self) -> None:
        """Close all of them."""
        for connection in self._sockets:
            connection.close()

    def _hold(self, first: int, last: int, dot: str) -> None:
        for place, connection in enumerate(self._sockets[first:last], first):
            send(connection, f"/{EVENT}/v0/{self._missing[place % len(self._missing)]}{dot}m4s")
        self._origin.wait_for_holds(last)

    def _wait_for(self, name: str, count: int) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while (found := self._origin.metrics().sum(name)) < count:
            if time.monotonic() > deadline_s:
                raise WrongAnswerError(f"{name}: {found:.0f}, not {count}")
            time.sleep(0.005)


Step = Callable[[int, int], None]


def send(connection: socket.socket, path: str) -> None:
    """Send a request as a cache does. An empty line stands before it (RFC 9112, 2.2): such a head is always parsed.

    Heads that `origin.heads` knows take less, and what it keeps of them would count as that of connections.
    """
    fields = "Host: origin\r\nUser-Agent: bench\r\nAccept: */*\r\nX-Forwarded-For: 192.0.2.1"
    connection.sendall(f"\r\nGET {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode())


@contextmanager
def crowd(body_bytes: int = 0) -> Iterator[tuple[Served, Crowd]]:
    """Run an origin that has an init segment, and a segment if it is given a size, and connections to it.

    What an upload has left behind is used again by connections, so there is none where it is not needed.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Config(Path(folder), limits=LIMITS, event=PATIENT)
        with served(config, core=None) as origin:
            connections = Crowd(origin)
            with Packager(origin.publish) as packager:
                packager.put_init("v0")
                if body_bytes:
                    packager.put_segment("v0", connections.large_number, body_bytes)
            try:
                yield origin, connections
            finally:
                connections.close()


def slope(origin: Served, step: Step, pair: Sequence[int]) -> Slope:
    """Take one step to each of two counts; returns what is taken at either."""
    first, last = pair
    step(0, first)
    before = sizes_of(origin)
    step(first, last)
    return Slope(first, last, before, sizes_of(origin))


def sizes_of(origin: Served) -> Sizes:
    """Return what an origin in one process takes now."""
    return Sizes(private_bytes(origin.process_id), buffers_bytes(origin.deliver[1]))


def connections_rows(pair: Sequence[int], slow_pair: Sequence[int]) -> list[Row]:
    """Return what connections take, idle and with requests on them."""
    with crowd() as (origin, connections):
        idle = slope(origin, connections.ask_once, pair)
        held = slope(origin, connections.hold, pair)
    with crowd() as (origin, connections):
        silent = slope(origin, connections.connect, pair)
        beside = slope(origin, connections.hold_beside, pair)
    with crowd(LARGE_BYTES) as (origin, connections):
        slow = slope(origin, connections.ask_and_not_read, slow_pair)
    both = Slope(
        held.first, held.last, idle.before, Sizes(idle.after.private + held.after.private - held.before.private)
    )
    kinds = {IDLE: idle, SILENT: silent, HELD: held, HELD_WITH: both, BESIDE: beside, SLOW: slow}
    return [row_of(kind, found) for kind, found in kinds.items()]


def candidates_rows(pair: Sequence[int]) -> list[Row]:
    """Return what candidates take in the process that takes uploads and in one that follows it."""
    first, last = pair
    before, after = processes_with(first), processes_with(last)
    return [row_of(kind, Slope(first, last, before[name], after[name])) for name, kind in CANDIDATES.items()]


def processes_with(candidates_count: int) -> dict[str, Sizes]:
    """Return what the processes of an origin take that has started with so many candidates, by name."""
    segments_count = candidates_count // (len(recovery.PIPELINES) * len(recovery.RENDITIONS))
    first_number = int(time.time() * 1000) // recovery.SEGMENT_MS - segments_count
    event = {
        "id": recovery.EVENT,
        "segment_duration": f"{recovery.SEGMENT_MS}ms",
        "dvr_window": "30d",
        "pipelines": [{"id": name} for name in recovery.PIPELINES],
    }
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        files = FileBodies(data / "bodies", fsync=False)
        files.open()  # a folder without its mark would be taken for a disk that is not mounted
        files.close()
        recovery.write_journal(data / "journal", candidates_count, data / "bodies", first_number)
        with served(Config(Path(folder), recovery.RENDITIONS, event=event, workers=1), core=None) as origin:
            processes = origin.processes()
            return {name.partition("-")[0]: Sizes(private_bytes(each)) for name, each in processes.items()}


def row_of(kind: Kind, found: Slope) -> Row:
    """Return a row; a bound is broken where `bytes each` is more than `bound`."""
    return {
        "what": kind.name,
        "counts": f"{found.first} and {found.last}",
        "bytes each": round(found.each_bytes),
        "bound": kind.bytes_max,
        "in the kernel's buffers": None if found.kernel_each_bytes is None else round(found.kernel_each_bytes),
    }


def problems_of(rows: Sequence[Row]) -> list[str]:
    """Return the bounds that are broken."""
    return [
        f"{row['what']}: {row['bytes each']} bytes, at most {row['bound']} are allowed"
        for row in rows
        if int(str(row["bytes each"])) > int(str(row["bound"]))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="What each connection, held request and candidate takes in memory.")
    parser.add_argument("--connections", type=counts, default=[500, 4_500], help="two counts")
    parser.add_argument("--slow", type=counts, default=[20, 100], help="the same of clients that do not read")
    parser.add_argument("--candidates", type=counts, default=[9_600, 110_400], help="the same; multiples of 12")
    arguments = parser.parse_args()
    # With huge pages memory grows by 2 MiB at a time. What is started from here inherits it.
    ctypes.CDLL(None).prctl(_THP_DISABLE, 1, 0, 0, 0)
    rows = connections_rows(arguments.connections, arguments.slow) + candidates_rows(arguments.candidates)
    report("memory", rows, problems_of(rows))


if __name__ == "__main__":
    main()
