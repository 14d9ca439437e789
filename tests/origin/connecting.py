"""A bare server on loopback and clients that write bytes to it, for tests of what one connection may take."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from aiohttp import web

from origin.aiohttp_inside import Handler
from origin.connections import ConnectionLimits
from origin.server import OriginServer

PATIENCE_S: Final = 20
# Far beyond what a test takes, where a limit is not the one that is tested.
LONG_MS: Final = 60_000


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        """The kind of problem."""
        kind: str = json.loads(self.body)["type"]
        return kind.removeprefix("urn:live-origin:problem:")

    @property
    def detail(self) -> str:
        """What the problem says."""
        detail: str = json.loads(self.body)["detail"]
        return detail


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> Answer:
        """Return the next response."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("ascii")
            status, *lines = head.strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers["Content-Length"]))
        return Answer(int(status.split()[1]), headers, body)

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.receive()

    async def rest(self) -> bytes:
        """Return what comes until the server ends the connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


@dataclass
class Listener:
    """A server that listens, and why it refused or cut connections."""

    server: OriginServer
    port: int
    reasons: list[str]

    async def connect(self, *, source: str = "127.0.0.1", receive_bytes: int | None = None) -> Client:
        """Connect from an address of loopback, with a receive buffer of the system of that size."""
        connection = socket.socket()
        connection.setblocking(False)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        return Client(*await asyncio.open_connection(sock=connection, limit=4096))

    async def until_silence_was_cut(self) -> None:
        """Return when `head_ms` have passed since this was called: a connection that says nothing was cut."""
        async with await self.connect() as canary:
            assert (await canary.receive()).status == 408
        self.reasons.remove("head-timeout")

    async def until_count(self, count: int) -> None:
        """Return once that many connections are counted."""
        async with asyncio.timeout(PATIENCE_S):
            while self.server.clients.count != count:  # noqa: ASYNC110  # what is waited for has no event of its own
                await asyncio.sleep(0)


async def answer_ok(request: web.BaseRequest) -> web.StreamResponse:
    """Read the body and tell how long it was."""
    return web.Response(text=str(len(await request.read())))


@asynccontextmanager
async def listening(handler: Handler = answer_ok, **limits: Any) -> AsyncIterator[Listener]:
    """Run a server with some limits; the others are out of the way."""
    reasons: list[str] = []
    bounds = ConnectionLimits(**{"head_ms": LONG_MS, "keepalive_ms": LONG_MS, **limits})
    server = OriginServer(handler, limits=bounds, observe=reasons.append)
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Listener(server, runner.addresses[0][1], reasons)
    finally:
        await runner.cleanup()


def get(path: str = "/", *fields: str) -> bytes:
    """Return a request without a body."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: origin", *fields, "", ""]).encode()
