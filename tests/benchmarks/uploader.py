"""Uploads as fast as a server takes them, from a process of its own: epoll, keep-alive, nothing made while it counts.

Each body is a head of its own before bytes that all share, so that thousands of different segments take no memory;
what answers say is looked at when the clock has stopped.
"""

import gc
import hashlib
import multiprocessing
import os
import re
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

from loadtests import media
from tests.benchmarks.client import Address
from tests.benchmarks.served import PATIENCE_S, SEGMENT_MS, WrongAnswerError

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ETAG: Final = re.compile(rb'"etag": ?"\\"([0-9a-f]+)\\""')
_READ_BYTES: Final = 65_536
# Bytes of a digest that the origin's entity tags have.
_TAG_BYTES: Final = 16


class Segments:
    """Segments of one size that differ in number and rendition only.

    Args:
        size_bytes: Of each of them.
    """

    def __init__(self, size_bytes: int) -> None:
        whole = media.media_segment(0, SEGMENT_MS, size_bytes)
        self._head_bytes = whole.index(b"mdat") + len(b"mdat")
        self._head = whole[: self._head_bytes]
        self._sequence_at = whole.index(b"mfhd") + 8
        self._time_at = whole.index(b"tfdt") + 8
        self.rest = whole[self._head_bytes :]

    def head(self, number: int) -> bytes:
        """Return what segment `number` begins with; `rest` follows.

        >>> segments = Segments(2_000)
        >>> segments.head(0) + segments.rest == segments.head(1) + segments.rest
        False
        >>> len(segments.head(1) + segments.rest)
        2000
        """
        head = bytearray(self._head)
        struct.pack_into(">I", head, self._sequence_at, number % (1 << 32))
        struct.pack_into(">Q", head, self._time_at, number * SEGMENT_MS * media.TIMESCALE // 1_000)
        return bytes(head)

    def tag(self, number: int) -> str:
        """Return the entity tag of segment `number` as the origin makes it, without quotes."""
        return hashlib.sha256(self.head(number) + self.rest).hexdigest()[: 2 * _TAG_BYTES]


class Done(NamedTuple):
    """What came of uploads: answers in the order of what was sent."""

    seconds: float
    cpu_s: float
    answers: list[bytes]


@dataclass(frozen=True)
class Answer:
    """One answer to a PUT; `etag` is empty where there is none."""

    status: int
    etag: str

    @classmethod
    def parse(cls, answer: bytes) -> "Answer":
        r"""Read the whole of it.

        >>> Answer.parse(b'HTTP/1.1 201 Created\r\n\r\n{"etag": "\\"0a\\""}')
        Answer(status=201, etag='0a')
        """
        found = _ETAG.search(answer)
        return cls(int(answer[9:12]), found[1].decode() if found else "")


class Batch(NamedTuple):
    """What is to be uploaded.

    Args:
        heads: Request head and the beginning of the body, of each upload.
        rest: What all bodies end with.
    """

    address: Address
    heads: Sequence[bytes]
    rest: bytes
    connections: int


class _Lane:
    """One connection: sends an upload, reads its answer, takes the next."""

    def __init__(self, address: Address, rest: memoryview) -> None:
        self._rest = rest
        self._socket = socket.create_connection(address, timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self.file = self._socket.fileno()
        self.index = 0
        self._head = memoryview(b"")
        self._sent_bytes = 0
        self._left_bytes = 0
        self._answer = b""

    def close(self) -> None:
        self._socket.close()

    def start(self, index: int, head: bytes) -> None:
        """Begin with an upload."""
        self.index, self._head, self._answer = index, memoryview(head), b""
        self._sent_bytes, self._left_bytes = 0, len(head) + len(self._rest)
        self.send()

    def send(self) -> None:
        """Send as much as the kernel takes."""
        while self._left_bytes:
            behind = self._sent_bytes - len(self._head)
            parts = [self._rest[behind:]] if behind >= 0 else [self._head[self._sent_bytes :], self._rest]
            try:
                count = self._socket.sendmsg(parts)
            except BlockingIOError:
                return
            self._sent_bytes += count
            self._left_bytes -= count

    def receive(self) -> bytes | None:
        """Return the answer if it is whole by now.

        Raises:
            WrongAnswerError: The connection has ended, or the answer came before the upload had.
        """
        while True:  # epoll tells of an end that comes with the answer only once
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return None
            self._answer += data
            if not data or self._left_bytes:
                raise WrongAnswerError(f"an upload ended with {self._answer[:500]!r}")
            end = self._answer.find(b"\r\n\r\n") + 4
            length = _LENGTH.search(self._answer)
            if end >= 4 and len(self._answer) >= end + (int(length[1]) if length else 0):
                return self._answer


def upload(batch: Batch) -> Done:
    """Send all of it, each connection one upload after the other."""
    rest = memoryview(batch.rest)
    lanes = {lane.file: lane for lane in (_Lane(batch.address, rest) for _ in range(batch.connections))}
    answers = [b""] * len(batch.heads)
    waiting = iter(enumerate(batch.heads))
    busy = 0
    with select.epoll() as poll:
        for file in lanes:
            poll.register(file, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        begin_s, cpu_begin_s = time.monotonic(), time.process_time()
        for lane, (index, head) in zip(lanes.values(), waiting, strict=False):
            lane.start(index, head)
            busy += 1
        while busy:
            events = poll.poll(PATIENCE_S)
            if not events:
                raise WrongAnswerError("uploads are not answered")
            for file, event in events:
                lane = lanes[file]
                if event & select.EPOLLOUT:
                    lane.send()
                if event & ~select.EPOLLOUT and (answer := lane.receive()) is not None:
                    answers[lane.index] = answer
                    following = next(waiting, None)
                    if following is None:
                        busy -= 1
                    else:
                        lane.start(*following)
        done = Done(time.monotonic() - begin_s, time.process_time() - cpu_begin_s, answers)
    for lane in lanes.values():
        lane.close()
    return done


def _run(control: Connection, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    gc.disable()  # nothing here refers to itself
    while (batch := control.recv()) is not None:
        try:
            control.send(upload(batch))
        except (OSError, WrongAnswerError) as exc:
            control.send(f"{type(exc).__name__}: {exc}")


@dataclass(frozen=True)
class Uploader:
    """A process that uploads."""

    _control: Connection

    def upload(self, batch: Batch) -> Done:
        """Have all of it sent and wait for the answers.

        Raises:
            WrongAnswerError: An upload got none.
        """
        self._control.send(batch)
        done = self._control.recv()
        if isinstance(done, Done):
            return done
        raise WrongAnswerError(str(done))


@contextmanager
def uploader(core: int | None) -> Iterator[Uploader]:
    """Run one on a processor."""
    context = multiprocessing.get_context("spawn")
    control, other = context.Pipe()
    process = context.Process(target=_run, args=(other, core), daemon=True)
    process.start()
    other.close()
    try:
        yield Uploader(control)
        control.send(None)
        process.join(PATIENCE_S)
    finally:
        process.kill()
        process.join()
        process.close()
        control.close()
