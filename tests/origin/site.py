"""A whole origin on loopback with a clock and a disk that tests own, and a client that talks HTTP to it.

The clock stands at the moment when segment 1000 becomes due. Segments last 1.92 s from the epoch on and are due 1 s
after their end.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from aiohttp import ClientSession
from multidict import CIMultiDict
from yarl import URL

from config.model import Settings
from origin import app
from origin.app import Origin
from storage.bodies import FileBodies
from storage.ram import RamTier
from tests.support.bodies import FaultyFileBodies
from tests.support.clock import FakeClock
from tests.support.origins import SEGMENT_MS, Running, journal_text, make_settings, running_origin

NUMBER: Final = 1000
PUBLISH_DELAY_MS: Final = 1_000


def due_ms(number: int) -> int:
    """Return when a segment is due, reckoned apart from the origin's own arithmetic."""
    return (number + 1) * SEGMENT_MS + PUBLISH_DELAY_MS


NOW_MS: Final = due_ms(NUMBER)
# One segment and 1 s by default, but from 2 s before the end of the media on in any case, which is earlier.
HELD_BEFORE_DUE_MS: Final = PUBLISH_DELAY_MS + 2_000
DVR_WINDOW_MS: Final = 1_800_000
EXPIRED: Final = (NOW_MS - DVR_WINDOW_MS - PUBLISH_DELAY_MS) // SEGMENT_MS - 1  # the newest that left the window
# Segments 312 to 1000 exist.
WITH_ENDS: Final = {"start": "1970-01-01T00:10:00Z", "end": "1970-01-01T00:32:01Z"}
END_MS: Final = 1_921_000

# Cache-Control and Live-Origin-TTL of what must not be served stale. A second is the shortest that most caches know.
FOR_A_SECOND: Final = ("public, max-age=1, stale-while-revalidate=0", "250ms")
FOR_A_SEGMENT: Final = ("public, max-age=1, stale-while-revalidate=0", "1920ms")
FOR_ONE_SECOND: Final = ("public, max-age=1, stale-while-revalidate=0", "1000ms")
FOR_SOME_SECONDS: Final = ("public, max-age=5, stale-while-revalidate=0", "5000ms")
FOR_A_MINUTE: Final = ("public, max-age=60, stale-while-revalidate=0", "60000ms")
FOR_A_DAY: Final = ("public, max-age=86400, stale-while-revalidate=0", "86400000ms")
OF_A_GOOD_COPY: Final = (
    "public, max-age=86400, immutable, stale-while-revalidate=60, stale-if-error=86400",
    "86400000ms",
)
OF_A_FLAWED_COPY: Final = ("public, max-age=1, stale-while-revalidate=1, stale-if-error=60", "1920ms")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body as JSON."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def slug(self) -> str:
        """The kind of problem, or an empty text."""
        if self.headers.get("Content-Type") != "application/problem+json":
            return ""
        kind: str = self.document["type"]
        return kind.removeprefix("urn:live-origin:problem:")

    @property
    def own_headers(self) -> dict[str, str]:
        """The headers that the origin chose, without those that HTTP adds."""
        return {name: value for name, value in self.headers.items() if name not in ("Date", "Server", "Content-Length")}

    @property
    def life_time(self) -> tuple[str, str]:
        """How long caches may keep it, in seconds and in ms."""
        return self.headers["Cache-Control"], self.headers["Live-Origin-TTL"]


