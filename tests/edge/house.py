"""What edge tests do with origins behind an edge: publish, ask through it, and count what reached an origin."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from yarl import URL

from loadtests.media import media_segment
from tests.edge.daemons import Address, Daemon, free_address
from tests.support.origins import Running, make_settings, running_origin

# Twelve frames of the segments that `loadtests.media` makes.
SEGMENT_MS: Final = 480
SEGMENT_BYTES: Final = 20_000
PUBLISH_DELAY_MS: Final = 1_000
# Both edges give an origin so long to say something, and nginx lets others wait for the first so long.
READ_TIMEOUT_MS: Final = 10_000
LOCK_TIMEOUT_MS: Final = 25_000
# Where origins share this process with hundreds of clients, their event loop is late and means nothing.
LIMITS: Final = {"hold": "5s", "loop_lag": "10s"}


@dataclass(frozen=True)
class Got:
    """One answer of an edge, with when it was asked for and complete."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    asked_ms: int
    answered_ms: int

    @property
    def is_hit(self) -> bool:
        """Whether the edge says that it asked nobody."""
        return self.headers.get("X-Cache", self.headers.get("X-Cache-Status")) == "HIT"


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def newest_number() -> int:
    """Return the newest segment whose media has ended."""
    return wall_ms() // SEGMENT_MS - 1


def end_ms(number: int) -> int:
    """Return when the media of a segment ends."""
    return (number + 1) * SEGMENT_MS


async def until_ms(moment_ms: int) -> None:
    """Wait for a moment of the wall clock."""
    await asyncio.sleep(max(moment_ms - wall_ms(), 0) / 1000)
    assert wall_ms() >= moment_ms - 1


def segment_body(number: int) -> bytes:
    """Return what all pipelines publish for a number: the same bytes at every call."""
    made = _bodies.get(number)
    if made is None:
        made = _bodies[number] = media_segment(number, SEGMENT_MS, SEGMENT_BYTES)
    return made


_bodies: dict[int, bytes] = {}


class Client:
    """Talks HTTP to origins and edges."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def put(self, publish: str, name: str, body: bytes) -> None:
        async with self._session.put(f"{publish}/derby/a/{name}", data=body) as answer:
            assert answer.status == 201, await answer.text()

    async def publish(self, number: int, *origins: str, rendition: str = "v720") -> None:
        """Publish a segment to origins, given by the base URLs of their publish sides."""
        name = f"{rendition}/{number}.m4s"
        await asyncio.gather(*(self.put(publish, name, segment_body(number)) for publish in origins))

    async def ask(self, base: str, path: str, method: str = "GET", **headers: str) -> Got:
        """Send one request."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        asked_ms = wall_ms()
        async with self._session.request(method, URL(base + path, encoded=True), headers=fields) as answer:
            body = await answer.read()
            return Got(answer.status, answer.headers, body, asked_ms, wall_ms())

    async def segment(self, base: str, number: int, *, rendition: str = "v720", event: str = "derby") -> Got:
        return await self.ask(base, f"/{event}/{rendition}/{number}.m4s")

    async def delivered_count(self, origin: str | Running) -> int:
        """Return how many requests for media an origin has answered. It may be given by its admin address."""
        admin = origin if isinstance(origin, str) else origin.admin
        page = (await self.ask(admin, "/metrics")).body.decode()
        pattern = r'^origin_deliver_requests_total\{kind="(?:segment|init)",.*\} (\S+)$'
        return int(sum(float(value) for value in re.findall(pattern, page, re.MULTILINE)))


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    """A client with a connection for each of as many requests as a test sends at once."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(session)


def origin_in(folder: Path, *, event: dict[str, Any] | None = None, **limits: Any) -> Any:
    """Return an origin that is not running yet, with short segments and whatever bodies it is given."""
    folder.mkdir()
    short = {"segment_duration": f"{SEGMENT_MS}ms", "publish_delay": f"{PUBLISH_DELAY_MS}ms"}
    whole = short | {"inspection": {"checks": "none"}} | (event or {})
    return running_origin(make_settings(folder, event=whole, limits=LIMITS | limits, log={"requests": False}))


@dataclass(frozen=True)
class House:
    """An edge in front of one origin, or of two."""

    client: Client
    edge: str
    primary: Running
    backup: Running | None = None

    async def get(self, number: int, *, rendition: str = "v720", event: str = "derby") -> Got:
        """Ask the edge for a segment."""
        return await self.client.segment(self.edge, number, rendition=rendition, event=event)

    async def publish(self, number: int, rendition: str = "v720") -> None:
        """Publish a segment to the primary and nowhere else."""
        await self.client.publish(number, self.primary.publish, rendition=rendition)

    async def asked_count(self) -> int:
        """Return how many requests for media have reached the primary."""
        return await self.client.delivered_count(self.primary)


@asynccontextmanager
async def house(daemon: Daemon, primary: Any, backup: Any | None = None) -> AsyncIterator[House]:
    """Run an edge in front of what `origin_in` returned; without a backup, nobody listens where it should be."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(primary)
        second = None if backup is None else await stack.enter_async_context(backup)
        elsewhere = free_address() if second is None else address_of(second)
        edge = await stack.enter_async_context(daemon(address_of(first), elsewhere))
        yield House(await stack.enter_async_context(client()), edge, first, second)


def address_of(running: Running) -> Address:
    return running.origin.deliver_address
