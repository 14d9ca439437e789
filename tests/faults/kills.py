"""Kills the processes of an origin one after the other under live load, and judges what its clients saw.

    python -m tests.faults.kills [--kills 20] [--seed N]

The publish process and each deliver process that often, and some times both kinds at once, in random order and at
random moments, but none before it has lived as long as tells a crash from a crash loop. Readers repeat a request once
if its connection broke; no live segment may be missing. Prints how long each process was away, and exits with 1 when a
promise was not kept.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from origin.backoff import Waits
from tests.benchmarks.figures import report, spread
from tests.faults.live_load import Broken, LiveLoad, Tally, Wires, event_document, judge_explanations
from tests.integration.process import ServerProcess, server_process
from tests.support.origins import PATIENT

KILLS: Final = 20
WORKERS: Final = 2
PUBLISH: Final = "publish"
DELIVER: Final = tuple(f"deliver-{slot}" for slot in range(WORKERS))
EACH: Final = ((PUBLISH,), *((name,) for name in DELIVER))
BOTH: Final = (PUBLISH, DELIVER[0])
# In one of so many rounds both are killed at once, too.
ROUNDS_OF_BOTH: Final = 3
# Between a recovery and the next kill; longer than a segment, so that every moment of one is met.
PAUSE_S_MAX: Final = 0.8
# Between two kills: longer than any live request takes, as one that two kills break in a row needs two repetitions.
SPACED_S: Final = 1.0
# Readers ask this long before the end of the media, so that there is somebody held at most moments.
EARLY_MS: Final = 240
LIVED_S: Final = Waits().healthy_ms / 1000
SCRAPE_S: Final = 0.3
SETTLE_S: Final = 10.0
LOOK_S: Final = 0.05
RECOVERY_MS_MAX: Final = 1_000
RAM_BYTES: Final = 16 * 1024**2
# What open files and mappings of shared memory are called.
SHARED: Final = "/memfd"
COUNTING: Final = ("counter", "histogram")


class Scraper:
    """Reads `/metrics` all the time; no counter of one publish process may go back."""

    def __init__(self, server: ServerProcess, tally: Tally) -> None:
        self._server = server
        self._tally = tally
        self._wires = Wires(server.admin)
        self._last: dict[tuple[str, str], float] = {}
        self._life = 0

    async def run(self) -> None:
        while True:
            await self._scrape()
            await asyncio.sleep(SCRAPE_S)

    def close(self) -> None:
        self._wires.close()

    async def _scrape(self) -> None:
        life = self._lives_count
        try:
            page = await self._wires.ask(b"GET /metrics HTTP/1.1\r\nHost: origin\r\n\r\n")
        except Broken:  # the publish process has been killed
            return
        if self._lives_count != life or page.status != 200:
            return
        if life != self._life:  # another publish process counts anew
            self._last, self._life = {}, life
        counts = dict(counters(page.body.decode()))
        self._tally.counts["counters compared"] += len(self._last)
        for name, value in self._last.items():
            if counts.get(name, -1.0) < value:
                self._tally.problems.append(f"/metrics: {name} was {value}, is {counts.get(name)}")
        self._last = counts
        self._tally.counts["pages of metrics"] += 1

    @property
    def _lives_count(self) -> int:
        return len(self._server.said("process started", child=PUBLISH))


def counters(page: str) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield name, labels and value of everything on a page of metrics that only grows."""
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if family.type in COUNTING and not sample.name.endswith("_created"):
                yield (sample.name, str(sorted(sample.labels.items()))), sample.value