class Site:
    """An origin that runs, and what tests do with it."""

    def __init__(self, running: Running, clock: FakeClock, bodies: FaultyFileBodies, http: ClientSession) -> None:
        self.running = running
        self.clock = clock
        self.bodies = bodies
        self.http = http

    @property
    def origin(self) -> Origin:
        return self.running.origin

    async def ask(self, method: str, url: str, **options: Any) -> Answer:
        """Send one request; its path is sent as it stands."""
        async with self.http.request(method, URL(url, encoded=True), **options) as response:
            return Answer(response.status, CIMultiDict(response.headers), await response.read())

    async def put(
        self, name: str | int, pipeline: str = "a", body: Any = b"", *, method: str = "PUT", **headers: str
    ) -> Answer:
        """Publish below `derby/{pipeline}`; a number is a segment of v720, `Live_Origin_Score="7"` a header."""
        fields = {field.replace("_", "-"): value for field, value in headers.items()}
        url = f"{self.running.publish}/derby/{pipeline}/{name_of(name)}"
        options: dict[str, Any] = {"skip_auto_headers": ["Content-Type"]}
        return await self.ask(method, url, data=body or make_body(name, pipeline), headers=fields, **options)

    async def get(self, name: str | int, *, event: str = "derby", method: str = "GET", **headers: str) -> Answer:
        """Ask for a name below an event as a cache does."""
        fields = {field.replace("_", "-"): value for field, value in headers.items()}
        return await self.ask(method, f"{self.running.deliver}/{event}/{name_of(name)}", headers=fields)

    async def hold(self, name: str | int) -> "asyncio.Task[Answer]":
        """Ask for something that is not there yet; returns once the origin holds the request."""
        count = self.origin.waiters.count
        task = asyncio.create_task(self.get(name))
        await until(lambda: self.origin.waiters.count > count or task.done())
        return task

    @property
    def ram(self) -> RamTier:
        """The RAM tier, as it is where all is in one process."""
        assert isinstance(self.origin._ram, RamTier)
        return self.origin._ram

    @property
    def stored_files(self) -> list[str]:
        """The files in the folder of bodies, finished or not."""
        folder = Path(self.origin.settings.storage.path) / "bodies"
        return [path.name for path in folder.rglob("*") if path.is_file()]

    @property
    def journal_text(self) -> str:
        """Everything that is recorded, as it lies on the disk."""
        return journal_text(Path(self.origin.settings.storage.path))

    def forget_ram(self) -> None:
        """Leave all bodies to the SSD tier."""
        ram = self.origin._ram
        assert isinstance(ram, RamTier)
        for key in list(ram._cache):
            ram.drop(key)

    def assert_untouched(self) -> None:
        """Nothing was read, written or recorded."""
        assert not self.bodies.counts
        assert self.stored_files == []
        assert self.journal_text == ""

    async def metric(self, name: str, /, **labels: str) -> float:
        """Return one series of `/metrics`."""
        page = (await self.ask("GET", f"{self.running.admin}/metrics")).body.decode()
        wanted = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        series = f"{name}{{{wanted}}}" if labels else name
        values = [line.rpartition(" ")[2] for line in page.splitlines() if line.rpartition(" ")[0] == series]
        return float(values[0]) if values else 0.0


def name_of(name: str | int) -> str:
    """Return the name of a segment of the video rendition, or a name as it stands."""
    return f"v720/{name}.m4s" if isinstance(name, int) else name


def make_body(name: str | int, pipeline: str = "a") -> bytes:
    """Return the bytes that a pipeline publishes under a name, if a test does not bring its own."""
    return f"{pipeline}:{name_of(name)}\n".encode() * 40


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has come about, looking whenever the event loop has turned."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0)


_read: dict[str, Settings] = {}


def settings_in(folder: Path, **options: Any) -> Settings:
    """Return what `make_settings` returns. Reading a file takes as long as a whole test, so each is read once."""
    key = json.dumps(options, sort_keys=True)
    if key not in _read:
        _read[key] = make_settings(folder, **options)
    storage = _read[key].storage.model_copy(update={"path": folder / "data"})
    return _read[key].model_copy(update={"storage": storage})


@asynccontextmanager
async def open_site(
    folder: Path, *, now_ms: int = NOW_MS, event: dict[str, Any] | None = None, **sections: Any
) -> AsyncIterator[Site]:
    """Run an origin on free ports; `event` and `sections` as for `make_settings`."""
    made: list[FaultyFileBodies] = []

    def make_files(path: Path, *, fsync: bool) -> FaultyFileBodies:
        made.append(FaultyFileBodies(FileBodies(path, fsync=fsync)))
        return made[-1]

    clock = FakeClock(now_ms)
    with patch.object(app, "FileBodies", make_files):
        # Any bytes will do for a segment, unless a test wants them looked into.
        settings = settings_in(folder, event={"inspection": {"checks": "none"}} | (event or {}), **sections)
        async with running_origin(settings, clock) as running, ClientSession() as http:
            yield Site(running, clock, made[0], http)
