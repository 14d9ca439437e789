"""Kills an origin again and again under load, and judges after every restart whether it kept its promises.

    python -m tests.faults.crashes [--rounds 50] [--seed N] [--acknowledge disk|fsync]

The origin is a process of its own that is ended by SIGKILL at a random moment. After each restart everything that was
touched since the one before is compared with what packagers and readers were told, and a sample of all the rest; the
files on disk are all compared. Prints what was counted, and exits with 1 when a promise was not kept.
"""

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

import aiohttp
import yaml

from tests.faults.crash_load import EVENT_ID, PIPELINES, RENDITIONS, SEGMENT_MS, Load
from tests.faults.ledger import Ledger, Target, Told
from tests.integration.process import ServerProcess, server_process
from tests.support.origins import PATIENT

ROUNDS: Final = 50
# After how many acknowledged uploads a crash comes: any number up to this.
UPLOADS_MAX: Final = 300
SAMPLE: Final = 100
ASKING_AT_ONCE: Final = 16
# What the origin does by itself after a start has until then: decide what a crash left open, clear away what it tore.
SETTLE_S: Final = 5
LATE_S: Final = 20
NUMBERS: Final = 15_000


class Crashes:
    """One folder, one ledger, many lives of an origin.

    Args:
        folder: For configuration, journal and bodies.
        seed: Equal seeds make equal plans; when the kill comes among them, the machine decides.
    """

    def __init__(self, folder: Path, seed: int, acknowledge: str = "disk") -> None:
        self.ledger = Ledger()
        self.config = folder / "config.yaml"
        self.data = folder / "data"
        self._luck = random.Random(seed)
        newest = time.time_ns() // 1_000_000 // SEGMENT_MS - LATE_S * 1000 // SEGMENT_MS
        self._numbers = list(range(newest - NUMBERS, newest))
        self._touched: set[Target] = set()
        self.config.write_text(yaml.safe_dump(configuration(self.data, acknowledge)))

    async def round(self, uploads_max: int) -> None:
        """Start, judge what the last crash left, load, kill."""
        async with server_process(self.config) as server:
            await self._judge(server)

            async def kill() -> None:
                server.send(SIGKILL)
                assert await server.wait() == -SIGKILL

            load = Load(self.ledger, self._luck, self._numbers)
            await load.run(server.publish, server.deliver, kill, self._luck.randint(1, uploads_max))
            self._touched = load.touched
        self.ledger.counts["crashes"] += 1

    async def judge_all(self) -> None:
        """Start once more, and judge everything there is."""
        self._touched = set(self.ledger.targets)
        async with server_process(self.config) as server:
            await self._judge(server)

    async def _judge(self, server: ServerProcess) -> None:
        self._read_log(server)
        others = sorted(set(self.ledger.targets) - self._touched)
        targets = sorted(self._touched) + self._luck.sample(others, min(SAMPLE, len(others)))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=ASKING_AT_ONCE)) as session:
            await asyncio.gather(*(self._judge_target(session, server, target) for target in targets))
        await self._judge_files()

    async def _judge_target(self, session: aiohttp.ClientSession, server: ServerProcess, target: Target) -> None:
        chosen: Told | None = None
        if not target.is_manifest:
            explanation = await _explain(session, server.admin, target)
            self.ledger.judge(target, explanation)
            if not explanation["candidates"]:
                return
            if explanation["choice"] is not None:
                chosen = Told(explanation["choice"]["pipeline"], explanation["choice"]["etag"])
        elif not any(self.ledger.kept(target, pipeline) for pipeline in PIPELINES):
            return
        async with session.get(f"{server.deliver}/{EVENT_ID}/{target.path}") as response:
            told = Told(response.headers.get("Live-Origin-Pipeline", ""), response.headers.get("ETag"))
            self.ledger.judge_delivery(target, response.status, told, await response.read())
        if chosen is not None and response.status == 200 and told != chosen:
            self.ledger.breach(f"{target.path}: {told} is delivered, {chosen} is explained")

    async def _judge_files(self) -> None:
        """Compare the files with the records; the origin may clear away what a crash left after it has started."""
        give_up_s = time.monotonic() + SETTLE_S
        while wrong := list(self.ledger.leftovers(await asyncio.to_thread(file_names, self.data))):
            if time.monotonic() > give_up_s or set(wrong) <= set(self.ledger.breaches):
                break
            await asyncio.sleep(0.05)
        self.ledger.counts["files checked"] += len(file_names(self.data))
        for sentence in wrong:
            self.ledger.breach(sentence)

    def _read_log(self, server: ServerProcess) -> None:
        """Count what the origin says of its recovery, and what it should never have to say."""
        for line in map(json.loads, server.lines):
            if line["message"] == "recovered":
                self.ledger.counts["torn records"] += bool(line.get("torn_bytes"))
                self.ledger.counts["unfinished bodies"] += line.get("unfinished_bodies", 0)
                for what in ("damaged", "missing"):
                    if line.get(what):
                        self.ledger.breach(f"{line[what]} records are {what} after a crash")