@dataclass
class Kills:
    """A plan, and what came of it.

    Args:
        kills: How often each of `EACH` is killed.
        lived_s: How long a process must have been ready.
        away_ms: By what was killed, how long its duty did not work.
    """

    kills: int
    seed: int
    lived_s: float = LIVED_S
    tally: Tally = field(default_factory=Tally)
    away_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def run(self, folder: Path) -> None:
        """Start an origin, kill its processes under load, and judge."""
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(configuration(folder / "data")))
        async with server_process(config) as server:
            await server.until("all processes ready")
            before = await self._settled(server)
            scraper, load = Scraper(server, self.tally), LiveLoad(server, self.tally, early_ms=EARLY_MS)
            async with load.running():
                await load.goes.wait()
                scraping = asyncio.create_task(scraper.run())
                await self._kill_all(server, load)
                scraping.cancel()
            scraper.close()
            self.tally.judge_choices()
            await judge_explanations(server, self.tally)
            await self._judge_what_is_left(server, before)
            server.send(SIGTERM)
            if status := await server.wait():
                self.tally.problems.append(f"the origin ended with {status}")
            self._judge_log(server)

    async def _kill_all(self, server: ServerProcess, load: LiveLoad) -> None:
        luck, ready_s = random.Random(self.seed), dict.fromkeys(BOTH + DELIVER, time.monotonic())
        for names in self.plan(luck):
            healthy_s = max(ready_s[name] for name in names) + self.lived_s
            await asyncio.sleep(max(healthy_s - time.monotonic(), SPACED_S) + luck.random() * PAUSE_S_MAX)
            ready = {name: len(server.said("process ready", child=name)) for name in names}
            begun_s = time.monotonic()
            for name in names:
                os.kill(pid_of(server, name), SIGKILL)
            if PUBLISH in names:
                answer = await load.put(*max(self.tally.published, key=lambda each: each[1]), "a", is_new=True)
                if answer.status not in (200, 201):
                    self.tally.problems.append(f"PUT after a kill: {answer.status} {answer.body!r}")
            for name in names:
                if name != PUBLISH:
                    await server.until("process ready", ready[name] + 1, child=name)
            self.away_ms[" and ".join(names)].append((time.monotonic() - begun_s) * 1000)
            for name in names:
                await server.until("process ready", ready[name] + 1, child=name)
                ready_s[name] = time.monotonic()

    def plan(self, luck: random.Random) -> list[tuple[str, ...]]:
        """Return who is killed, kill by kill."""
        rounds = [[*EACH, BOTH] if number % ROUNDS_OF_BOTH == 0 else [*EACH] for number in range(self.kills)]
        return [names for each in rounds for names in luck.sample(each, len(each))]

    async def _settled(self, server: ServerProcess) -> dict[str, Counter[str]]:
        """Return the open files of all processes, once they stay the same for a while."""
        before, give_up_s = files_of_all(server), time.monotonic() + SETTLE_S
        calm = 0
        while calm < 10 and time.monotonic() < give_up_s:
            await asyncio.sleep(LOOK_S)
            now = files_of_all(server)
            calm = calm + 1 if now == before else 0
            before = now
        return before

    async def _judge_what_is_left(self, server: ServerProcess, before: dict[str, Counter[str]]) -> None:
        after, give_up_s = await self._settled(server), time.monotonic() + SETTLE_S
        while after != before and time.monotonic() < give_up_s:
            await asyncio.sleep(LOOK_S)
            after = files_of_all(server)
        for name, files in before.items():
            if after[name] != files:
                self.tally.problems.append(f"{name} had open {dict(files)}, has {dict(after[name])}")
        states = offspring(server.pid)
        if states.keys() != {pid_of(server, name) for name in (PUBLISH, *DELIVER)} or "Z" in states.values():
            self.tally.problems.append(f"the supervisor's children are {states}")
        for name in (PUBLISH, *DELIVER):
            pid = pid_of(server, name)
            sizes = mapped_bytes(pid)
            # Python keeps a descriptor for each mapping.
            if (count := sum(kind == SHARED for kind in kinds_of_files(pid))) > 2 * len(sizes):
                self.tally.problems.append(f"{name} has {count} files of shared memory open for {len(sizes)} mappings")
            # Deliver processes keep arenas of a publish process that is gone, for as long as there is room.
            if sum(sizes) > RAM_BYTES + max(sizes, default=0):
                self.tally.problems.append(f"{name} has mapped {sizes} bytes of shared memory")
            self.tally.counts[f"arenas mapped by {name} at the end"] = len(sizes)

    def _judge_log(self, server: ServerProcess) -> None:
        died = len(server.said("process died"))
        wanted = sum(len(names) for names in self.plan(random.Random()))
        if died != wanted or len(server.said("process died", signal="SIGKILL")) != wanted:
            self.tally.problems.append(f"{died} processes died, {wanted} were killed")
        for message in ("damaged", "missing", "lost_bodies"):
            if found := sum(int(line[message]) for line in server.said("recovered")):
                self.tally.problems.append(f"{found} {message} after a kill")
        self.tally.counts["processes killed"] = died


