"""A publish process and deliver processes of one node, all on one loop, with a clock that tests own."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession

from config.model import Settings
from origin.app import Apart, Origin, url_of
from origin.children import ChildContext
from origin.deliver_process import DeliverProcess
from origin.supervised import ADMIN, FEED, PUBLISH, deliver_names
from tests.origin.site import NOW_MS, Answer, make_body, name_of
from tests.support.clock import FakeClock
from tests.support.origins import make_settings

PATIENCE_S: Final = 5


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; fails when it takes very long."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  # what is looked at knows of no event
            await asyncio.sleep(0.001)


class Node:
    """Sockets that outlive the processes, and the processes that are there at the moment."""

    def __init__(self, settings: Settings, folder: Path, http: ClientSession) -> None:
        self.settings = settings
        self.clock = FakeClock(NOW_MS)
        self.http = http
        self.folder = folder
        self.names = deliver_names(settings)
        self.feed_path = str(folder / "feed.sock")
        self.sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in (PUBLISH, ADMIN, *self.names)}
        self.sockets[FEED] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sockets[FEED].bind(self.feed_path)
        self.sockets[FEED].listen()
        self.origin: Origin | None = None
        self.delivering: dict[str, DeliverProcess] = {}

    async def start_publish(self) -> Origin:
        """Start the publish process."""
        own = {name: self.sockets[name].dup() for name in (PUBLISH, ADMIN)}
        apart = Apart([own[PUBLISH]], [own[ADMIN]], self.sockets[FEED], self.names)
        self.origin = Origin(self.settings, self.clock, apart=apart)
        await self.origin.start()
        return self.origin

    async def stop_publish(self) -> None:
        """Stop the publish process."""
        assert self.origin is not None
        await self.origin.stop()
        self.origin = None

    def context(self, name: str, ready_descriptor: int = -1) -> ChildContext:
        """Return what a deliver process is born with."""
        return ChildContext(name, 0, self.folder, {name: (self.sockets[name].dup(),)}, ready_descriptor)

    async def start_deliver(self, name: str) -> DeliverProcess:
        """Start a deliver process, which waits for the publish process."""
        process = self.delivering[name] = DeliverProcess(self.settings, name, self.feed_path, self.clock)
        await process.start(self.context(name), name)
        return process

    async def ask(self, method: str, name: str, path: str, **options: Any) -> Answer:
        """Send a request to the listener of a process."""
        url = url_of(self.sockets[name].getsockname()[:2])
        async with self.http.request(method, f"{url}{path}", **options) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def put(self, number: int, pipeline: str = "a", body: bytes | None = None) -> Answer:
        """Publish a segment."""
        data = make_body(number, pipeline) if body is None else body
        return await self.ask("PUT", PUBLISH, f"/derby/{pipeline}/{name_of(number)}", data=data)

    async def get(self, name: str, number: int) -> Answer:
        """Ask a deliver process for a segment."""
        return await self.ask("GET", name, f"/derby/{name_of(number)}")

    async def hold(self, name: str, number: int) -> "asyncio.Task[Answer]":
        """Ask for what is not there yet; returns once it is held."""
        waiters = self.delivering[name].side.waiters
        count = waiters.count
        task = asyncio.create_task(self.get(name, number))
        await until(lambda: waiters.count > count or task.done())
        return task

    async def page(self) -> dict[str, float]:
        """Return what `/metrics` shows, by series."""
        lines = (await self.ask("GET", ADMIN, "/metrics")).body.decode().splitlines()
        parts = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {series: float(value) for series, _, value in parts}


@asynccontextmanager
async def open_node(folder: Path, workers: int = 2, **sections: Any) -> AsyncIterator[Node]:
    """Make a node, of which nothing runs yet; at the end all that runs is stopped."""
    # Any bytes will do for a segment.
    settings = make_settings(folder, event={"inspection": {"checks": "none"}}, workers=workers, **sections)
    os.makedirs(settings.storage.path, exist_ok=True)
    async with ClientSession() as http:
        node = Node(settings, folder, http)
        try:
            yield node
        finally:
            for process in node.delivering.values():
                await process.stop()
            if node.origin is not None:
                await node.origin.stop()
            for listener in node.sockets.values():
                listener.close()
            os.unlink(node.feed_path)


@asynccontextmanager
async def running_node(folder: Path, workers: int = 2, **sections: Any) -> AsyncIterator[Node]:
    """Run a publish process and deliver processes that follow it."""
    async with open_node(folder, workers, **sections) as node:
        await node.start_publish()
        for name in node.names:
            await node.start_deliver(name)
        yield node
