"""The publish listener's connections over a real node without its disk, with what tells one lane from the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from origin.connections import ConnectionLimits
from origin.metrics import Metrics
from origin.publish import Publisher, PublishLimits
from origin.reply import Reply
from origin.routes import Edge
from origin.target import Programmes
from origin.upload_lane import UploadLaneProtocol, UploadLaneServer
from tests.origin.listener import Listener
from tests.origin.parts import Node, running_node
from tests.origin.raw_client import request
from tests.support.events import make_event

LONG_MS: Final = 60_000
SEGMENT_BYTES_MAX: Final = 8 * 1024 * 1024
EVENT: Final = make_event()


def path_of(number: int, pipeline_id: str = "a") -> str:
    """Return where a pipeline publishes a segment; 0 to 10 can be published."""
    return f"/{EVENT.id}/{pipeline_id}/{EVENT.renditions[0].id}/{number}.m4s"


def head_of(path: str, size_bytes: int, *lines: str, method: str = "PUT") -> bytes:
    """Return the head of an upload."""
    return request(path, f"Content-Length: {size_bytes}", *lines, method=method)


def upload(number: int, body: bytes, *lines: str) -> bytes:
    """Return an upload that is for the lane."""
    return head_of(path_of(number), len(body), *lines) + body


def chunked(number: int, body: bytes) -> bytes:
    """Return an upload whose body comes in one chunk."""
    head = request(path_of(number), "Transfer-Encoding: chunked", method="PUT")
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


class UploadLanes(Listener[UploadLaneProtocol]):
    """A listener; `slow` are the paths that went aiohttp's way, `told` all answers."""

    def __init__(self, node: Node, body_idle_ms: int, limits: ConnectionLimits) -> None:
        self.node = node
        self.slow: list[str] = []
        self.registry = CollectorRegistry()
        self.publisher = Publisher(
            Programmes((EVENT,)),
            node.intake,
            node.catalog,
            node.clock,
            Metrics(self.registry, [EVENT], node.clock.now_ms, node.catalog.newest_number),
            PublishLimits(
                segment_bytes=SEGMENT_BYTES_MAX,
                manifest_bytes=10_000,
                body_idle_ms=body_idle_ms,
                uploads_count=100,
                has_space=lambda event, number: True,
            ),
        )

        async def answer(request: web.BaseRequest) -> Reply:
            self.slow.append(request.path)
            return await self.publisher.answer(request)

        told: list[Reply] = []
        refused: list[str] = []
        edge = Edge("publish", answer, lambda reply, _: told.append(reply), log_lines=1_000)
        self.server = UploadLaneServer(self.publisher, edge, lingering_time=1, limits=limits, observe=refused.append)
        super().__init__(self.server, told, refused)

    @property
    def stored(self) -> list[bytes]:
        """The bodies that are kept."""
        return [bytes(body) for body in self.node.held.held.values()]

    @property
    def in_progress_count(self) -> float | None:
        return self.registry.get_sample_value("origin_uploads_in_progress")

    async def until_over(self) -> None:
        """Return once nothing is in progress, with or without a connection; fails if something stays for ever."""
        async with asyncio.timeout(10):
            await self.publisher.finish()
            await self.server.drain()
        assert self.in_progress_count == 0
        assert self.node.held.incoming_bytes == {}


@asynccontextmanager
async def open_uploads(folder: Path, *, body_idle_ms: int = LONG_MS, **limits: Any) -> AsyncIterator[UploadLanes]:
    """Run a listener with some limits; the others are out of the way. In the end nothing is in progress."""
    bounds = {"head_ms": LONG_MS, "keepalive_ms": LONG_MS, "send_rate_bytes": 0, **limits}
    with running_node(folder, EVENT) as node:
        lanes = UploadLanes(node, body_idle_ms, ConnectionLimits(**bounds))
        await lanes.runner.setup()
        await web.TCPSite(lanes.runner, "127.0.0.1", 0).start()
        try:
            yield lanes
        finally:
            await lanes.runner.cleanup()
        await lanes.until_over()
