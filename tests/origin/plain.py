"""A bare server of aiohttp's own, or of our base classes with nothing added, and one client of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from origin.aiohttp_inside import InsideProtocol, InsideServer
from tests.origin.raw_client import RawClient, connected, request
from tests.origin.site import until

LONG_S: Final = 3600.0
JUNK: Final = b"\x00\r\n\r\n"


class Bench:
    """A server with a handler that waits, and one client of it."""

    def __init__(self, make: Callable[..., web.Server], options: dict[str, Any]) -> None:
        self.gate = asyncio.Event()
        self.begun: list[str] = []
        self.server = make(self.answer, **options)
        self.client: RawClient

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Tell the path, with `/wait...` when the gate is open; never of a body."""
        self.begun.append(request.path)
        if request.path.startswith("/wait"):
            await self.gate.wait()
        return web.Response(text=request.path)

    @property
    def connection(self) -> web.RequestHandler:
        (connection,) = self.server.connections
        return connection

    async def until_waiting(self) -> web.RequestHandler:
        """Have a request be handled, and return its connection."""
        self.client.send(request("/wait"))
        await until(lambda: self.begun == ["/wait"])
        return self.connection


@asynccontextmanager
async def bench(make: Callable[..., web.Server] = web.Server, **options: Any) -> AsyncIterator[Bench]:
    """Serve one client; aiohttp's own server unless another one is given."""
    bench = Bench(make, {"access_log": None, "keepalive_timeout": LONG_S} | options)
    runner = web.ServerRunner(bench.server, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with connected((host, port)) as bench.client:
            await until(lambda: bench.server.connections != [])
            yield bench
    finally:
        bench.gate.set()
        await runner.cleanup()


class OurServer(InsideServer):
    """Connections of our base class, with nothing added."""

    protocol: type[InsideProtocol] = InsideProtocol

    def __call__(self) -> InsideProtocol:
        return self.protocol(self, **self.connection_options)


def serving(protocol: type[InsideProtocol]) -> type[OurServer]:
    """Return a server of such connections."""
    return type("ServerOfThese", (OurServer,), {"protocol": protocol})
