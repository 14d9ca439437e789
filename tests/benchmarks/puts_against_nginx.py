"""PUT beside nginx: CMAF segments to this origin and to the dav module of Debian's nginx, in turns.

    python -m tests.benchmarks.puts_against_nginx [--sizes 65536,1048576] [--mib 256] [--rounds 5] [--connections 16]

The origin does all that it does by default: inspection, SHA-256, the record in the journal, `acknowledge: disk`,
which is what nginx does, too: a file in the page cache under its final name, renamed within one file system. Every
segment is another one, of many renditions, well within the window; the bytes and their number are the same for both.
The process that publishes and nginx's one worker have the first processor to themselves; the generator the second,
with the origin's deliver process, which follows what is published. Every answer must be a 201; the origin's must name
the SHA-256 of what was sent. Before each turn the disk gets what is left of the one before (sync), and the memory that
the turn takes is fetched from the host of a virtual machine (see `fetch_memory`). All files stay until the end: for a
minute after many were removed, ext4 without a journal looks among those for the place of each new one
(`recently_deleted`), which was a sixth of all time (2026-11-23).

See `against_nginx` for what the columns mean. `deliver` is what the process that delivers used on the other processor
to follow, for each PUT.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Final

from tests.benchmarks.client import Address
from tests.benchmarks.figures import Row, report
from tests.benchmarks.held_release import counts
from tests.benchmarks.nginx import DAV, nginx, version
from tests.benchmarks.packager import Packager
from tests.benchmarks.processes import PUBLISH, Usage, pin_roles, stand_aside
from tests.benchmarks.served import EVENT, SEGMENT_MS, Config, Cores, WrongAnswerError, served
from tests.benchmarks.turns import Turn, take_turns
from tests.benchmarks.uploader import Answer, Batch, Segments, Uploader, uploader

MIB: Final = 2**20
MS: Final = 1_000
# Together with the DVR window, room for more segments than any run sends.
RENDITIONS: Final = tuple(f"v{index}" for index in range(24))
DVR_WINDOW: Final = "4h"
# How old the first segment is: half of the window.
PAST_MS: Final = 2 * 3_600_000
CREATED: Final = 201
LIMITS: Final = {"segment_bytes": "8MiB"}
# The first turns, which count for nothing, have this part of the others.
WARM_UP: Final = 4
# Memory for the page cache, for the RAM tier, and some more.
MEMORY_TIMES: Final = 3


def segment_names() -> Iterator[tuple[str, int]]:
    """Yield renditions and numbers in the order in which packagers make them."""
    first = (int(time.time() * 1_000) - PAST_MS) // SEGMENT_MS
    return ((rendition, number) for number in count(first) for rendition in RENDITIONS)


def fetch_memory(folder: Path, size_bytes: int) -> None:
    """Write a file of that size and remove it.

    A virtual machine has to ask its host for memory that it has not used lately: writing files of 1 MB then took 2.4 ms
    each, and 0.3 ms in memory that another file had just left (2026-11-23). That is no server's doing.
    """
    path = folder / "scratch"
    with path.open("wb", buffering=0) as file:
        for _ in range(size_bytes // MIB):
            file.write(bytes(MIB))
    path.unlink()


@dataclass
class Side:
    """One server and what it is still to be sent.

    Args:
        folder: On the file system that both write to.
        prefix: What its paths begin with.
        process_id: The process that takes uploads.
        follower_id: One on the generator's processor that follows; nginx has none.
        follower_ms: What that has used for each PUT, turn by turn.
    """

    folder: Path
    address: Address
    prefix: str
    process_id: int
    follower_id: int | None = None
    follower_ms: list[float] = field(default_factory=list)
    names: Iterator[tuple[str, int]] = field(default_factory=segment_names)

    def turn(self, uploads: Uploader, segments: Segments, puts: int, connections: int) -> Turn:
        """Upload the next segments and look at the answers.

        Raises:
            WrongAnswerError: One of them was not taken, or is called by another name than its bytes have.
        """
        names = list(islice(self.names, puts))
        size_bytes = len(segments.head(0) + segments.rest)
        heads = [self._request(name, size_bytes) + segments.head(name[1]) for name in names]
        tags = {number: segments.tag(number) for _, number in names} if self.follower_id else {}
        os.sync()
        fetch_memory(self.folder, MEMORY_TIMES * puts * size_bytes)
        used = Usage([process_id for process_id in (self.process_id, self.follower_id) if process_id])
        done = uploads.upload(Batch(self.address, heads, segments.rest, connections))
        follower_s = used.of(self.follower_id) if self.follower_id else 0.0
        used_s, others_s = used.of(self.process_id), used.others_s(done.cpu_s)
        self.follower_ms.append(follower_s * MS / puts)
        for name, text in zip(names, done.answers, strict=True):
            answer, wanted = Answer.parse(text), Answer(CREATED, tags.get(name[1], ""))
            if answer != wanted:
                raise WrongAnswerError(f"{self.prefix}/{name[0]}/{name[1]}: {answer}, not {wanted}; {text[-500:]!r}")
        return Turn(puts, puts / MS, done.seconds, used_s, done.cpu_s + follower_s, others_s)

    def _request(self, name: tuple[str, int], size_bytes: int) -> bytes:
        line = f"PUT {self.prefix}/{name[0]}/{name[1]}.m4s HTTP/1.1"
        return f"{line}\r\nHost: origin\r\nContent-Length: {size_bytes}\r\n\r\n".encode()


@contextmanager
def sides(folder: Path, cores: Cores) -> Iterator[tuple[Side, Side]]:
    """Start origin and nginx, each where it belongs, their files in a folder."""
    with ExitStack() as stack:
        config = Config(folder, RENDITIONS, LIMITS, event={"dvr_window": DVR_WINDOW}, workers=1, log={})
        origin = stack.enter_context(served(config, cores.server))
        processes = origin.processes()
        pin_roles(processes, cores.server, cores.clients)
        with Packager(origin.publish) as packager:
            for rendition in RENDITIONS:
                packager.put_init(rendition)
        other = stack.enter_context(nginx(folder / "nginx", cores.server))
        yield (
            Side(folder, origin.publish, f"/{EVENT}/a", processes[PUBLISH], processes["deliver-0"]),
            Side(folder, other.address, DAV, other.worker_id),
        )


def row(size_bytes: int, arguments: argparse.Namespace, cores: Cores, folder: Path) -> Row:
    """Return the figures of one size, of fresh servers."""
    puts = max(arguments.mib * MIB // size_bytes, 1)
    segments = Segments(size_bytes)
    with uploader(cores.clients) as uploads, sides(folder, cores) as (ours, theirs):
        for side in (ours, theirs):
            side.turn(uploads, segments, max(puts // WARM_UP, 1), arguments.connections)
        ours.follower_ms.clear()
        outcome = take_turns(
            arguments.rounds,
            lambda: ours.turn(uploads, segments, puts, arguments.connections),
            lambda: theirs.turn(uploads, segments, puts, arguments.connections),
        )
    followed = {"deliver CPU ms/PUT": statistics.median(ours.follower_ms)}
    return {"bytes": f"{size_bytes:,}", "PUTs a turn": puts} | outcome.cells("PUTs", "CPU ms/PUT") | followed


def main() -> None:
    parser = argparse.ArgumentParser(description="PUT beside nginx.")
    parser.add_argument("--sizes", type=counts, default=[65_536, 1_048_576])
    parser.add_argument("--mib", type=int, default=256, help="of bodies in each turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    cores = Cores.available()
    stand_aside(cores.clients)
    with tempfile.TemporaryDirectory() as base:
        folders = [Path(base, str(size_bytes)) for size_bytes in arguments.sizes]
        for folder in folders:
            folder.mkdir()
        sizes = zip(arguments.sizes, folders, strict=True)
        rows = [row(size_bytes, arguments, cores, folder) for size_bytes, folder in sizes]
    turns = f"{arguments.rounds} rounds of {arguments.mib} MiB"
    report(f"PUT, {arguments.connections} connections, {turns}, {version()}", rows, [])


if __name__ == "__main__":
    main()
