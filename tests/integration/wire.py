"""Hand-made HTTP over plain sockets: packagers that do what no HTTP library lets one do.

They block, in threads, so that the operating system sees exactly what is written here, in this order, whatever
the event loop of the origin is doing meanwhile.
"""

import asyncio
import fcntl
import http.client
import json
import logging
import socket
import struct
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self

from selection.model import SegmentKey

PATIENCE_S: Final = 30
# What these packagers publish: text, as bodies made of anything else would have to be whole segments of media.
TEXT_RENDITION: Final = {"id": "cc", "kind": "text", "bandwidth": 1_000, "media": "cc/$Number$.vtt", "init": None}

Address = tuple[str, int]


class Close(Enum):
    """How a client leaves."""

    FIN = "fin"
    RST = "rst"


class Framing(Enum):
    """How a client tells where a body ends."""

    LENGTH = "length"
    CHUNKED = "chunked"


@dataclass(frozen=True)
class Answer:
    """One response. `headers` looks names up regardless of case."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def path_of(number: int, pipeline_id: str = "a") -> str:
    """Return where a pipeline publishes a segment of `TEXT_RENDITION`."""
    return f"/derby/{pipeline_id}/cc/{number}.vtt"


def key_of(number: int) -> SegmentKey:
    return SegmentKey("derby", "cc", number)


def head(method: str, path: str, **fields: str | int) -> bytes:
    """Return a request head. Underscores in names of fields stand for hyphens.

    >>> head("PUT", "/derby/a/1.m4s", Content_Length=0)
    b'PUT /derby/a/1.m4s HTTP/1.1\\r\\nHost: origin\\r\\nContent-Length: 0\\r\\n\\r\\n'
    """
    lines = [f"{method} {path} HTTP/1.1", "Host: origin"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    """Return one chunk; without data the last one.

    >>> chunk(b"abc") + chunk(b"")
    b'3\\r\\nabc\\r\\n0\\r\\n\\r\\n'
    """
    return b"%x\r\n%b\r\n" % (len(data), data)


def upload(path: str, body: bytes, framing: Framing = Framing.LENGTH, method: str = "PUT", **fields: str) -> bytes:
    """Return a whole request. Chunked ones come like ffmpeg's: all of the body in one chunk."""
    if framing is Framing.LENGTH:
        return head(method, path, **fields, Content_Length=len(body)) + body
    chunks = chunk(body) + chunk(b"") if body else chunk(b"")
    return head(method, path, **fields, Transfer_Encoding="chunked") + chunks


class Connection:
    """One blocking connection."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE_S)
        self._received = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; after a fault without caring what has arrived."""
        self._close(None if exc is not None else Close.FIN)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, *, of_head: bool = False) -> Answer:
        """Return the next response; an interim one has no body.

        Args:
            of_head: Whether the request was a HEAD.
        Raises:
            ConnectionError: There is none, or not all of it.
        """
        line = self._received.readline()
        headers = http.client.parse_headers(self._received)
        status = int(line[9:12] or 0)
        bodiless = status < 200 or status == 304
        length = "0" if bodiless else headers["Content-Length"]
        if not status or length is None:
            raise ConnectionError("closed without a whole response")
        size = 0 if of_head else int(length)
        body = self._received.read(size)
        if len(body) < size:
            raise ConnectionError("closed within a body")
        return Answer(status, headers, body)

    def at_end(self) -> bool:
        """Tell, waiting for it, whether the server has closed the connection with nothing more to say."""
        return self._received.read(1) == b""

    def close(self, how: Close) -> None:
        """Leave, at once when everything sent has arrived at the server's operating system.

        A reset takes back what has not, and so does any answer that finds the client gone.
        """
        self._close(how)

    def _close(self, how: Close | None) -> None:
        if self._socket.fileno() < 0:
            return
        try:
            if how is not None:
                self._wait_until_arrived()
            if how is Close.RST:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            self._received.close()
            self._socket.close()

    def _wait_until_arrived(self) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while _unacknowledged_bytes(self._socket):
            if time.monotonic() > give_up_s:
                raise TimeoutError("the server does not take what was sent")
            time.sleep(0.0005)


def _unacknowledged_bytes(connection: socket.socket) -> int:
    count = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", count)[0])


def send_and_leave(address: Address, data: bytes, how: Close) -> None:
    """Connect, send and close without a look at the answer, as ffmpeg does."""
    connection = Connection(address)
    connection.send(data)
    connection.close(how)


def ask(address: Address, request: bytes) -> Answer:
    """Send one request on a connection of its own and return its answer."""
    with Connection(address) as connection:
        connection.send(request)
        return connection.receive(of_head=request.startswith(b"HEAD"))


async def in_threads(calls: Sequence[Callable[[], Any]], threads: int = 16) -> list[Any]:
    """Run blocking calls, each in a thread, and return what they return."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(threads) as pool:
        return await asyncio.gather(*(loop.run_in_executor(pool, call) for call in calls))


class RequestLog(logging.Handler):
    """The log lines of requests that have ended: all one learns of a client that does not wait for its answer.

    `before_answer` is called, in the thread of the origin's loop, when an answer is about to be sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.before_answer: Callable[[], object] = bool
        self._changed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line. The origin logs requests in the thread of its loop."""
        self.lines.append(record.__dict__["fields"])
        self._changed.set()
        self.before_answer()

    @property
    def outcomes(self) -> Counter[str]:
        """How often each outcome was."""
        return Counter(line["outcome"] for line in self.lines)

    async def until_count(self, count: int) -> None:
        """Return once that many requests have ended since the beginning."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.lines) < count:
                self._changed.clear()
                await self._changed.wait()


@contextmanager
def request_log() -> Iterator[RequestLog]:
    """Collect the lines of requests that end from now on."""
    logger = logging.getLogger("origin.routes")
    former_level, handler = logger.level, RequestLog()
    handler.addFilter(lambda record: record.getMessage() == "request")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.setLevel(former_level)
        logger.removeHandler(handler)