def configuration(data: Path, acknowledge: str) -> dict[str, Any]:
    """Return a configuration in which thousands of numbers may be published, with any bytes as media."""
    return {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(data), "ram": "64MiB", "ssd": "64GiB", "acknowledge": acknowledge},
        "workers": 0,
        "limits": PATIENT | {"manifest_bytes": "8MiB"},
        "log": {"requests": False},
        "events": [
            {
                "id": EVENT_ID,
                "segment_duration": f"{SEGMENT_MS}ms",
                "dvr_window": "2h",
                "inspection": {"checks": "none"},
                "selection": {"prefer_wait": "20ms"},
                "renditions": [{"id": each, "kind": "video", "bandwidth": 3_000_000} for each in RENDITIONS],
                "pipelines": [{"id": each} for each in PIPELINES],
            }
        ],
    }


async def _explain(session: aiohttp.ClientSession, admin: str, target: Target) -> dict[str, Any]:
    """Return what the origin says of a target, once it has decided; what a crash left open takes a moment."""
    give_up_s = time.monotonic() + SETTLE_S
    url = f"{admin}/api/v1/events/{EVENT_ID}/segments/{target.rendition}/{target.name}"
    while True:
        async with session.get(url, raise_for_status=True) as response:
            explanation: dict[str, Any] = await response.json()
        if explanation["choice"] or not explanation["candidates"] or time.monotonic() > give_up_s:
            return explanation


def file_names(data: Path) -> set[str]:
    """Return the names of all files of bodies."""
    return {path.name for path in (data / "bodies").rglob("*") if path.is_file()}


SUMMARY: Final = (
    *("crashes", "uploads", "uploads kept", "answered stored", "answered replaced", "answered renewed"),
    *("answered unchanged", "upgrades told", "uploads refused", "uploads cut", "uploads lost"),
    *("recorded, answer lost", "torn records", "unfinished bodies", "choices told"),
    *("copies checked", "choices checked", "deliveries checked", "files checked"),
)


def summary(ledger: Ledger) -> Iterable[str]:
    """Yield the lines of the summary."""
    for name in SUMMARY:
        yield f"{name:<24}{ledger.counts[name]:>10,}"
    yield f"{'promises not kept':<24}{len(ledger.breaches):>10,}"
    yield from (f"  {sentence}" for sentence in ledger.breaches[:20])


async def crash_again_and_again(
    folder: Path, rounds: int, uploads_max: int, seed: int, acknowledge: str = "disk"
) -> Ledger:
    """Crash that often; judge everything at the end."""
    crashes = Crashes(folder, seed, acknowledge)
    for _ in range(rounds):
        await crashes.round(uploads_max)
    await crashes.judge_all()
    return crashes.ledger


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill an origin under load, again and again.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--acknowledge", choices=("disk", "fsync"), default="disk")
    parsed = parser.parse_args()
    begin_s = time.monotonic()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # a client that is cut off within a body complains
    sys.stdout.write(f"{parsed.rounds} rounds, acknowledge: {parsed.acknowledge}, seed {parsed.seed}\n")
    with tempfile.TemporaryDirectory(prefix="origin-crashes-") as folder:
        plan = (Path(folder), parsed.rounds, UPLOADS_MAX, parsed.seed, parsed.acknowledge)
        ledger = asyncio.run(crash_again_and_again(*plan))
    sys.stdout.write("\n".join([*summary(ledger), f"{'seconds':<24}{time.monotonic() - begin_s:>10.0f}", ""]))
    return 1 if ledger.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
