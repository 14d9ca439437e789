"""Hours of an event in minutes: does anything grow that should stay as large as it is?

    python -m tests.faults.soak [--hours 4] [--speed 120]

The origin is a process of its own whose clock runs faster. Two packagers publish every segment of two renditions at
that pace, a manifest now and then, and caches ask at the live edge and throughout the DVR window. Once window and
retention have filled, memory, files, descriptors and journal must stay as they are: the medians of the last third of
the time are compared with those of the middle third. Prints the figures; exits with 1 when one has grown.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from tests.faults.accelerated import AcceleratedClock, accelerated_server
from tests.faults.ledger import etag_of
from tests.support.origins import PATIENT

EVENT_ID: Final = "derby"
PIPELINES: Final = ("a", "b")
# Renditions and the sizes of their segments in bytes: small, as it is the number of things that is to be large.
RENDITIONS: Final = {"v720": 16_000, "v360": 2_000}
PUBLISH_DELAY_MS: Final = 1_000
SEGMENTS_PER_MANIFEST: Final = 10
SAMPLES: Final = 120
PRINTED: Final = 24
MINUTE_MS: Final = 60_000
# What may come on top of a third of the time, as a share; a median of a saw-tooth moves a little.
GROWTH_MAX: Final = 0.1
DESCRIPTORS_GROWTH_MAX: Final = 8


@dataclass(frozen=True)
class Plan:
    """What is soaked. All times are those of the event."""

    event_ms: int
    speed: int
    segment_ms: int = 2_000
    dvr_window_ms: int = 30 * MINUTE_MS
    retention_ms: int = 10 * MINUTE_MS

    @property
    def segments_count(self) -> int:
        return self.event_ms // self.segment_ms

    @property
    def window_count(self) -> int:
        """How many segments the DVR window holds."""
        return self.dvr_window_ms // self.segment_ms


@dataclass(frozen=True)
class Sample:
    """What the origin's process holds at one moment."""

    minute: float
    rss_kib: int
    files: int
    descriptors: int
    journal_kib: int
    uploads: int


class Soak:
    """One origin, its packagers and its readers.

    `counts` counts uploads and answers, `wrong` holds a sentence for what was not answered as it should.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.samples: list[Sample] = []
        self.lag_ms_max = 0
        self._folder = folder
        self._published: dict[str, int] = {}
        self._news = {rendition: asyncio.Event() for rendition in RENDITIONS}
        self._luck = random.Random(1)

    async def run(self) -> None:
        """Run the event from its first segment to its last."""
        config = self._folder / "config.yaml"
        config.write_text(yaml.safe_dump(self._configuration()))
        self._clock = clock = AcceleratedClock.from_now(self.plan.speed)
        async with accelerated_server(config, clock) as (server, pid), aiohttp.ClientSession() as session:
            self._session, self._server = session, server
            self._begin_ms = clock.now_ms()
            self._first = self._begin_ms // self.plan.segment_ms
            others = [asyncio.create_task(work) for work in self._others(pid)]
            async with asyncio.TaskGroup() as group:
                for pipeline in PIPELINES:
                    for rendition, size_bytes in RENDITIONS.items():
                        group.create_task(self._publish(pipeline, rendition, size_bytes))
            for task in others:
                task.cancel()
            for result in await asyncio.gather(*others, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    def _others(self, pid: int) -> Iterator[Any]:
        yield self._sample(pid)
        for rendition in RENDITIONS:
            yield self._read_live(rendition)
            yield self._read_dvr(rendition)

    async def _publish(self, pipeline: str, rendition: str, size_bytes: int) -> None:
        luck = random.Random(f"{pipeline}{rendition}")
        for number in range(self._first, self._first + self.plan.segments_count):
            end_ms = (number + 1) * self.plan.segment_ms
            await self._clock.until_ms(end_ms)
            self.lag_ms_max = max(self.lag_ms_max, self._clock.now_ms() - end_ms)
            body = luck.randbytes(luck.randint(size_bytes // 2, size_bytes * 3 // 2))
            await self._put(f"{pipeline}/{rendition}/{number}.m4s", body)
            if number % SEGMENTS_PER_MANIFEST == 0:
                await self._put(f"{pipeline}/{rendition}/media.m3u8", b"#EXTM3U\n%d\n" % number)
            if pipeline == PIPELINES[0]:  # another one's copy may still wait for this one's
                self._published[rendition] = number
                self._news[rendition].set()

    async def _put(self, path: str, body: bytes) -> None:
        url = f"{self._server.publish}/{EVENT_ID}/{path}"
        async with self._session.put(url, data=body) as response:
            self.counts["uploads"] += 1
            if response.status == 410 and self._has_expired(path):
                self.counts["too late"] += 1  # a second of a busy machine is minutes here
            elif response.status not in (200, 201):
                self.wrong.append(f"PUT {path}: {response.status} {await response.text()}")

    async def _read_live(self, rendition: str) -> None:
        """Ask for the newest segment whenever there is one."""
        while True:
            self._news[rendition].clear()
            await self._news[rendition].wait()
            await self._get(rendition, self._published[rendition])

    async def _read_dvr(self, rendition: str) -> None:
        """Ask for any segment that can be asked for, one for each that is published."""
        while True:
            await self._clock.until_ms(self._clock.now_ms() + self.plan.segment_ms)
            newest = self._published.get(rendition, self._first)
            oldest = max(newest - self.plan.window_count * 9 // 10, self._first)
            if newest > oldest:
                await self._get(rendition, self._luck.randrange(oldest, newest))

    async def _get(self, rendition: str, number: int) -> None:
        url = f"{self._server.deliver}/{EVENT_ID}/{rendition}/{number}.m4s"
        async with self._session.get(url) as response:
            body = await response.read()
            self.counts["answers"] += 1
            if response.status == 410 and self._has_expired(f"{number}.m4s"):
                self.counts["too late"] += 1
            elif response.status != 200 or response.headers["ETag"] != etag_of(body):
                self.wrong.append(f"GET {rendition}/{number}: {response.status}")

    def _has_expired(self, name: str) -> bool:
        """Tell whether a segment has left the DVR window by now, by its name."""
        stem = Path(name).stem
        if not stem.isdigit():
            return False
        due_ms = (int(stem) + 1) * self.plan.segment_ms + PUBLISH_DELAY_MS
        return self._clock.now_ms() >= due_ms + self.plan.dvr_window_ms

    async def _sample(self, pid: int) -> None:
        for index in range(1, SAMPLES + 1):
            await self._clock.until_ms(self._begin_ms + self.plan.event_ms * index // SAMPLES)
            minute = (self._clock.now_ms() - self._begin_ms) / MINUTE_MS
            figures = await asyncio.to_thread(figures_of, pid, self._folder / "data")
            self.samples.append(Sample(minute, *figures, self.counts["uploads"]))

    def _configuration(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
            "storage": {"path": str(self._folder / "data"), "ram": "8MiB", "ssd": "8GiB"},
            "limits": PATIENT | {"segment_bytes": "1MiB", "hold": "30s", "body_idle": "60s"},
            "log": {"requests": False},
            "events": [
                {
                    "id": EVENT_ID,
                    "segment_duration": f"{plan.segment_ms}ms",
                    "publish_delay": f"{PUBLISH_DELAY_MS}ms",
                    "dvr_window": f"{plan.dvr_window_ms}ms",
                    "retention": f"{plan.retention_ms}ms",
                    "live_edge": "10m",  # what is shed is judged elsewhere
                    "recent": "10m",
                    "inspection": {"checks": "none"},
                    "renditions": [{"id": each, "kind": "video", "bandwidth": 1_000_000} for each in RENDITIONS],
                    "pipelines": [{"id": each} for each in PIPELINES],
                }
            ],
        }


def figures_of(pid: int, data: Path) -> tuple[int, int, int, int]:
    """Return memory in KiB, files, open descriptors and the journal's size in KiB."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    rss_kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    files_count = journal_bytes = 0
    for folder, _, names in os.walk(data):
        files_count += len(names)
        if data / "bodies" not in (Path(folder), *Path(folder).parents):
            journal_bytes += sum(size_of(Path(folder) / name) for name in names)
    return rss_kib, files_count, len(os.listdir(f"/proc/{pid}/fd")), journal_bytes // 1024