def configuration(data: Path) -> dict[str, Any]:
    """Return an origin with two deliver processes."""
    return {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(data), "ram": RAM_BYTES, "ssd": "4GiB"},
        "workers": WORKERS,
        "limits": PATIENT | {"segment_bytes": "1MiB"},
        "log": {"requests": False},
        "events": [event_document()],
    }


def pid_of(server: ServerProcess, name: str) -> int:
    """Return the process that serves a slot."""
    return int(server.said("process started", child=name)[-1]["pid"])


def files_of_all(server: ServerProcess) -> dict[str, Counter[str]]:
    """Return how many files of each kind the processes have open; shared memory is told by `mapped_bytes`."""
    pids = {"supervisor": server.pid} | {name: pid_of(server, name) for name in (PUBLISH, *DELIVER)}
    return {name: Counter(each for each in kinds_of_files(pid) if each != SHARED) for name, pid in pids.items()}


def kinds_of_files(pid: int) -> Iterator[str]:
    """Yield what each open file of a process is."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(path)
        except FileNotFoundError:  # closed meanwhile
            continue
        kind = target.partition(":")[0]
        yield SHARED if kind == SHARED else "file" if kind.startswith("/") else kind


def mapped_bytes(pid: int) -> list[int]:
    """Return the sizes of the shared memory that a process maps."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    ranges = (line.split()[0].split("-") for line in lines if SHARED in line)
    return [int(end, 16) - int(begin, 16) for begin, end in ranges]


def offspring(pid: int) -> dict[int, str]:
    """Return the children of a process with their states; `Z` is a zombie."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(each): Path(f"/proc/{each}/stat").read_text().rpartition(") ")[2][0] for each in pids}


async def kill_again_and_again(folder: Path, kills: int, seed: int, lived_s: float = LIVED_S) -> Kills:
    """Kill everybody that often."""
    run = Kills(kills, seed, lived_s)
    await run.run(folder)
    return run


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the processes of an origin under live load.")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parsed = parser.parse_args()
    sys.stdout.write(f"{parsed.kills} kills each, seed {parsed.seed}\n")
    with tempfile.TemporaryDirectory(prefix="origin-kills-") as folder:
        run = asyncio.run(kill_again_and_again(Path(folder), parsed.kills, parsed.seed))
    tally, problems = run.tally, list(run.tally.problems)
    away_ms = [each for times in run.away_ms.values() for each in times]
    if spread(away_ms)["p99 ms"] >= RECOVERY_MS_MAX:  # type: ignore[operator]  # there are kills
        problems.append(f"the 99th percentile of recovery is over {RECOVERY_MS_MAX} ms")
    rows = [{"killed": name, "kills": len(times), **spread(times)} for name, times in sorted(run.away_ms.items())]
    report("Until its duty works again", [*rows, {"killed": "all", "kills": len(away_ms), **spread(away_ms)}], [])
    rows = [
        {"what": "live delivery after the end of the media", "count": len(tally.live_ms), **spread(tally.live_ms)},
        {"what": "PUT, from the first try", "count": len(tally.put_ms), **spread(tally.put_ms)},
    ]
    report("What clients saw", rows, [])
    report("Counts", [{"what": name, "count": count} for name, count in sorted(tally.counts.items())], problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
