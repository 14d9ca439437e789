"""The deliver listener's connections with answers that tests make up: what a path gives is told by its first part."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from aiohttp import web

from origin.connections import ConnectionLimits
from origin.deliver import Deliverer
from origin.lane import LaneDesk
from origin.reply import Reply
from origin.routes import Edge
from origin.steps import DeliverRequest, Hold, Read, Step
from origin.turnout import LaneProtocol, LaneServer
from origin.waiters import HoldLimits, Waiters
from selection.model import SegmentKey
from tests.origin.listener import Listener
from tests.origin.raw_client import request
from tests.support.clock import FakeClock

LARGE_BYTES: Final = 1024 * 1024
LONG_MS: Final = 60_000
KEY: Final = SegmentKey("derby", "v720", 10)


def large_body(path: str) -> bytes:
    """Return what `/large...` gives: a MiB that is another one for each path."""
    return path.encode().ljust(64, b".") * (LARGE_BYTES // 64)


def slow(path: str, *, method: str = "GET") -> bytes:
    """Return a request that the fast lane does not take."""
    return request(path, "Expect: 100-continue", method=method)


class Script:
    """Stands in for `deliver.Deliverer`."""

    def __init__(self, waiters: Waiters) -> None:
        self.clock = FakeClock()
        self.begun: list[str] = []
        self.is_there = False
        self.reading: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        self._waiters = waiters
        self._steps: dict[str, Callable[[DeliverRequest], Step]] = {
            "held": lambda request: self._text(request) if self._may_answer else Hold(KEY, LONG_MS),
            "read": lambda request: cast(Read, object()),
            "large": lambda request: Reply(200, "served", {}, large_body(request.path)),
            "fault": self._fail,
            "split": lambda request: Reply(200, "served", {"X-One": "1\r\nX-Two: 2"}),
        }

    @property
    def _may_answer(self) -> bool:
        return self.is_there or self._waiters.is_closed

    def begin(self, request: DeliverRequest, held_ms: int = 0) -> Step:
        self.begun.append(request.path)
        return self._steps.get(request.path.split("/")[1], self._text)(request)

    async def fetch(self, read: Read) -> Step:
        return await asyncio.shield(self.reading)

    def note_hold(self, begun_ms: int, *, woken: bool) -> int:
        return self.clock.now_ms() - begun_ms

    async def answer(self, request: web.BaseRequest) -> Reply:
        """Answer in the other lane."""
        asked = DeliverRequest(request.method, request.path, request.raw_path, {})
        step = self.begin(asked)
        while not isinstance(step, Reply):
            if isinstance(step, Hold):
                await self._waiters.wait(step.key, step.timeout_ms)
                step = self.begin(asked)
            else:
                step = await self.fetch(step)
        return step

    @staticmethod
    def _text(request: DeliverRequest) -> Step:
        return Reply(200, "served", {}, request.path.encode())

    @staticmethod
    def _fail(request: DeliverRequest) -> Step:
        raise RuntimeError(f"a mistake at {request.path}")


class Lanes(Listener[LaneProtocol]):
    """A listener, what its answers are made of, and what it told."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.releases_s: list[float] = []
        self.waiters = Waiters(HoldLimits(LONG_MS, 100, 100, 100), observe_release=self.releases_s.append)
        self.script = Script(self.waiters)
        told: list[Reply] = []
        refused: list[str] = []
        edge = Edge("deliver", self.script.answer, lambda reply, _: told.append(reply), log_lines=1_000)
        desk = LaneDesk(cast(Deliverer, self.script), self.waiters, edge)
        self.server = LaneServer(desk, edge.handle, handler_cancellation=True, limits=limits, observe=refused.append)
        super().__init__(self.server, told, refused)

    def release(self) -> None:
        """Let everybody have what is held."""
        self.script.is_there = True
        self.waiters.wake(KEY)


@asynccontextmanager
async def open_lanes(**limits: Any) -> AsyncIterator[Lanes]:
    """Run a listener with some limits; the others are out of the way."""
    bounds = {"head_ms": LONG_MS, "keepalive_ms": LONG_MS, "send_rate_bytes": 0, **limits}
    lanes = Lanes(ConnectionLimits(**bounds))
    await lanes.runner.setup()
    await web.TCPSite(lanes.runner, "127.0.0.1", 0).start()
    try:
        yield lanes
    finally:
        await lanes.waiters.close()
        await lanes.runner.cleanup()