def size_of(path: Path) -> int:
    """Return a file's size; one that is gone by now has none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@dataclass(frozen=True)
class Comparison:
    """A figure's median in the middle third of the time and in the last one."""

    name: str
    middle: float
    last: float
    allowed: float

    @property
    def has_grown(self) -> bool:
        return self.last > self.allowed

    def __str__(self) -> str:
        verdict = "GROWN" if self.has_grown else "flat"
        return f"{self.name:<12}{self.middle:>12,.0f}{self.last:>12,.0f}   at most {self.allowed:,.0f}: {verdict}"


def compare(samples: Sequence[Sample], growth_max: float = GROWTH_MAX) -> list[Comparison]:
    """Compare the last third of the samples with the middle one."""
    third = len(samples) // 3
    comparisons = []
    for name in ("rss_kib", "files", "descriptors", "journal_kib"):
        figures = [getattr(sample, name) for sample in samples]
        middle, last = statistics.median(figures[third : 2 * third]), statistics.median(figures[2 * third :])
        allowed = middle + DESCRIPTORS_GROWTH_MAX if name == "descriptors" else middle * (1 + growth_max)
        comparisons.append(Comparison(name, middle, last, allowed))
    return comparisons


def table(soak: Soak) -> Iterable[str]:
    """Yield the lines of what is printed."""
    yield "".join(f"{field.name:>12}" for field in fields(Sample))
    step = max(len(soak.samples) // PRINTED, 1)
    for sample in soak.samples[step - 1 :: step]:
        yield "".join(f"{figure:>12,.0f}" for figure in astuple(sample))
    yield ""
    yield f"{'medians':<12}{'middle':>12}{'last third':>12}"
    yield from (str(comparison) for comparison in compare(soak.samples))
    yield f"answers {soak.counts['answers']:,}, published at most {soak.lag_ms_max / 1000:.1f} s late, by the event"
    yield f"too late for the window {soak.counts['too late']}, wrong answers {len(soak.wrong)}"
    yield from (f"  {sentence}" for sentence in soak.wrong[:10])


def main() -> int:
    parser = argparse.ArgumentParser(description="Run hours of an event in minutes and watch what grows.")
    parser.add_argument("--hours", type=float, default=4)
    parser.add_argument("--speed", type=int, default=120)
    parsed = parser.parse_args()
    plan = Plan(event_ms=int(parsed.hours * 60 * MINUTE_MS), speed=parsed.speed)
    filled_ms = plan.dvr_window_ms + plan.retention_ms
    if plan.event_ms < 3 * filled_ms:
        parser.error(
            f"the first third is for window and retention to fill: take {3 * filled_ms / MINUTE_MS / 60} hours"
        )
    with tempfile.TemporaryDirectory(prefix="origin-soak-") as folder:
        soak = Soak(plan, Path(folder))
        asyncio.run(soak.run())
    sys.stdout.write("\n".join([*table(soak), ""]))
    return 1 if soak.wrong or any(comparison.has_grown for comparison in compare(soak.samples)) else 0


if __name__ == "__main__":
    sys.exit(main())
