"""A client that writes bytes to a connection and gives back bytes, for tests of what stands on the wire."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

PATIENCE_S: Final = 20
_DATE: Final = re.compile(rb"\r\nDate: [^\r]+")
_LENGTH: Final = re.compile(rb"\r\nContent-Length: (\d+)")

Address = tuple[str, int]


def request(path: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Return the head of a request.

    >>> request("/1", "Range: bytes=0-1", method="HEAD")
    b'HEAD /1 HTTP/1.1\\r\\nHost: origin\\r\\nRange: bytes=0-1\\r\\n\\r\\n'
    """
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: origin", *lines, "", ""]).encode("utf-8")


def status_of(answer: bytes) -> int:
    """Return the status of an answer.

    >>> status_of(b"HTTP/1.1 404 Not Found\\r\\n\\r\\n")
    404
    """
    return int(answer[9:12])


def body_of(answer: bytes) -> bytes:
    """Return what stands behind the head."""
    return answer.partition(b"\r\n\r\n")[2]


def fields_of(answer: bytes) -> dict[str, str]:
    """Return the header fields of an answer."""
    lines = answer.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *data: bytes) -> None:
        """Hand over bytes, each piece in a segment of its own if the system sends at once."""
        for piece in data:
            self.writer.write(piece)

    async def receive(self, method: str = "GET") -> bytes:
        """Return the next answer as it came, but for the value of `Date` and the order of its fields.

        That order says nothing where names differ (RFC 9110, 5.3).
        """
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            bodiless = method == "HEAD" or status_of(head) == 304
            body = b"" if bodiless or length is None else await self.reader.readexactly(int(length[1]))
        status, *fields = _DATE.sub(b"\r\nDate: now", head).removesuffix(b"\r\n\r\n").split(b"\r\n")
        return b"\r\n".join([status, *sorted(fields), b"", body])

    async def ask(self, data: bytes) -> bytes:
        """Send one request and return its answer."""
        self.send(data)
        return await self.receive("HEAD" if data.startswith(b"HEAD") else "GET")

    async def ask_all(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send requests at once and return their answers in the order in which they came."""
        self.send(b"".join(requests))
        return [await self.receive("HEAD" if each.startswith(b"HEAD") else "GET") for each in requests]

    async def rest(self) -> bytes:
        """Return what comes until the server ends the connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    def reset(self) -> None:
        """Leave so that the server is told of a fault, not of an end."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def connected(address: Address, receive_bytes: int | None = None) -> AsyncIterator[RawClient]:
    """Connect, with a receive buffer of the system of that size; it takes little more than it is asked for."""
    connection = socket.socket()
    connection.setblocking(False)
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(connection, address)
    client = RawClient(*await asyncio.open_connection(sock=connection, limit=16 * 1024))
    try:
        yield client
    finally:
        client.writer.transport.abort()
        await asyncio.gather(client.writer.wait_closed(), return_exceptions=True)
