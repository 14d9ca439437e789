"""A packager: one blocking connection, which knows the moment when its last byte went out."""

import http.client
import json
import socket
import time
from dataclasses import dataclass, field
from hashlib import sha256

from loadtests import media
from tests.benchmarks.client import Address
from tests.benchmarks.served import EVENT, PATIENCE_S, SEGMENT_MS, WrongAnswerError


@dataclass(frozen=True)
class Put:
    """One upload that was taken.

    Args:
        sent_ns: When its last byte was handed to the kernel, by the monotonic clock.
        digest: SHA-256 of what was sent.
        etag: What the origin calls it.
        answered_ns: When the answer to it had come.
    """

    sent_ns: int
    took_ms: float
    digest: bytes
    etag: str
    answered_ns: int = 0


@dataclass
class Packager:
    """Publishes segments of one pipeline. Use it as a context manager."""

    address: Address
    pipeline: str = "a"
    _socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._socket = socket.create_connection(self.address, timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Packager":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()

    def put_init(self, rendition: str) -> Put:
        """Publish the init segment of a rendition."""
        return self.put(f"{rendition}/init.mp4", media.init_segment())

    def put_segment(self, rendition: str, number: int, size_bytes: int) -> Put:
        """Make and publish one segment."""
        return self.put(f"{rendition}/{number}.m4s", media.media_segment(number, SEGMENT_MS, size_bytes))

    def put(self, name: str, body: bytes) -> Put:
        """Publish one body.

        Raises:
            WrongAnswerError: It was not taken, as a new one or as one that is there already.
        """
        path = f"/{EVENT}/{self.pipeline}/{name}"
        head = f"PUT {path} HTTP/1.1\r\nHost: origin\r\nContent-Length: {len(body)}\r\n\r\n"
        begin_ns = time.monotonic_ns()
        self._socket.sendall(head.encode() + body)
        sent_ns = time.monotonic_ns()
        answer = http.client.HTTPResponse(self._socket, method="PUT")
        answer.begin()
        text = answer.read()
        answer.close()
        if answer.status not in {200, 201}:
            raise WrongAnswerError(f"PUT {path}: {answer.status} {text.decode(errors='replace')}")
        answered_ns = time.monotonic_ns()
        took_ms = (answered_ns - begin_ns) / 1e6
        return Put(sent_ns, took_ms, sha256(body).digest(), str(json.loads(text)["etag"]), answered_ns)
