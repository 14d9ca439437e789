"""An origin in a process of its own, as in production, and how the benches are told of it."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final
from urllib.request import urlopen

from tests.benchmarks.client import Address
from tests.benchmarks.processes import cpu_s, processes_of
from tests.benchmarks.scrape import Metrics

ROOT: Final = Path(__file__).resolve().parent.parent.parent
EVENT: Final = "bench"
# Twelve frames of the segments that `loadtests.media` makes.
SEGMENT_MS: Final = 480
PATIENCE_S: Final = 30.0
LOG_LINES_KEPT: Final = 20
FILES_MAX: Final = 65_536
# Requests that were sent so long ago have been read.
READ_S: Final = 0.05
# A release is counted after a second, and deliver processes tell of their counts once a second.
TOLD_S: Final = 2.5
SCRAPE_S: Final = 0.1


class WrongAnswerError(Exception):
    """The origin gave a wrong answer, or none: the bench fails."""


@dataclass(frozen=True)
class Cores:
    """Which processor is whose; None where there is only one."""

    server: int | None
    clients: int | None

    @classmethod
    def available(cls) -> "Cores":
        """Return the first processor for the server and the second one for clients and packagers."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[1]) if len(usable) > 1 else cls(None, None)


@dataclass(frozen=True)
class Served:
    """A running origin, or what stands in for one."""

    publish: Address
    deliver: Address
    admin: str
    process_id: int
    workers: int = 0

    def metrics(self) -> Metrics:
        """Scrape it."""
        with urlopen(f"{self.admin}/metrics", timeout=PATIENCE_S) as answer:
            return Metrics.parse(answer.read().decode())

    def wait_for_holds(self, count: int) -> None:
        """Wait until so many requests are held.

        Deliver processes tell that once a second, which is too late to wait for: they get a moment to read requests.

        Raises:
            WrongAnswerError: They never were.
        """
        if self.workers:
            time.sleep(READ_S)
            return
        deadline_s = time.monotonic() + PATIENCE_S
        while (held := self.metrics().sum("origin_holds_in_progress")) < count:
            if time.monotonic() > deadline_s:
                raise WrongAnswerError(f"{held:.0f} requests are held, not {count}")
            time.sleep(0.005)

    def settled_metrics(self) -> Metrics:
        """Scrape it when deliver processes have told of all that has happened by now."""
        if self.workers:
            time.sleep(TOLD_S)
        return self.metrics()

    def told_metrics(self, name: str, least: float, **labels: str) -> Metrics:
        """Scrape it until deliver processes have told of so many.

        Raises:
            WrongAnswerError: They never do.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while (told := (metrics := self.metrics()).sum(name, **labels)) < least:
            if time.monotonic() > deadline_s:
                raise WrongAnswerError(f"{name} {labels} is {told:.0f}, not {least:.0f}")
            time.sleep(SCRAPE_S)
        return metrics

    def processes(self) -> dict[str, int]:
        """Return its processes by name."""
        return processes_of(self.process_id)

    def cpu_s(self) -> float:
        """Return the processor time that all its processes have used."""
        return sum(map(cpu_s, self.processes().values()))


@dataclass(frozen=True)
class Config:
    """What an origin of a bench is set to, over what all of them share."""

    folder: Path
    renditions: tuple[str, ...] = ("v0",)
    limits: dict[str, Any] = field(default_factory=dict)
    storage: dict[str, Any] = field(default_factory=dict)
    event: dict[str, Any] = field(default_factory=dict)
    workers: int = 0
    log: dict[str, Any] = field(default_factory=lambda: {"requests": False})

    def write(self) -> Path:
        """Write the file and return its path. JSON is YAML."""
        event = {
            "id": EVENT,
            "segment_duration": f"{SEGMENT_MS}ms",
            "publish_delay": "1s",
            "renditions": [{"id": name, "kind": "video", "bandwidth": 1_000_000} for name in self.renditions],
            "pipelines": [{"id": "a"}, {"id": "b"}],
        }
        settings = {
            "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
            "storage": {"path": str(self.folder / "data"), **self.storage},
            "limits": self.limits,
            "log": self.log,
            "workers": self.workers,
            "events": [event | self.event],
        }
        path = self.folder / "config.yaml"
        path.write_text(json.dumps(settings), encoding="utf-8")
        return path


@contextmanager
def served(config: Config, core: int | None) -> Iterator[Served]:
    """Run an origin on one processor; yields where it listens, as its own log tells."""
    raise_file_limit()
    process = subprocess.Popen(
        [sys.executable, "-m", "origin", "serve", "--config", str(config.write())],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    assert process.stderr is not None
    reader = threading.Thread(target=_drain, args=(process.stderr,), daemon=True)
    try:
        fields = _read_until_ready(process.stderr)
        reader.start()
        yield Served(
            publish=address_of(fields["publish"]),
            deliver=address_of(fields["deliver"]),
            admin=fields["admin"],
            process_id=process.pid,
            workers=config.workers,
        )
        if process.poll() is not None:
            raise WrongAnswerError(f"the origin ended by itself, with status {process.returncode}")
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE_S)
        finally:
            process.kill()
            process.wait()
            if reader.ident is not None:
                reader.join(PATIENCE_S)
            process.stderr.close()


def _read_until_ready(lines: IO[str]) -> dict[str, str]:
    seen: deque[str] = deque(maxlen=LOG_LINES_KEPT)
    for line in lines:
        seen.append(line)
        if '"ready"' in line:
            fields: dict[str, str] = json.loads(line)
            return fields
    raise RuntimeError("the origin did not start:\n" + "".join(seen))


def _drain(lines: IO[str]) -> None:
    """Read the log on, lest its pipe fill; what is severe is shown."""
    for line in lines:
        if '"level": "error"' in line:
            print(line, end="", file=sys.stderr)


def raise_file_limit() -> None:
    """Let this process and its children open as many files as the system allows, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def address_of(url: str) -> Address:
    """Return host and port of a base URL.

    >>> address_of("http://127.0.0.1:8080")
    ('127.0.0.1', 8080)
    """
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)
